//! The services that each server may have beside its own.

use crate::{greeter, own_client::pipe};
use prost::Message;
use purlin_endpoint::{Code, Context, Endpoint as _, Method, Streaming};
use purlin_transport_grpc::Client;
use tokio::sync::watch;

static CHECK: Method = Method::unary("grpc.health.v1.Health", "Check");
static LIST: Method = Method::unary("grpc.health.v1.Health", "List");
static WATCH: Method = Method::server_streaming("grpc.health.v1.Health", "Watch");
static REFLECT: Method =
    Method::bidirectional("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo");

#[derive(Clone, PartialEq, Message)]
struct Asked {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Statuses {
    #[prost(btree_map = "string, message", tag = "1")]
    statuses: std::collections::BTreeMap<String, Status>,
}

#[tokio::test]
async fn health_is_told_for_the_server_and_its_services() {
    let (serving, watched) = watch::channel(false);
    let channel = pipe(greeter::server().health(watched));
    let ask = |service: &str| Asked { service: service.to_owned() };
    let check = Client::unary(channel.clone(), &CHECK, Ok, |status: Status| Ok(status.status));
    let invoke = |service| check.invoke(Context::new(), ask(service));
    assert_eq!(invoke("").await.unwrap(), 2);
    serving.send_replace(true);
    assert_eq!(invoke("").await.unwrap(), 1);
    assert_eq!(invoke("greeter.Greeter").await.unwrap(), 1);
    assert_eq!(invoke("greeter.Nobody").await.unwrap_err().code(), Code::NotFound);

    let list = Client::unary(
        channel,
        &LIST,
        |()| Ok(Asked::default()),
        |all: Statuses| {
            Ok(all.statuses.into_iter().map(|(name, s)| (name, s.status)).collect::<Vec<_>>())
        },
    );
    let all = list.invoke(Context::new(), ()).await.unwrap();
    let expected = [("", 1), ("greeter.Greeter", 1), ("grpc.health.v1.Health", 1)];
    assert_eq!(all, expected.map(|(name, status)| (name.to_owned(), status)));
}

#[tokio::test]
async fn a_watcher_sees_each_change_once() {
    let (serving, watched) = watch::channel(true);
    let channel = pipe(greeter::server().health(watched));
    let watch = Client::server_streaming(channel, &WATCH, Ok, |status: Status| Ok(status.status));
    let asked = Asked { service: "greeter.Greeter".to_owned() };
    let mut statuses = watch.invoke(Context::new(), asked).await.unwrap();
    assert_eq!(statuses.message().await.unwrap(), Some(1));
    serving.send_replace(true);
    serving.send_replace(false);
    assert_eq!(statuses.message().await.unwrap(), Some(2));
    serving.send_replace(true);
    assert_eq!(statuses.message().await.unwrap(), Some(1));

    let asked = Asked { service: "greeter.Nobody".to_owned() };
    let mut unknown = watch.invoke(Context::new(), asked).await.unwrap();
    assert_eq!(unknown.message().await.unwrap(), Some(3));
}

#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, optional, tag = "4")]
    symbol: Option<String>,
    #[prost(string, optional, tag = "7")]
    services: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, optional, tag = "4")]
    files: Option<Files>,
    #[prost(message, optional, tag = "6")]
    services: Option<Services>,
    #[prost(message, optional, tag = "7")]
    error: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    services: Vec<Asked>,
}

/// The greeter's own file, as a build script would compile it.
fn file_set() -> Vec<u8> {
    let file = prost_types::FileDescriptorProto {
        name: Some("greeter.proto".to_owned()),
        package: Some("greeter".to_owned()),
        service: vec![prost_types::ServiceDescriptorProto {
            name: Some("Greeter".to_owned()),
            ..Default::default()
        }],
        ..Default::default()
    };
    prost_types::FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

#[tokio::test]
async fn reflection_lists_what_is_mounted_and_finds_its_files() {
    let (_serving, watched) = watch::channel(true);
    let server = greeter::server().reflection(&file_set()).unwrap().health(watched);
    let reflect = Client::bidirectional(pipe(server), &REFLECT, Ok, Ok::<Answer, _>);
    let ask = |symbol: &str| Question { symbol: Some(symbol.to_owned()), services: None };
    let questions = [
        Question { symbol: None, services: Some("*".to_owned()) },
        ask("greeter.Greeter"),
        ask("grpc.health.v1.Health.Watch"),
        ask("greeter.Nobody"),
    ];
    let asked = Streaming::iter(questions.map(Ok));
    let mut answers = reflect.invoke(Context::new(), asked).await.unwrap();
    let services = answers.message().await.unwrap().unwrap().services.unwrap().services;
    let services: Vec<_> = services.into_iter().map(|one| one.service).collect();
    let expected = [
        "greeter.Greeter",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    assert_eq!(services, expected);
    for name in ["greeter.proto", "grpc/health/v1/health.proto"] {
        let files = answers.message().await.unwrap().unwrap().files.unwrap().files;
        let file = prost_types::FileDescriptorProto::decode(&*files[0]).unwrap();
        assert_eq!(file.name(), name);
    }
    assert_eq!(answers.message().await.unwrap().unwrap().error.unwrap().status, 5);
    assert!(answers.message().await.unwrap().is_none());
}

#[test]
fn what_is_no_file_set_is_refused_at_the_start() {
    let refused = greeter::server().reflection(b"\xff\xff").unwrap_err();
    assert_eq!(refused.to_string(), "file_descriptor_set must be an encoded FileDescriptorSet");
}
