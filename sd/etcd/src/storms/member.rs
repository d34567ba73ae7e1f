//! A member, as it is heard by gRPC.

use super::store::{Failure, NO_LEADER, Store};
use crate::client::wire::{WatchRequest, WatchResponse, watch_request::RequestUnion};
use futures_util::stream;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use purlin_sd::conformance::Fault;
use std::{convert::Infallible, sync::Arc};
use tokio::io::DuplexStream;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Until the connection has ended.
pub(super) async fn serve(connection: DuplexStream, store: Arc<Store>) {
    let service = service_fn(move |asked| {
        let store = store.clone();
        async move { Ok::<_, Infallible>(answer(store, asked).await) }
    });
    let mut server = http2::Builder::new(TokioExecutor::new());
    // No seed decides what day it is.
    server.auto_date_header(false);
    // It ends with an error where a fault has ended it.
    let _ = server.serve_connection(TokioIo::new(connection), service).await;
}

async fn answer(store: Arc<Store>, asked: Request<Incoming>) -> Response<Body> {
    let answer = Response::builder();
    let (head, mut body) = asked.into_parts();
    let question = read(&mut body).await;
    let fault = store.truth.now().fault;
    if fault == Some(Fault::Errors) && fastrand::bool() {
        // It is a proxy that says this.
        return answer.status(503).body(Empty::new().boxed_unsync()).unwrap();
    }
    let outcome = match question {
        Some(question) if fault != Some(Fault::Errors) => {
            reply(&store, head.uri.path(), &question, body)
        }
        _ => Err(NO_LEADER),
    };
    let answer = answer.header("content-type", "application/grpc");
    match outcome {
        Ok(body) => answer.body(body).unwrap(),
        Err(Failure(code, message)) => {
            let answer = answer.header("grpc-status", code).header("grpc-message", message);
            answer.body(Empty::new().boxed_unsync()).unwrap()
        }
    }
}

fn reply(store: &Arc<Store>, path: &str, question: &[u8], body: Incoming) -> Result<Body, Failure> {
    let answer = match path {
        "/etcdserverpb.KV/Range" => encoded(&store.range(&decoded(question))),
        "/etcdserverpb.KV/Put" => encoded(&store.put(&decoded(question))?),
        "/etcdserverpb.Lease/LeaseGrant" => encoded(&store.grant(&decoded(question))?),
        "/etcdserverpb.Lease/LeaseRevoke" => encoded(&store.revoke(&decoded(question))?),
        "/etcdserverpb.Lease/LeaseKeepAlive" => encoded(&store.keep_alive(&decoded(question))),
        "/etcdserverpb.Watch/Watch" => return Ok(watch(store.clone(), decoded(question), body)),
        _ => return Err(Failure(12, "unknown method")),
    };
    let breaks_off = store.truth.now().fault == Some(Fault::Garbage);
    let length = if breaks_off { answer.len() / 2 } else { answer.len() };
    let fine = std::future::ready(Some(Ok(status(Failure(0, "")))));
    Ok(Full::new(answer.slice(..length)).with_trailers(fine).boxed_unsync())
}

/// What changes, for as long as somebody listens. The question stays open meanwhile.
fn watch(store: Arc<Store>, asked: WatchRequest, question: Incoming) -> Body {
    let Some(RequestUnion::CreateRequest(create)) = asked.request_union else {
        panic!("a watch begins with what is to be watched");
    };
    let created = [Ok(frame(&WatchResponse::default()))];
    let told = stream::unfold(Some((store.watch(create), question)), async |watching| {
        let (mut watch, question) = watching?;
        Some(match watch.next().await {
            Ok(answer) => (Ok(frame(&answer)), Some((watch, question))),
            Err(failure) => (Ok(Frame::trailers(status(failure))), None),
        })
    });
    let frames = futures_util::StreamExt::chain(stream::iter(created), told);
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

/// The first message of a question, unless whoever asked is gone.
async fn read(body: &mut Incoming) -> Option<Bytes> {
    let mut bytes = Vec::new();
    loop {
        if let Some((head, message)) = bytes.split_first_chunk::<5>() {
            let [_, length @ ..] = *head;
            if let Some(message) = message.get(..u32::from_be_bytes(length) as usize) {
                return Some(Bytes::copy_from_slice(message));
            }
        }
        bytes.extend(body.frame().await?.ok()?.into_data().ok()?);
    }
}

fn decoded<T: Message + Default>(bytes: &[u8]) -> T {
    T::decode(bytes).unwrap()
}

fn encoded(message: &impl Message) -> Bytes {
    let length = u32::try_from(message.encoded_len()).unwrap().to_be_bytes();
    [&[0], &length[..], &message.encode_to_vec()].concat().into()
}

fn frame(message: &impl Message) -> Frame<Bytes> {
    Frame::data(encoded(message))
}

fn status(Failure(code, message): Failure) -> HeaderMap {
    let header = |name, value: String| (HeaderName::from_static(name), value.parse().unwrap());
    [header("grpc-status", code.to_string()), header("grpc-message", message.into())]
        .into_iter()
        .collect()
}
