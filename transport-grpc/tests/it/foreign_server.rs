//! Our client, in front of tonic's server and of servers that break the protocol.

use crate::{
    greeter::{CHAT, GREET_ALL, GREET_MANY, GREETING, Greeting, Name, from_greeting, to_name},
    own_client::{all, pipe_any},
    raw::framed,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use purlin_endpoint::{Code, Context, Endpoint as _, Error, Streaming};
use purlin_transport_grpc::{Body, Client, StatusDetails};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
};
use tonic::{Status, server::Grpc};
use tonic_prost::ProstCodec;

type Codec = ProstCodec<Greeting, Name>;

/// A greeter as tonic would serve it.
async fn tonics(
    request: Request<hyper::body::Incoming>,
) -> Result<Response<tonic::body::Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut grpc = Grpc::new(Codec::default());
    Ok(match &*path {
        "/greeter.Greeter/Greeting" => grpc.unary(Greet, request).await,
        "/greeter.Greeter/GreetMany" => grpc.server_streaming(Greet, request).await,
        "/greeter.Greeter/GreetAll" => grpc.client_streaming(Greet, request).await,
        "/greeter.Greeter/Chat" => grpc.streaming(Greet, request).await,
        _ => Status::unimplemented("no").into_http(),
    })
}

struct Greet;
type Reply<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>> + Send>>;
type Greetings = Pin<Box<dyn futures_core::Stream<Item = Result<Greeting, Status>> + Send>>;

fn greeting(name: &str) -> Greeting {
    Greeting { greeting: format!("Hello, {name}!") }
}

impl tonic::server::UnaryService<Name> for Greet {
    type Response = Greeting;
    type Future = Reply<Greeting>;

    fn call(&mut self, request: tonic::Request<Name>) -> Self::Future {
        Box::pin(async move {
            let name = request.into_inner().name;
            if name == "Nobody" {
                let mut status =
                    Status::with_details(tonic::Code::NotFound, "no – one", Bytes::new());
                status.metadata_mut().insert("x-why", "because".parse().unwrap());
                return Err(status);
            }
            Ok(tonic::Response::new(greeting(&name)))
        })
    }
}

struct Each(std::vec::IntoIter<Result<Greeting, Status>>);

impl futures_core::Stream for Each {
    type Item = Result<Greeting, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

fn each(greetings: Vec<Result<Greeting, Status>>) -> tonic::Response<Greetings> {
    tonic::Response::new(Box::pin(Each(greetings.into_iter())))
}

impl tonic::server::ServerStreamingService<Name> for Greet {
    type Response = Greeting;
    type ResponseStream = Greetings;
    type Future = Reply<Greetings>;

    fn call(&mut self, request: tonic::Request<Name>) -> Self::Future {
        Box::pin(async move {
            let name = request.into_inner().name;
            let lost = Status::data_loss("disk 7");
            Ok(each(vec![Ok(greeting(&name)), Ok(greeting(&name)), Err(lost)]))
        })
    }
}

impl tonic::server::ClientStreamingService<Name> for Greet {
    type Response = Greeting;
    type Future = Reply<Greeting>;

    fn call(&mut self, request: tonic::Request<tonic::Streaming<Name>>) -> Self::Future {
        Box::pin(async move {
            let mut names = request.into_inner();
            let mut all = Vec::new();
            while let Some(name) = names.message().await? {
                all.push(name.name);
            }
            Ok(tonic::Response::new(greeting(&all.join(" and "))))
        })
    }
}

impl tonic::server::StreamingService<Name> for Greet {
    type Response = Greeting;
    type ResponseStream = Greetings;
    type Future = Reply<Greetings>;

