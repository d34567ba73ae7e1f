//! What a request of the suite asks its server to answer.

use super::{
    RequestInfo,
    proto::{
        ConformancePayload, Error as Wanted, Header, StreamResponseDefinition,
        UnaryResponseDefinition, unary_response_definition::Response,
    },
};
use http::HeaderMap;
use prost::Message;
use prost_types::Any;
use purlin_endpoint::{Code, Context, Error};
use purlin_transport_grpc::StatusDetails;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The metadata of a request, for endpoints that echo it.
pub(super) struct Metadata(pub(super) HeaderMap);

pub(super) fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/connectrpc.conformance.v1.{name}"),
        value: message.encode_to_vec(),
    }
}

/// The pairs of a map, as the suite writes them.
pub(super) fn to_headers(map: &HeaderMap) -> Vec<Header> {
    let values = |name| {
        let values = map.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    map.keys().map(|name| Header { name: name.to_string(), value: values(name) }).collect()
}

fn each(headers: &[Header]) -> impl Iterator<Item = (&str, &str)> {
    headers
        .iter()
        .flat_map(|header| header.value.iter().map(|value| (&*header.name, value.as_str())))
}

fn write_metadata(context: &Context, headers: &[Header], trailers: &[Header]) {
    each(headers).for_each(|(name, value)| context.reply().header(name, value));
    each(trailers).for_each(|(name, value)| context.reply().trailer(name, value));
}

/// What the server has seen of a call.
pub(super) fn request_info(context: &Context, requests: Vec<Any>) -> RequestInfo {
    let remaining = context.remaining(Instant::now());
    RequestInfo {
        request_headers: context.get::<Metadata>().map(|it| to_headers(&it.0)).unwrap_or_default(),
        timeout_ms: remaining.and_then(|left| left.as_millis().try_into().ok()),
        requests,
    }
}

/// The error that is asked for; if nothing was answered before, it tells of the request.
fn error(wanted: Wanted, info: Option<RequestInfo>) -> Error {
    let mut details = wanted.details;
    details.extend(info.map(|info| any("ConformancePayload.RequestInfo", &info)));
    Error::of(Code::from_number(wanted.code.into()))
        .public(wanted.message.unwrap_or_default())
        .attach(StatusDetails(details))
}

async fn delay(millis: u32) {
    if millis > 0 {
        sleep(Duration::from_millis(millis.into())).await;
    }
}

impl UnaryResponseDefinition {
    /// Answers a call that has a single response.
    pub(super) async fn answer(
        self,
        context: &Context,
        requests: Vec<Any>,
    ) -> Result<ConformancePayload, Error> {
        write_metadata(context, &self.response_headers, &self.response_trailers);
        delay(self.response_delay_ms).await;
        let info = request_info(context, requests);
        let data = match self.response {
            Some(Response::Error(wanted)) => return Err(error(wanted, Some(info))),
            Some(Response::ResponseData(data)) => data,
            None => Vec::new(),
        };
        Ok(ConformancePayload { data, request_info: Some(info) })
    }
}

/// The responses of a stream that are still to be sent.
#[derive(Default)]
pub(super) struct Script {
    data: std::vec::IntoIter<Vec<u8>>,
    delay: u32,
    error: Option<Wanted>,
    any_sent: bool,
}

impl Script {
    /// Writes the metadata of the answer, which must be there before its first message.
    pub(super) fn begin(definition: Option<StreamResponseDefinition>, context: &Context) -> Self {
        let Some(definition) = definition else { return Self::default() };
        write_metadata(context, &definition.response_headers, &definition.response_trailers);
        Self {
            data: definition.response_data.into_iter(),
            delay: definition.response_delay_ms,
            error: definition.error,
            any_sent: false,
        }
    }

    /// The next response; the first says all about the request, later ones what has come since.
    pub(super) async fn next(
        &mut self,
        context: &Context,
        requests: Vec<Any>,
    ) -> Result<Option<ConformancePayload>, Error> {
        let first = !self.any_sent;
        let Some(data) = self.data.next() else {
            let info = first.then(|| request_info(context, requests));
            return self.error.take().map_or(Ok(None), |wanted| Err(error(wanted, info)));
        };
        let info = match first {
            true => Some(request_info(context, requests)),
            false if requests.is_empty() => None,
            false => Some(RequestInfo { requests, ..RequestInfo::default() }),
        };
        self.any_sent = true;
        delay(self.delay).await;
        Ok(Some(ConformancePayload { data, request_info: info }))
    }
}
