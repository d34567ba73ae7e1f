//! A greeter with one method of each kind, and what the tests know of it.

use prost::Message;
use purlin_endpoint::{Context, Error, Method, Streaming, endpoint_fn};
use purlin_transport_grpc::Server;

pub(crate) static GREETING: Method = Method::unary("greeter.Greeter", "Greeting").idempotent();
pub(crate) static GREET_MANY: Method = Method::server_streaming("greeter.Greeter", "GreetMany");
pub(crate) static GREET_ALL: Method = Method::client_streaming("greeter.Greeter", "GreetAll");
pub(crate) static CHAT: Method = Method::bidirectional("greeter.Greeter", "Chat");

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Name {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Greeting {
    #[prost(string, tag = "1")]
    pub(crate) greeting: String,
}

pub(crate) fn name(text: &str) -> Name {
    Name { name: text.to_owned() }
}

pub(crate) fn decode(message: Name) -> Result<String, Error> {
    if message.name.is_empty() {
        Err(Error::invalid("name", "is missing"))
    } else {
        Ok(message.name)
    }
}

pub(crate) fn encode(text: String) -> Result<Greeting, Error> {
    Ok(Greeting { greeting: text })
}

pub(crate) fn to_name(name: String) -> Result<Name, Error> {
    Ok(Name { name })
}

pub(crate) fn from_greeting(message: Greeting) -> Result<String, Error> {
    Ok(message.greeting)
}

pub(crate) async fn greet(_: Context, name: String) -> Result<String, Error> {
    Ok(format!("Hello, {name}!"))
}

async fn greet_many(_: Context, name: String) -> Result<Streaming<String>, Error> {
    Ok(Streaming::iter(["Hello", "Hallo", "Ciao"].map(|word| Ok(format!("{word}, {name}!")))))
}

async fn greet_all(_: Context, mut names: Streaming<String>) -> Result<String, Error> {
    let mut all = Vec::new();
    while let Some(name) = names.message().await? {
        all.push(name);
    }
    Ok(format!("Hello, {}!", all.join(" and ")))
}

async fn chat(_: Context, names: Streaming<String>) -> Result<Streaming<String>, Error> {
    Ok(Streaming::new(Answers(names)))
}

struct Answers(Streaming<String>);

impl futures_core::Stream for Answers {
    type Item = Result<String, Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::pin::Pin::new(&mut self.0)
            .poll_next(task)
            .map(|next| next.map(|name| name.map(|name| format!("Hello, {name}!"))))
    }
}

/// The greeter, bare.
pub(crate) fn server() -> Server {
    Server::new()
        .unary(&GREETING, endpoint_fn(greet), decode, encode)
        .server_streaming(&GREET_MANY, endpoint_fn(greet_many), decode, encode)
        .client_streaming(&GREET_ALL, endpoint_fn(greet_all), decode, encode)
        .bidirectional(&CHAT, endpoint_fn(chat), decode, encode)
}