    fn call(&mut self, request: tonic::Request<tonic::Streaming<Name>>) -> Self::Future {
        Box::pin(async move {
            let mut names = request.into_inner();
            let mut greetings = Vec::new();
            while let Some(name) = names.message().await? {
                greetings.push(Ok(greeting(&name.name)));
            }
            Ok(each(greetings))
        })
    }
}

#[tokio::test]
async fn our_client_calls_all_four_kinds_of_a_foreign_server() {
    let channel = pipe_any(tower::service_fn(tonics));
    let names = || Streaming::iter(["Ann", "Bob"].map(|name| Ok(name.to_owned())));
    let unary = Client::unary(channel.clone(), &GREETING, to_name, from_greeting);
    assert_eq!(unary.invoke(Context::new(), "Ann".to_owned()).await.unwrap(), "Hello, Ann!");

    let many = Client::server_streaming(channel.clone(), &GREET_MANY, to_name, from_greeting);
    let mut many = many.invoke(Context::new(), "Ann".to_owned()).await.unwrap();
    assert_eq!(many.message().await.unwrap().unwrap(), "Hello, Ann!");
    assert_eq!(many.message().await.unwrap().unwrap(), "Hello, Ann!");
    let error = many.message().await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::DataLoss, "disk 7"));

    let one = Client::client_streaming(channel.clone(), &GREET_ALL, to_name, from_greeting);
    assert_eq!(one.invoke(Context::new(), names()).await.unwrap(), "Hello, Ann and Bob!");

    let chat = Client::bidirectional(channel, &CHAT, to_name, from_greeting);
    let chat = all(chat.invoke(Context::new(), names()).await.unwrap()).await.unwrap();
    assert_eq!(chat, ["Hello, Ann!", "Hello, Bob!"]);
}

#[tokio::test]
async fn a_foreign_error_and_its_metadata_are_read() {
    let why = Arc::new(Mutex::new(None));
    let seen = why.clone();
    let channel = pipe_any(tower::service_fn(tonics));
    let client = Client::unary(channel, &GREETING, to_name, from_greeting)
        .after(move |_, _, trailers| *seen.lock().unwrap() = trailers.get("x-why").cloned());
    let error = client.invoke(Context::new(), "Nobody".to_owned()).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::NotFound, "no – one"));
    assert_eq!(why.lock().unwrap().take().unwrap(), "because");
    assert!(error.attached::<StatusDetails>().is_none());
}

/// A server that answers with exactly this, whatever is asked.
#[derive(Clone, Default)]
struct Canned {
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    data: Bytes,
    trailers: Option<&'static [(&'static str, &'static str)]>,
}

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    pairs.iter().map(pair).collect()
}

impl Canned {
    async fn answer(
        self,
        _: Request<Body>,
    ) -> Result<Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>>, Infallible>
    {
        let trailers = self.trailers.map(|pairs| Ok(map(pairs)));
        let body = Full::new(self.data);
        let body = match trailers {
            Some(trailers) => body.with_trailers(std::future::ready(Some(trailers))).boxed_unsync(),
            None => body.boxed_unsync(),
        };
        let mut response = Response::new(body);
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap();
        *response.headers_mut() = map(self.headers);
        Ok(response)
    }

    async fn unary(&self) -> Result<String, Error> {
        let canned = self.clone();
        let channel = tower::service_fn(move |request| canned.clone().answer(request));
        let client = Client::unary(channel, &GREETING, to_name, from_greeting).gzip(true);
        client.invoke(Context::new(), "Ann".to_owned()).await
    }

    async fn many(&self) -> Result<Vec<String>, (usize, Code)> {
        let canned = self.clone();
        let channel = tower::service_fn(move |request| canned.clone().answer(request));
        let client = Client::server_streaming(channel, &GREET_MANY, to_name, from_greeting);
        let stream = client.invoke(Context::new(), "Ann".to_owned()).await;
        let mut stream = stream.map_err(|error| (0, error.code()))?;
        let mut all = Vec::new();
        loop {
            match stream.message().await {
                Ok(Some(message)) => all.push(message),
                Ok(None) => return Ok(all),
                Err(error) => return Err((all.len(), error.code())),
            }
        }
    }
}

