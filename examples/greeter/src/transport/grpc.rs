//! The greeter over gRPC.

use crate::endpoints::{
    Endpoints, GREET_MANY, GREETING, GreetManyRequest, GreetingReply, GreetingRequest,
};
use purlin::{
    Carrier, Context, Endpoint, Error, Invalid, Streaming,
    transport_grpc::{Channel, Client, Server},
};

/// The messages, as `greeter.proto` has them.
mod pb {
    #![allow(missing_docs, unreachable_pub)]
    include!(concat!(env!("OUT_DIR"), "/greeter.rs"));
}

/// `greeter.proto`, compiled.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/greeter.bin"));

/// All methods, and what reflection shows of them. What goes with a call is read by `extract`;
/// errors go to `log` as well, which sees those that no layer has seen.
///
/// # Errors
///
/// If the descriptors of the build are broken.
pub fn server(
    endpoints: &Endpoints,
    extract: impl Fn(&dyn Carrier, Context) -> Result<Context, Error> + Send + Sync + 'static,
    log: impl Fn(&Context, &Error) + Send + Sync + 'static,
) -> Result<Server, Invalid> {
    let Endpoints { greeting, greet_many, .. } = endpoints.clone();
    Server::new()
        .unary(&GREETING, greeting, decode_greeting, encode_reply)
        .server_streaming(&GREET_MANY, greet_many, decode_many, encode_reply)
        .before(move |context, metadata| extract(metadata, context))
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

/// Calls [`GREETING`] elsewhere. What goes with a call is written by `inject`.
pub fn greeting(
    channel: Channel,
    inject: impl Fn(&Context, &mut dyn Carrier) -> Result<(), Error> + Send + Sync + 'static,
) -> impl Endpoint<GreetingRequest, Response = GreetingReply, Error = Error> {
    Client::unary(
        channel,
        &GREETING,
        |request: GreetingRequest| Ok(pb::GreetingRequest { name: request.name }),
        |reply: pb::GreetingReply| Ok(GreetingReply { greeting: reply.greeting }),
    )
    .before(move |context, metadata| inject(context, metadata))
}

/// Calls [`GREET_MANY`] elsewhere. What goes with a call is written by `inject`.
pub fn greet_many(
    channel: Channel,
    inject: impl Fn(&Context, &mut dyn Carrier) -> Result<(), Error> + Send + Sync + 'static,
) -> impl Endpoint<GreetManyRequest, Response = Streaming<GreetingReply>, Error = Error> {
    Client::server_streaming(
        channel,
        &GREET_MANY,
        |request: GreetManyRequest| {
            Ok(pb::GreetManyRequest { names: request.names, languages: request.languages })
        },
        |reply: pb::GreetingReply| Ok(GreetingReply { greeting: reply.greeting }),
    )
    .before(move |context, metadata| inject(context, metadata))
}
