//! Our server, called by tonic's client over a real socket.

use crate::greeter::{self, Greeting, Name, name};
use http::uri::PathAndQuery;
use purlin_transport_grpc::Server;
use tokio::net::TcpListener;
use tonic::{Code, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

type Codec = ProstCodec<Name, Greeting>;

async fn connect(server: Server) -> Grpc<Channel> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(purlin_serve::Server::new().serve(listener, server, std::future::pending::<()>()));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let mut grpc = Grpc::new(channel.connect().await.unwrap());
    grpc.ready().await.unwrap();
    grpc
}

fn path(name: &'static str) -> PathAndQuery {
    format!("/greeter.Greeter/{name}").parse().unwrap()
}

struct Names(std::vec::IntoIter<&'static str>);

impl futures_core::Stream for Names {
    type Item = Name;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Name>> {
        std::task::Poll::Ready(self.0.next().map(name))
    }
}

fn names<const N: usize>(names: [&'static str; N]) -> Names {
    Names(Vec::from(names).into_iter())
}

async fn all(mut stream: tonic::Streaming<Greeting>) -> Result<Vec<String>, tonic::Status> {
    let mut all = Vec::new();
    while let Some(message) = stream.message().await? {
        all.push(message.greeting);
    }
    Ok(all)
}

#[tokio::test]
async fn a_foreign_client_calls_all_four_kinds() {
    let mut grpc = connect(greeter::server()).await;
    for _ in 0..3 {
        let reply = grpc
            .unary(tonic::Request::new(name("Ann")), path("Greeting"), Codec::default())
            .await
            .unwrap();
        assert_eq!(reply.get_ref().greeting, "Hello, Ann!");
        assert!(reply.metadata().get("x-request-id").is_some());

        grpc.ready().await.unwrap();
        let request = tonic::Request::new(name("Ann"));
        let many = grpc.server_streaming(request, path("GreetMany"), Codec::default()).await;
        let many = all(many.unwrap().into_inner()).await.unwrap();
        assert_eq!(many, ["Hello, Ann!", "Hallo, Ann!", "Ciao, Ann!"]);

        grpc.ready().await.unwrap();
        let request = tonic::Request::new(names(["Ann", "Bob"]));
        let one = grpc.client_streaming(request, path("GreetAll"), Codec::default()).await;
        assert_eq!(one.unwrap().into_inner().greeting, "Hello, Ann and Bob!");

        grpc.ready().await.unwrap();
        let request = tonic::Request::new(names(["Ann", "Bob"]));
        let chat = grpc.streaming(request, path("Chat"), Codec::default()).await;
        let chat = all(chat.unwrap().into_inner()).await.unwrap();
        assert_eq!(chat, ["Hello, Ann!", "Hello, Bob!"]);
        grpc.ready().await.unwrap();
    }
}

#[tokio::test]
async fn a_foreign_client_reads_our_errors() {
    let mut grpc = connect(greeter::server()).await;
    let request = tonic::Request::new(name(""));
    let status = grpc.unary(request, path("Greeting"), Codec::default()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "name is missing"));
    assert!(!status.details().is_empty());

    grpc.ready().await.unwrap();
    let request = tonic::Request::new(names(["Ann", ""]));
    let chat = grpc.streaming(request, path("Chat"), Codec::default()).await;
    let status = all(chat.unwrap().into_inner()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "name is missing"));

    grpc.ready().await.unwrap();
    let request = tonic::Request::new(name("Ann"));
    let status = grpc.unary(request, path("Nothing"), Codec::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.message(), "there is no method /greeter.Greeter/Nothing");
}