fn hello() -> Bytes {
    framed(0, &greeting("Ann").encode_to_vec())
}

const GRPC: &[(&str, &str)] = &[("content-type", "application/grpc")];
const OK: &[(&str, &str)] = &[("grpc-status", "0")];

fn canned(data: Bytes, trailers: Option<&'static [(&'static str, &'static str)]>) -> Canned {
    Canned { status: 200, headers: GRPC, data, trailers }
}

#[tokio::test]
async fn none_or_several_responses_where_one_belongs_are_unimplemented() {
    assert_eq!(canned(hello(), Some(OK)).unary().await.unwrap(), "Hello, Ann!");
    let two = Bytes::from([hello(), hello()].concat());
    for data in [Bytes::new(), two.clone()] {
        let error = canned(data, Some(OK)).unary().await.unwrap_err();
        assert_eq!(error.code(), Code::Unimplemented);
    }
    assert_eq!(canned(two, Some(OK)).many().await.unwrap().len(), 2);
    assert_eq!(canned(Bytes::new(), Some(OK)).many().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_response_without_its_status_is_no_success() {
    let code = async |canned: Canned| canned.unary().await.unwrap_err().code();
    assert_eq!(code(canned(hello(), None)).await, Code::Internal);
    assert_eq!(canned(hello(), None).many().await, Err((1, Code::Internal)));
    assert_eq!(code(canned(hello(), Some(&[("x-a", "1")]))).await, Code::Unknown);
    assert_eq!(code(canned(Bytes::new(), None)).await, Code::Unknown);
    // A status in the headers counts only where nothing else comes.
    let headers = &[("content-type", "application/grpc"), ("grpc-status", "8")];
    let with = |data, trailers| Canned { status: 200, headers, data, trailers };
    assert_eq!(code(with(Bytes::new(), None)).await, Code::ResourceExhausted);
    assert_eq!(code(with(hello(), None)).await, Code::Internal);
    assert_eq!(
        code(with(Bytes::new(), Some(&[("grpc-status", "9")]))).await,
        Code::FailedPrecondition
    );
    assert_eq!(with(Bytes::new(), None).many().await, Err((0, Code::ResourceExhausted)));
}

#[tokio::test]
async fn what_is_not_grpc_is_known_by_its_http_status() {
    let code = async |status, headers| {
        let canned = Canned { status, headers, ..Canned::default() };
        canned.unary().await.unwrap_err().code()
    };
    let html: &[_] = &[("content-type", "text/html")];
    for (status, expected) in [
        (200, Code::Unknown),
        (404, Code::Unimplemented),
        (503, Code::Unavailable),
        (418, Code::Unknown),
        (800, Code::Unknown),
    ] {
        assert_eq!(code(status, html).await, expected, "{status}");
    }
    assert_eq!(code(502, GRPC).await, Code::Unavailable);
    let json: &[_] = &[("content-type", "application/grpc+json")];
    assert_eq!(code(200, json).await, Code::Internal);
    let known: &[_] = &[("content-type", "application/grpc"), ("grpc-status", "5")];
    assert_eq!(code(503, known).await, Code::NotFound);
}

#[tokio::test]
async fn a_broken_message_is_internal() {
    let short = hello().slice(..9);
    assert_eq!(canned(short, Some(OK)).unary().await.unwrap_err().code(), Code::Internal);
    let flagged = framed(1, &greeting("Ann").encode_to_vec());
    assert_eq!(canned(flagged.clone(), Some(OK)).unary().await.unwrap_err().code(), Code::Internal);
    let foo = &[("content-type", "application/grpc"), ("grpc-encoding", "foo")];
    let foo = Canned { status: 200, headers: foo, data: flagged, trailers: Some(OK) };
    assert_eq!(foo.unary().await.unwrap_err().code(), Code::Internal);
    let garbage = canned(framed(0, b"\xff\xff\xff"), Some(OK));
    assert_eq!(garbage.unary().await.unwrap_err().code(), Code::Internal);
}
