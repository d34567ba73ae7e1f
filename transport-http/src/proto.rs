//! Protocol buffers as bodies, on both sides.

use crate::{Body, client, decode, encode};
use http::HeaderValue;
use prost::Message;
use purlin_endpoint::{Code, Context, Error};

const PROTOBUF: &str = "application/x-protobuf";

fn is_protobuf(content_type: &[u8]) -> bool {
    let essence = decode::essence(content_type);
    [PROTOBUF, "application/protobuf"]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known.as_bytes()))
}

/// Decodes a body that is a protocol buffer: `application/x-protobuf`.
///
/// # Errors
///
/// If the content type is another one, or the body is not this message.
pub async fn decode_request<T: Message + Default>(
    _: Context,
    request: http::Request<Body>,
) -> Result<T, Error> {
    decode::expect(request.headers(), PROTOBUF, is_protobuf)?;
    T::decode(request.into_body().bytes().await?).map_err(|error| {
        Error::new(Code::InvalidArgument, error).public("the body is not the expected message")
    })
}

/// Encodes as a protocol buffer.
///
/// # Errors
///
/// None.
#[expect(clippy::needless_pass_by_value, reason = "encoders take what they encode")]
pub fn encode_response<T: Message>(_: &Context, message: T) -> Result<http::Response<Body>, Error> {
    Ok(encode::typed(const { HeaderValue::from_static(PROTOBUF) }, message.encode_to_vec().into()))
}

/// Sends a body that is a protocol buffer.
///
/// # Errors
///
/// None.
#[expect(clippy::needless_pass_by_value, reason = "encoders take what they encode")]
pub fn encode_request<T: Message>(
    _: &Context,
    request: &mut http::Request<Body>,
    message: T,
) -> Result<(), Error> {
    client::encode::set(request, PROTOBUF, message.encode_to_vec().into());
    Ok(())
}

/// Decodes a body that is a protocol buffer.
///
/// # Errors
///
/// If it is not one, or not this message.
pub async fn decode_response<T: Message + Default>(
    response: http::Response<Body>,
) -> Result<T, Error> {
    client::decode::expect(&response, "a protocol buffer", is_protobuf)?;
    T::decode(response.into_body().bytes().await?).map_err(Error::internal)
}
