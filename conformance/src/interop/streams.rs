//! Cases about streams.

use super::{
    DUPLEX, INPUT, OUTPUT, cases,
    cases::{failure, same, text},
    payload,
    proto::{
        EchoStatus, ResponseParameters, StreamingInputCallRequest, StreamingInputCallResponse,
        StreamingOutputCallRequest, StreamingOutputCallResponse,
    },
};
use crate::feed::feed;
use purlin_endpoint::{Code, Context, Endpoint as _, Error, Streaming};
use purlin_transport_grpc::{Channel, Client};
use std::time::Duration;
use tokio::{sync::mpsc, time::timeout as within};

pub(super) type Encode<Req> = fn(Req) -> Result<Req, Error>;

/// A client that encodes and decodes by doing nothing.
macro_rules! client {
    ($kind:ident, $channel:expr, $method:expr, $request:ty, $response:ty) => {
        Client::$kind($channel, &$method, Ok as Encode<$request>, Ok as Encode<$response>)
    };
}
pub(super) use client;

const REQUESTS: [usize; 4] = [27_182, 8, 1_828, 45_904];
const RESPONSES: [usize; 4] = [31_415, 9, 2_653, 58_979];
const PATIENCE: Duration = Duration::from_secs(10);

/// A request with so large a payload that asks for responses of these sizes.
pub(super) fn request(size: usize, responses: &[usize]) -> StreamingOutputCallRequest {
    let wanted = |size: &usize| ResponseParameters {
        size: i32::try_from(*size).unwrap_or(i32::MAX),
        ..ResponseParameters::default()
    };
    StreamingOutputCallRequest {
        payload: Some(payload(size)),
        response_parameters: responses.iter().map(wanted).collect(),
        ..StreamingOutputCallRequest::default()
    }
}

/// The sizes of all payloads that come.
pub(super) async fn sizes(
    responses: &mut Streaming<StreamingOutputCallResponse>,
) -> Result<Vec<usize>, Error> {
    let mut sizes = Vec::new();
    while let Some(response) = responses.message().await? {
        sizes.push(length(&response));
    }
    Ok(sizes)
}

fn length(response: &StreamingOutputCallResponse) -> usize {
    response.payload.as_ref().map_or(0, |payload| payload.body.len())
}

pub(super) async fn client_streaming(channel: Channel) -> Result<(), String> {
    let client = client!(
        client_streaming,
        channel,
        INPUT,
        StreamingInputCallRequest,
        StreamingInputCallResponse
    );
    let request = |size| StreamingInputCallRequest {
        payload: Some(payload(size)),
        ..StreamingInputCallRequest::default()
    };
    let requests = Streaming::iter(REQUESTS.map(request).map(Ok));
    let response = client.invoke(Context::new(), requests).await.map_err(text)?;
    same("the sum", response.aggregated_payload_size, 74_922)
}

pub(super) async fn server_streaming(channel: Channel) -> Result<(), String> {
    let client = client!(
        server_streaming,
        channel,
        OUTPUT,
        StreamingOutputCallRequest,
        StreamingOutputCallResponse
    );
    let mut responses =
        client.invoke(Context::new(), request(0, &RESPONSES)).await.map_err(text)?;
    same("the sizes", sizes(&mut responses).await.map_err(text)?, RESPONSES.to_vec())
}

pub(super) type Duplex = Client<
    Channel,
    purlin_transport_grpc::Each<Encode<StreamingOutputCallRequest>, StreamingOutputCallRequest>,
    purlin_transport_grpc::Each<Encode<StreamingOutputCallResponse>, StreamingOutputCallResponse>,
>;

pub(super) fn duplex(channel: Channel) -> Duplex {
    client!(bidirectional, channel, DUPLEX, StreamingOutputCallRequest, StreamingOutputCallResponse)
}

/// A call that is open in both directions, with its first request sent.
async fn begin(
    channel: Channel,
    context: Context,
    first: StreamingOutputCallRequest,
) -> Result<(mpsc::Sender<StreamingOutputCallRequest>, Streaming<StreamingOutputCallResponse>), Error>
{
    let (sender, requests) = feed();
    let _ = sender.send(first).await;
    Ok((sender, duplex(channel).invoke(context, requests).await?))
}

