//! What came of a client's call, as it is told to the suite.

use super::{
    definition::to_headers,
    proto::{
        BidiStreamResponse, ClientResponseResult, ClientStreamResponse, ConformancePayload,
        Error as Told, IdempotentUnaryResponse, ServerStreamResponse, UnaryResponse,
        UnimplementedResponse,
    },
};
use http::HeaderMap;
use prost::Message;
use purlin_endpoint::{Code, Error};
use purlin_transport_grpc::StatusDetails;
use std::sync::{Arc, Mutex, PoisonError};

/// A response of the service that is called.
pub(super) trait Answer: Message + Default + Send + 'static {
    fn payload(self) -> Option<ConformancePayload>;
}

macro_rules! answers {
    ($($response:ident),*) => {
        $(impl Answer for $response {
            fn payload(self) -> Option<ConformancePayload> {
                // An answer of no bytes is one whose payload is empty.
                Some(self.payload.unwrap_or_default())
            }
        })*
    };
}

answers!(
    UnaryResponse,
    IdempotentUnaryResponse,
    ClientStreamResponse,
    ServerStreamResponse,
    BidiStreamResponse
);

impl Answer for UnimplementedResponse {
    fn payload(self) -> Option<ConformancePayload> {
        None
    }
}

/// What a call has brought so far.
#[derive(Clone, Default)]
pub(super) struct Outcome(Arc<Mutex<ClientResponseResult>>);

impl Outcome {
    fn change(&self, change: impl FnOnce(&mut ClientResponseResult)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn metadata(&self, headers: &HeaderMap, trailers: &HeaderMap) {
        self.change(|result| {
            result.response_headers = to_headers(headers);
            result.response_trailers = to_headers(trailers);
        });
    }

    pub(super) fn answer(&self, answer: impl Answer) {
        let payload = answer.payload();
        self.change(|result| result.payloads.extend(payload));
    }

    pub(super) fn payloads(&self) -> usize {
        let mut count = 0;
        self.change(|result| count = result.payloads.len());
        count
    }

    pub(super) fn error(&self, error: &Error) {
        let details = error.attached::<StatusDetails>();
        let told = Told {
            code: error.code().number().into(),
            message: Some(error.message().to_owned()),
            details: details.map(|details| details.0.clone()).unwrap_or_default(),
        };
        self.change(|result| result.error = Some(told));
    }

    pub(super) fn take(&self) -> ClientResponseResult {
        let mut taken = ClientResponseResult::default();
        self.change(|result| taken = std::mem::take(result));
        taken
    }
}

/// A dropped call has no outcome of its own; this is what its caller knows.
pub(super) fn cancelled() -> Error {
    Error::of(Code::Cancelled)
}
