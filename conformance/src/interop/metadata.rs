//! Metadata that must come back.

use super::{
    INITIAL, TRAILING, UNARY, cases,
    cases::{same, text},
    payload,
    proto::{SimpleRequest, SimpleResponse, StreamingOutputCallResponse},
    streams,
};
use http::{HeaderMap, HeaderValue};
use purlin_endpoint::{Context, Endpoint as _, Error, Streaming};
use purlin_transport_grpc::{Channel, Client, binary_values, encode_binary};
use std::sync::{Arc, Mutex, PoisonError};

const TEXT: HeaderValue = HeaderValue::from_static("test_initial_metadata_value");
const BYTES: [u8; 3] = [0xab; 3];

/// What the response said around its messages: headers and trailers.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<(HeaderMap, HeaderMap)>>);

impl Seen {
    fn around<C, O, I>(&self, client: Client<C, O, I>) -> Client<C, O, I> {
        let seen = self.0.clone();
        client.before(|_, headers| attach(headers)).after(move |_, headers, trailers| {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) =
                (headers.clone(), trailers.clone());
        })
    }

    fn check(&self) -> Result<(), String> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let initial: Vec<_> = seen.0.get_all(INITIAL).iter().collect();
        same("the headers", initial, vec![&TEXT])?;
        let trailing = binary_values(&seen.1, TRAILING);
        same("the trailers", trailing, vec![bytes::Bytes::from_static(&BYTES)])
    }
}

fn attach(headers: &mut HeaderMap) -> Result<(), Error> {
    headers.insert(INITIAL, TEXT);
    let value = HeaderValue::try_from(encode_binary(&BYTES)).map_err(Error::internal)?;
    headers.insert(TRAILING, value);
    Ok(())
}

pub(super) async fn custom_metadata(channel: Channel) -> Result<(), String> {
    let seen = Seen::default();
    let client =
        Client::unary(channel.clone(), &UNARY, Ok::<SimpleRequest, _>, Ok::<SimpleResponse, _>);
    let request =
        SimpleRequest { response_size: 1, payload: Some(payload(1)), ..SimpleRequest::default() };
    let response = seen.around(client).invoke(Context::new(), request).await.map_err(text)?;
    same("the response's payload", cases::length(&response), 1)?;
    seen.check()?;

    let seen = Seen::default();
    let client = seen.around(streams::duplex(channel));
    let requests = Streaming::once(streams::request(1, &[1]));
    let mut responses: Streaming<StreamingOutputCallResponse> =
        client.invoke(Context::new(), requests).await.map_err(text)?;
    same("the sizes", streams::sizes(&mut responses).await.map_err(text)?, vec![1])?;
    seen.check()
}
