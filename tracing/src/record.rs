//! A call while it runs, in the smallest form, and the span that is made of it later: by the loop
//! that exports, so that no call waits for it.

use crate::{
    Side, Span,
    semconv::{
        ATTEMPT, BUSINESS_FAILURE, ERROR_TYPE, EXCEPTION, EXCEPTION_MESSAGE, EXCEPTION_TYPE,
        HTTP_REQUEST_RESEND_COUNT, NETWORK_PEER_ADDRESS, NETWORK_PEER_PORT, NOTE, NOTE_LAYER,
        NOTE_TEXT, REQUEST_ID, RPC_METHOD, RPC_RESPONSE_STATUS_CODE,
    },
    span::{Attribute, Event, Value, clean},
};
use purlin_endpoint::{
    Attempts, BoxError, Code, Context, Error, Method, Notes, Peer, RequestId, SpanId, Trace,
    Verdict,
};
use std::{any::Any, any::type_name, borrow::Cow, fmt, sync::Arc, time::SystemTime};
use tokio::time::Instant;

/// What is known of a call that is recorded.
pub(crate) struct Record {
    pub(crate) side: Side,
    pub(crate) place: Place,
    pub(crate) name: Option<Cow<'static, str>>,
    /// What the layer says of all its calls.
    pub(crate) attributes: Option<Arc<Vec<Attribute>>>,
    /// What it has found in the context of this one.
    pub(crate) found: Vec<Attribute>,
    method: Option<&'static Method>,
    peer: Option<Peer>,
    request_id: Option<RequestId>,
    attempt: u32,
    pub(crate) deadline: Option<Instant>,
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    pub(crate) verdict: Verdict,
    /// A response was judged to be something else than a success.
    pub(crate) business: bool,
    pub(crate) panicked: bool,
    pub(crate) failure: Option<Box<Failure>>,
    pub(crate) notes: Notes,
}

/// Where a span stands.
pub(crate) struct Place {
    pub(crate) trace: Trace,
    pub(crate) parent: Option<SpanId>,
    pub(crate) link: Option<Trace>,
}

impl Record {
    pub(crate) fn new(side: Side, place: Place, context: &Context, started: Instant) -> Self {
        Self {
            side,
            place,
            name: None,
            attributes: None,
            found: Vec::new(),
            method: context.method(),
            // Who asks is not who is asked: a client's peer is its own caller.
            peer: if side == Side::Server { context.peer().cloned() } else { None },
            request_id: context.request_id().cloned(),
            attempt: context.attempt(),
            deadline: context.deadline(),
            started,
            ended: started,
            verdict: Verdict::OK,
            business: false,
            panicked: false,
            failure: None,
            notes: Notes::default(),
        }
    }

    /// Makes the span, given how the clock of calls is told in the world's time.
    pub(crate) fn span(mut self, world: impl Fn(Instant) -> SystemTime) -> Span {
        let mut attributes = Vec::with_capacity(8 + self.found.len());
        self.describe(&mut attributes);
        attributes.extend(self.attributes.iter().flat_map(|all| all.iter().cloned()));
        attributes.append(&mut self.found);
        let ended = world(self.ended);
        let mut events: Vec<Event> =
            self.notes.read().into_iter().filter_map(|note| noted(note, &world)).collect();
        if let Some(failure) = &self.failure {
            events.extend(failure.events(ended));
        }
        let failed = self.failed().then(|| match &self.failure {
            Some(failure) => clean(failure.message.clone()),
            None if self.panicked => "panicked".into(),
            None => self.verdict.code.describe().into(),
        });
        let Place { trace, parent, link } = self.place;
        let method = self.method.map(|method| Cow::Owned(method.to_string()));
        Span {
            name: self.name.map(clean).or(method).unwrap_or(Cow::Borrowed("call")),
            side: self.side,
            trace,
            parent,
            link,
            started: world(self.started),
            ended,
            failed,
            attributes,
            events,
        }
    }

    /// A server's span failed if the server is to blame, a client's if it did not get what it
    /// asked for: OpenTelemetry's rules for RPC.
    fn failed(&self) -> bool {
        match self.side {
            Side::Server => self.verdict.failed,
            Side::Client => self.verdict.failed || self.verdict.code != Code::Ok,
        }
    }

    fn describe(&self, attributes: &mut Vec<Attribute>) {
        let mut say = |name: &'static str, value: Value| attributes.push((name.into(), value));
        if let Some(method) = self.method {
            say(RPC_METHOD, method.to_string().into());
        }
        say(RPC_RESPONSE_STATUS_CODE, self.verdict.code.as_str().into());
        if self.panicked {
            say(ERROR_TYPE, "panic".into());
        } else if self.business || self.failed() {
            say(ERROR_TYPE, self.verdict.code.as_str().into());
        }
        if self.business {
            say(BUSINESS_FAILURE, true.into());
        }
        if let Some(address) = self.peer.as_ref().and_then(Peer::address) {
            say(NETWORK_PEER_ADDRESS, address.ip().to_string().into());
            say(NETWORK_PEER_PORT, i64::from(address.port()).into());
        }
        if self.attempt > 0 {
            say(HTTP_REQUEST_RESEND_COUNT, i64::from(self.attempt).into());
        }
        if let Some(id) = &self.request_id {
            say(REQUEST_ID, id.as_str().to_owned().into());
        }
    }
}

fn noted(note: purlin_endpoint::Note, world: impl Fn(Instant) -> SystemTime) -> Option<Event> {
    let attributes =
        vec![(NOTE_LAYER.into(), note.layer.into()), (NOTE_TEXT.into(), note.text?.into())];
    Some(Event { name: NOTE, at: world(note.at), attributes })
}

/// What a call failed with.
pub(crate) struct Failure {
    kind: &'static str,
    /// What the caller was told.
    message: String,
    /// The same with its causes.
    full: String,
    /// What the attempts before it failed with.
    earlier: Vec<String>,
}

impl Failure {
    pub(crate) fn of<Err: fmt::Display + 'static>(error: &Err) -> Box<Self> {
        let any: &dyn Any = error;
        let boxed = any.downcast_ref::<BoxError>();
        let known = any.downcast_ref::<Error>().or_else(|| boxed?.downcast_ref());
        let attempts = known.and_then(|error| error.find::<Attempts>());
        let earlier = attempts.map(Attempts::earlier).unwrap_or_default();
        let mut full = format!("{error:#}");
        if known.is_none() {
            let mut next = boxed.and_then(|error| error.source());
            while let Some(cause) = next {
                full = format!("{full}: {cause}");
                next = cause.source();
            }
        }
        Box::new(Self {
            kind: if known.is_some() { type_name::<Error>() } else { type_name::<Err>() },
            message: error.to_string(),
            full,
            earlier: earlier.iter().map(|error| format!("{error:#}")).collect(),
        })
    }

    fn events(&self, at: SystemTime) -> impl Iterator<Item = Event> {
        let earlier = self.earlier.iter().zip(1_i64..);
        let earlier = earlier.map(|(text, attempt)| (text, Some(attempt)));
        earlier.chain([(&self.full, None)]).map(move |(text, attempt)| {
            let mut attributes = vec![
                (EXCEPTION_TYPE.into(), self.kind.into()),
                (EXCEPTION_MESSAGE.into(), text.clone().into()),
            ];
            attributes.extend(attempt.map(|attempt| (ATTEMPT.into(), attempt.into())));
            Event { name: EXCEPTION, at, attributes }
        })
    }
}
