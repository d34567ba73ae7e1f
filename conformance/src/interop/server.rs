//! The service that the cases call.

use super::{
    DUPLEX, EMPTY, HALF, INITIAL, INPUT, OUTPUT, TRAILING, UNARY, payload,
    proto::{
        BoolValue, EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse,
        StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
        StreamingOutputCallResponse,
    },
};
use futures_util::stream;
use http::HeaderMap;
use purlin_endpoint::{Code, Context, Error, Streaming, endpoint_fn};
use purlin_transport_grpc::Server;
use std::{collections::VecDeque, time::Duration};
use tokio::time::sleep;

/// More than any case asks for; a size that is larger, or negative, is refused.
const LONGEST: usize = 3 << 20;

/// Whether the request came packed, as far as its head says.
struct Packed(bool);

/// The service without a port.
///
/// `UnimplementedCall` is not mounted, as the cases want it. It accepts gzip, and packs answers of
/// any size for those who accept that.
pub fn service() -> Server {
    Server::new()
        .unary(&EMPTY, endpoint_fn(async |_: Context, _: Empty| Ok::<_, Error>(Empty {})), Ok, Ok)
        .unary(&UNARY, endpoint_fn(unary), Ok, Ok)
        .server_streaming(&OUTPUT, endpoint_fn(output), Ok, Ok)
        .client_streaming(&INPUT, endpoint_fn(input), Ok, Ok)
        .bidirectional(&DUPLEX, endpoint_fn(full_duplex), Ok, Ok)
        .bidirectional(&HALF, endpoint_fn(half_duplex), Ok, Ok)
        .before(|context, headers| {
            let packed = headers.get("grpc-encoding").is_some_and(|name| name == "gzip");
            echo(&context, headers);
            Ok(context.with(Packed(packed)))
        })
        .gzip(true)
        .gzip_from(0)
}

fn echo(context: &Context, headers: &HeaderMap) {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(value) = text(INITIAL) {
        context.reply().header(INITIAL, value);
    }
    if let Some(value) = text(TRAILING) {
        context.reply().trailer(TRAILING, value);
    }
}

fn wanted(status: Option<EchoStatus>) -> Result<(), Error> {
    match status {
        Some(EchoStatus { code, message }) if code != 0 => {
            Err(Error::of(Code::from_number(code.into())).public(message))
        }
        _ => Ok(()),
    }
}

fn sized(size: i32) -> Result<Payload, Error> {
    match usize::try_from(size) {
        Ok(size) if size <= LONGEST => Ok(payload(size)),
        _ => Err(Error::invalid("size", "is negative or too large")),
    }
}

/// Holds a request to what it says of its own packing.
fn as_expected(context: &Context, expected: Option<BoolValue>) -> Result<(), Error> {
    let packed = context.get::<Packed>().is_some_and(|packed| packed.0);
    match expected {
        Some(expected) if expected.value != packed => {
            Err(Error::invalid("expect_compressed", "is not how the message came"))
        }
        _ => Ok(()),
    }
}

async fn unary(context: Context, request: SimpleRequest) -> Result<SimpleResponse, Error> {
    as_expected(&context, request.expect_compressed)?;
    wanted(request.response_status)?;
    let server_id = if request.fill_server_id { "purlin".to_owned() } else { String::new() };
    Ok(SimpleResponse { payload: Some(sized(request.response_size)?), server_id })
}

async fn input(
    context: Context,
    mut requests: Streaming<StreamingInputCallRequest>,
) -> Result<StreamingInputCallResponse, Error> {
    let mut sum = 0_i32;
    while let Some(request) = requests.message().await? {
        as_expected(&context, request.expect_compressed)?;
        let length = request.payload.map_or(0, |payload| payload.body.len());
        sum = sum.saturating_add(i32::try_from(length).unwrap_or(i32::MAX));
    }
    Ok(StreamingInputCallResponse { aggregated_payload_size: sum })
}

async fn respond(wanted: &ResponseParameters) -> Result<StreamingOutputCallResponse, Error> {
    if let Ok(micros @ 1..) = u64::try_from(wanted.interval_us) {
        sleep(Duration::from_micros(micros)).await;
    }
    Ok(StreamingOutputCallResponse { payload: Some(sized(wanted.size)?) })
}

async fn output(
    context: Context,
    request: StreamingOutputCallRequest,
) -> Result<Streaming<StreamingOutputCallResponse>, Error> {
    full_duplex(context, Streaming::once(request)).await
}

/// Answers each request as it comes.
async fn full_duplex(
    _: Context,
    requests: Streaming<StreamingOutputCallRequest>,
) -> Result<Streaming<StreamingOutputCallResponse>, Error> {
    let state = (requests, VecDeque::new());
    Ok(Streaming::new(stream::try_unfold(state, |(mut requests, mut due)| async {
        loop {
            if let Some(next) = due.pop_front() {
                return Ok(Some((respond(&next).await?, (requests, due))));
            }
            let Some(request) = requests.message().await? else { return Ok(None) };
            wanted(request.response_status)?;
            due.extend(request.response_parameters);
        }
    })))
}

/// Answers all requests after the last.
async fn half_duplex(
    context: Context,
    mut requests: Streaming<StreamingOutputCallRequest>,
) -> Result<Streaming<StreamingOutputCallResponse>, Error> {
    let mut all = Vec::new();
    while let Some(request) = requests.message().await? {
        all.push(Ok(request));
    }
    full_duplex(context, Streaming::iter(all)).await
}
