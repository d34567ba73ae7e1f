//! The greeter over gRPC.

use crate::endpoints::{
    Endpoints, GREET_MANY, GREETING, GreetManyRequest, GreetingReply, GreetingRequest,
};
use purlin::{
    Context, Endpoint, Error, Invalid, Streaming,
    transport_grpc::{Channel, Client, Server},
};

/// The messages, as `greeter.proto` has them.
mod pb {
    #![allow(missing_docs, unreachable_pub)]
    include!(concat!(env!("OUT_DIR"), "/greeter.rs"));
}

/// `greeter.proto`, compiled.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/greeter.bin"));

/// All methods, and what reflection shows of them. Errors go to `log` as well, which sees those that
/// no layer has seen.
///
/// # Errors
///
/// If the descriptors of the build are broken.
pub fn server(
    endpoints: &Endpoints,
    log: impl Fn(&Context, &Error) + Send + Sync + 'static,
) -> Result<Server, Invalid> {
    let Endpoints { greeting, greet_many, .. } = endpoints.clone();
    Server::new()
        .unary(&GREETING, greeting, decode_greeting, encode_reply)
        .server_streaming(&GREET_MANY, greet_many, decode_many, encode_reply)
        .error_handler(log)
        .reflection(DESCRIPTORS)
}

fn decode_greeting(request: pb::GreetingRequest) -> Result<GreetingRequest, Error> {
    Ok(GreetingRequest { name: request.name })
}

fn decode_many(request: pb::GreetManyRequest) -> Result<GreetManyRequest, Error> {
    Ok(GreetManyRequest { names: request.names, languages: request.languages })
}

fn encode_reply(reply: GreetingReply) -> Result<pb::GreetingReply, Error> {
    Ok(pb::GreetingReply { greeting: reply.greeting })
}

/// Calls [`GREETING`] elsewhere.
pub fn greeting(
    channel: Channel,
) -> impl Endpoint<GreetingRequest, Response = GreetingReply, Error = Error> {
    Client::unary(
        channel,
        &GREETING,
        |request: GreetingRequest| Ok(pb::GreetingRequest { name: request.name }),
        |reply: pb::GreetingReply| Ok(GreetingReply { greeting: reply.greeting }),
    )
}

/// Calls [`GREET_MANY`] elsewhere.
pub fn greet_many(
    channel: Channel,
) -> impl Endpoint<GreetManyRequest, Response = Streaming<GreetingReply>, Error = Error> {
    Client::server_streaming(
        channel,
        &GREET_MANY,
        |request: GreetManyRequest| {
            Ok(pb::GreetManyRequest { names: request.names, languages: request.languages })
        },
        |reply: pb::GreetingReply| Ok(GreetingReply { greeting: reply.greeting }),
    )
}