async fn one(
    responses: &mut Streaming<StreamingOutputCallResponse>,
    size: usize,
) -> Result<(), String> {
    let response = within(PATIENCE, responses.message()).await.map_err(|_| "no response comes")?;
    let response = response.map_err(text)?.ok_or("the responses end early")?;
    same("the size", length(&response), size)
}

pub(super) async fn ping_pong(channel: Channel) -> Result<(), String> {
    let first = request(REQUESTS[0], &RESPONSES[..1]);
    let (sender, mut responses) = begin(channel, Context::new(), first).await.map_err(text)?;
    one(&mut responses, RESPONSES[0]).await?;
    for (size, answer) in REQUESTS.into_iter().zip(RESPONSES).skip(1) {
        sender.send(request(size, &[answer])).await.map_err(|_| "the server takes no more")?;
        one(&mut responses, answer).await?;
    }
    drop(sender);
    same("what is left", sizes(&mut responses).await.map_err(text)?, vec![])
}

pub(super) async fn empty_stream(channel: Channel) -> Result<(), String> {
    let requests = Streaming::iter(Vec::new());
    let mut responses = duplex(channel).invoke(Context::new(), requests).await.map_err(text)?;
    same("the sizes", sizes(&mut responses).await.map_err(text)?, vec![])
}

/// The server gets no request that it could answer within the time, which is a millisecond.
pub(super) async fn timeout(channel: Channel) -> Result<(), String> {
    let context = Context::new().with_timeout(Duration::from_millis(1));
    let outcome = async {
        let (_open, mut responses) = begin(channel, context, request(27_182, &[])).await?;
        sizes(&mut responses).await
    };
    let outcome = within(PATIENCE, outcome).await.map_err(|_| "the deadline does not pass")?;
    same("the status", failure("the call", outcome)?.code(), Code::DeadlineExceeded)
}

/// A call is cancelled by dropping it: its stream of requests must be let go, and the connection
/// must live on.
pub(super) async fn cancel_after_begin(channel: Channel) -> Result<(), String> {
    let (sender, requests) = feed::<StreamingInputCallRequest>();
    let client = client!(
        client_streaming,
        channel.clone(),
        INPUT,
        StreamingInputCallRequest,
        StreamingInputCallResponse
    );
    let call = tokio::spawn(async move { client.invoke(Context::new(), requests).await });
    // What is sent as the first is taken only by a call that has begun.
    let _ = sender.send(StreamingInputCallRequest::default()).await;
    let taken = within(PATIENCE, sender.reserve()).await.map_err(|_| "the call does not begin")?;
    taken.map(drop).map_err(|_| "the call ends by itself")?;
    call.abort();
    let cancelled = call.await.is_err_and(|error| error.is_cancelled());
    same("the call's end by cancellation", cancelled, true)?;
    within(PATIENCE, sender.closed()).await.map_err(|_| "the requests are not let go")?;
    cases::empty_unary(channel).await
}

pub(super) async fn cancel_after_first(channel: Channel) -> Result<(), String> {
    let first = request(27_182, &[31_415]);
    let begun = begin(channel.clone(), Context::new(), first).await;
    let (sender, mut responses) = begun.map_err(text)?;
    one(&mut responses, 31_415).await?;
    drop(responses);
    within(PATIENCE, sender.closed()).await.map_err(|_| "the requests are not let go")?;
    cases::empty_unary(channel).await
}

/// A stream that fails with a status of the caller's choice.
pub(super) async fn refused(channel: Channel, message: &str) -> Result<(), String> {
    let status = EchoStatus { code: 2, message: message.to_owned() };
    let request = StreamingOutputCallRequest { response_status: Some(status), ..request(0, &[]) };
    let outcome = async {
        let requests = Streaming::once(request);
        sizes(&mut duplex(channel).invoke(Context::new(), requests).await?).await
    };
    let error = failure("the stream", outcome.await)?;
    same("the status", (error.code(), error.message()), (Code::Unknown, message))
}
