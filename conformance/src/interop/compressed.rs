//! Cases about packed messages, each checked against what was on the wire.
//!
//! The transport packs by size, and what a caller accepts. So where a case wants a packed and a
//! plain message on one stream, the longer one is the packed one here, and where it wants a plain
//! answer, the caller accepts no other.

use super::{
    INPUT, OUTPUT, UNARY,
    cases::{failure, length, same, text},
    payload,
    proto::{
        BoolValue, SimpleRequest, SimpleResponse, StreamingInputCallRequest,
        StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse,
    },
    streams::{Encode, client, request, sizes},
    tap::Flags,
};
use purlin_endpoint::{Code, Context, Endpoint as _, Streaming};
use purlin_transport_grpc::{Channel, Client};

/// From this size on the server of these cases packs its answers.
pub const PACKED_FROM: usize = 40_000;

fn large(expect: bool) -> SimpleRequest {
    SimpleRequest {
        expect_compressed: Some(BoolValue { value: expect }),
        response_compressed: Some(BoolValue { value: expect }),
        response_size: 314_159,
        payload: Some(payload(271_828)),
        ..SimpleRequest::default()
    }
}

/// A large call, packed or not, and what it looked like on the wire.
async fn unary(channel: Channel, flags: Flags, packed: bool) -> Result<(), String> {
    let client = client!(unary, channel, UNARY, SimpleRequest, SimpleResponse).gzip(packed);
    flags.take();
    let response = client.invoke(Context::new(), large(packed)).await.map_err(text)?;
    same("the response's payload", length(&response), 314_159)?;
    same("the messages that were packed", flags.take(), [vec![packed], vec![packed]])
}

pub(super) async fn client_unary(channel: Channel, flags: Flags) -> Result<(), String> {
    // First the proof that the server looks: a plain request that says that it is packed.
    let liar = client!(unary, channel.clone(), UNARY, SimpleRequest, SimpleResponse);
    let error = failure("the probe", liar.invoke(Context::new(), large(true)).await)?;
    same("the status of the probe", error.code(), Code::InvalidArgument)?;
    unary(channel.clone(), flags.clone(), true).await?;
    unary(channel, flags, false).await
}

pub(super) async fn server_unary(channel: Channel, flags: Flags) -> Result<(), String> {
    unary(channel.clone(), flags.clone(), true).await?;
    unary(channel, flags, false).await
}

pub(super) async fn client_streaming(channel: Channel, flags: Flags) -> Result<(), String> {
    type Request = StreamingInputCallRequest;
    let client = client!(client_streaming, channel, INPUT, Request, StreamingInputCallResponse)
        .gzip(true)
        .gzip_from(30_000);
    flags.take();
    let request = |size| Ok(Request { payload: Some(payload(size)), ..Request::default() });
    let requests = Streaming::iter([45_904, 27_182].map(request));
    let response = client.invoke(Context::new(), requests).await.map_err(text)?;
    same("the sum", response.aggregated_payload_size, 73_086)?;
    same("the requests that were packed", flags.take()[0].clone(), vec![true, false])
}

pub(super) async fn server_streaming(channel: Channel, flags: Flags) -> Result<(), String> {
    type Response = StreamingOutputCallResponse;
    let client =
        client!(server_streaming, channel, OUTPUT, StreamingOutputCallRequest, Response).gzip(true);
    flags.take();
    let wanted = [31_415, 92_653];
    let mut responses = client.invoke(Context::new(), request(0, &wanted)).await.map_err(text)?;
    same("the sizes", sizes(&mut responses).await.map_err(text)?, wanted.to_vec())?;
    same("the responses that were packed", flags.take()[1].clone(), vec![false, true])
}
