//! The cases: what is called, and what must come back.

use super::{
    EMPTY, UNARY, UNKNOWN_METHOD, UNKNOWN_SERVICE, compressed, metadata, payload,
    proto::{EchoStatus, Empty, SimpleRequest, SimpleResponse},
    streams,
    tap::Flags,
};
use futures_util::{FutureExt as _, future::BoxFuture};
use prost::Message as _;
use purlin_endpoint::{Code, Context, Endpoint, Error, Method};
use purlin_transport_grpc::{Channel, Client};
use std::fmt::Debug;

/// The name of a case and what it does.
pub type Case = (&'static str, fn(Channel) -> BoxFuture<'static, Result<(), String>>);

/// The cases that any server of the service must pass.
pub const CASES: &[Case] = &[
    ("empty_unary", |channel| empty_unary(channel).boxed()),
    ("large_unary", |channel| large_unary(channel).boxed()),
    ("client_streaming", |channel| streams::client_streaming(channel).boxed()),
    ("server_streaming", |channel| streams::server_streaming(channel).boxed()),
    ("ping_pong", |channel| streams::ping_pong(channel).boxed()),
    ("empty_stream", |channel| streams::empty_stream(channel).boxed()),
    ("timeout_on_sleeping_server", |channel| streams::timeout(channel).boxed()),
    ("cancel_after_begin", |channel| streams::cancel_after_begin(channel).boxed()),
    ("cancel_after_first_response", |channel| streams::cancel_after_first(channel).boxed()),
    ("status_code_and_message", |channel| status_code_and_message(channel).boxed()),
    ("special_status_message", |channel| special_status_message(channel).boxed()),
    ("custom_metadata", |channel| metadata::custom_metadata(channel).boxed()),
    ("unimplemented_method", |channel| unimplemented(channel, &UNKNOWN_METHOD).boxed()),
    ("unimplemented_service", |channel| unimplemented(channel, &UNKNOWN_SERVICE).boxed()),
];

/// The name of a case about packed messages and what it does.
pub type CompressedCase =
    (&'static str, fn(Channel, Flags) -> BoxFuture<'static, Result<(), String>>);

/// The cases about packed messages, which grpc-go's server does not know.
pub const COMPRESSED: &[CompressedCase] = &[
    ("client_compressed_unary", |c, flags| compressed::client_unary(c, flags).boxed()),
    ("server_compressed_unary", |c, flags| compressed::server_unary(c, flags).boxed()),
    ("client_compressed_streaming", |c, flags| compressed::client_streaming(c, flags).boxed()),
    ("server_compressed_streaming", |c, flags| compressed::server_streaming(c, flags).boxed()),
];

/// Says what was expected where something else came.
#[expect(clippy::needless_pass_by_value, reason = "both are made for the question")]
pub(crate) fn same<T: PartialEq + Debug>(what: &str, got: T, expected: T) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("{what}: {got:?}, not {expected:?}")) }
}

/// The error of a call that must fail.
pub(super) fn failure<T>(what: &str, outcome: Result<T, Error>) -> Result<Error, String> {
    outcome.err().ok_or_else(|| format!("{what} succeeds"))
}

/// An error as a case tells it.
#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
pub(super) fn text(error: Error) -> String {
    format!("{}: {}", error.code().as_str(), error.message())
}

/// The call with a single message either way.
pub(super) fn unary(
    channel: Channel,
) -> impl Endpoint<SimpleRequest, Response = SimpleResponse, Error = Error> {
    Client::unary(channel, &UNARY, Ok::<SimpleRequest, _>, Ok::<SimpleResponse, _>)
}

pub(super) fn length(response: &SimpleResponse) -> usize {
    response.payload.as_ref().map_or(0, |payload| payload.body.len())
}

pub(super) async fn empty_unary(channel: Channel) -> Result<(), String> {
    let client = Client::unary(channel, &EMPTY, Ok::<Empty, _>, Ok::<Empty, _>);
    client.invoke(Context::new(), Empty {}).await.map(drop).map_err(text)
}

/// The size of a large response's payload.
pub(crate) const LARGE: usize = 314_159;

fn large_request() -> SimpleRequest {
    SimpleRequest {
        response_size: 314_159,
        payload: Some(payload(271_828)),
        ..SimpleRequest::default()
    }
}

/// The message that answers a large call, as it is on the wire.
pub(crate) fn large_response() -> Vec<u8> {
    let response = SimpleResponse { payload: Some(payload(LARGE)), ..SimpleResponse::default() };
    let message = response.encode_to_vec();
    // No message is so long that its length would not fit.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], &message].concat()
}

/// A large call; it gives the size of the payload that comes back.
pub(crate) async fn call_large_unary(channel: Channel) -> Result<usize, Error> {
    let response = unary(channel).invoke(Context::new(), large_request()).await?;
    Ok(length(&response))
}

pub(crate) async fn large_unary(channel: Channel) -> Result<(), String> {
    same("the response's payload", call_large_unary(channel).await.map_err(text)?, LARGE)
}

async fn refused(channel: Channel, message: &str) -> Result<(), String> {
    let status = EchoStatus { code: 2, message: message.to_owned() };
    let request = SimpleRequest { response_status: Some(status), ..SimpleRequest::default() };
    let outcome = unary(channel).invoke(Context::new(), request).await;
    let error = failure("the call", outcome)?;
    same("the status", (error.code(), error.message()), (Code::Unknown, message))
}

async fn status_code_and_message(channel: Channel) -> Result<(), String> {
    refused(channel.clone(), "test status message").await?;
    streams::refused(channel, "test status message").await
}

async fn special_status_message(channel: Channel) -> Result<(), String> {
    let message = "\t\ntest with whitespace\r\nand Unicode BMP \u{263a} and non-BMP \u{1f608}\t\n";
    refused(channel, message).await
}

async fn unimplemented(channel: Channel, method: &'static Method) -> Result<(), String> {
    let client = Client::unary(channel, method, Ok::<Empty, _>, Ok::<Empty, _>);
    let error = failure("the call", client.invoke(Context::new(), Empty {}).await)?;
    same("the status", error.code(), Code::Unimplemented)
}
