use crate::{
    Body, HeaderNames, body::header_map, options::Options, problem, tail::Tail, watch::Watch,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use purlin_endpoint::{
    Call as _, Code, Context, Criticality, Ending, Error, Identity, Peer, Reply, Request, RequestId,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// One request and its response, from the head of the one to the last byte of the other.
pub(crate) struct Exchange {
    pub(crate) options: Arc<Options>,
    pub(crate) context: Context,
    started: Instant,
    /// The end of the endpoint's own call, if its response is a stream.
    ending: Option<Ending>,
    /// The end of the call for layers outside this server.
    outer: Option<Ending>,
    tail: Option<Box<Tail>>,
    head_only: bool,
    /// The endpoint was called, so its layers see how the call ends.
    pub(crate) called: bool,
}

impl Exchange {
    pub(crate) fn new<B>(options: Arc<Options>, request: &mut http::Request<B>) -> Self {
        let context = request.context().clone();
        let tail = (!options.hooks.finalizers.is_empty())
            .then(|| Tail::new(options.hooks.clone(), context.clone()));
        Self {
            started: Instant::now(),
            ending: None,
            outer: request.claim_end(),
            tail,
            head_only: request.method() == Method::HEAD,
            called: false,
            context,
            options,
        }
    }

    /// Makes the context from what came with the request, and puts the limits on its body.
    pub(crate) fn admit(&mut self, request: &mut http::Request<Body>) -> Result<(), Error> {
        let options = self.options.clone();
        let mut context = std::mem::take(&mut self.context).with_reply(Reply::open());
        let headers = request.headers();
        let carried = Carried::by(headers, &options.names);
        if context.request_id().is_none() {
            let id = text(carried.request_id).and_then(|id| id.parse().ok());
            context = context.with_request_id(id.unwrap_or_else(RequestId::generate));
        }
        if let (None, Some(peer)) = (context.peer(), request.extensions().get::<Peer>()) {
            context = context.with_peer(peer.clone());
        }
        let known = context.peer_identity();
        if let (None, Some(identity)) = (known, request.extensions().get::<Identity>()) {
            context = context.with_peer_identity(identity.clone());
        }
        if let Some(method) = options.method {
            context = context.with_method(method);
        }
        if let Some(attempt) = text(carried.attempts) {
            context = context.with_attempt(attempt.parse().unwrap_or(0));
        }
        if options.trusts_callers
            && let Some(level) = text(carried.criticality)
            && let Some(level) = Criticality::parse(level)
        {
            context = context.with_criticality(level);
        }
        self.context = context;
        // What follows may fail, and is answered with the request's id all the same.
        let timeout = match carried.timeout {
            Some(value) => Some(timeout(headers, value, options.names.timeout.as_str())?),
            None => None,
        };
        let timeout = match (timeout, options.max_timeout) {
            (Some(timeout), Some(most)) => Some(timeout.min(most)),
            (timeout, most) => timeout.or(most),
        };
        if let Some(deadline) = timeout.and_then(|timeout| self.started.checked_add(timeout)) {
            self.context = std::mem::take(&mut self.context).with_deadline(deadline);
        }
        if !request.body().is_buffered() {
            let body = std::mem::take(request.body_mut());
            *request.body_mut() = body.watched(Watch {
                limit: Some(options.body_limit),
                idle: Some(options.body_idle).filter(|idle| *idle != Duration::MAX),
                broken: Some(Code::Cancelled),
                ..Watch::default()
            });
        }
        Ok(())
    }

    /// Runs the functions that come before the decoder, and checks the deadline last.
    pub(crate) fn before(&mut self, request: &mut http::Request<Body>) -> Result<(), Error> {
        if !self.options.before.is_empty() {
            let (parts, body) = std::mem::take(request).into_parts();
            for before in &self.options.before {
                self.context = before(self.context.clone(), &parts)?;
            }
            *request = http::Request::from_parts(parts, body);
        }
        if let Some(tail) = &mut self.tail {
            // From here on the caller may leave at any time.
            tail.context = self.context.clone();
        }
        match self.context.deadline().is_some_and(|deadline| deadline <= self.started) {
            true => Err(Error::of(Code::DeadlineExceeded)),
            false => Ok(()),
        }
    }

    /// The endpoint's request.
    pub(crate) fn request<Req>(&mut self, message: Req) -> Request<Req> {
        self.called = true;
        let mut request = Request::new(self.context.clone(), message).started_at(self.started);
        if self.context.method().is_some_and(purlin_endpoint::Method::streams_response) {
            self.ending = request.open_end();
        }
        request
    }

    /// Encodes a response: after, then encode.
    pub(crate) fn encode<Res>(
        &mut self,
        response: Res,
        encode: impl FnOnce(&Context, Res) -> Result<http::Response<Body>, Error>,
    ) -> Result<http::Response<Body>, Error> {
        let headers = (!self.options.after.is_empty()).then(|| {
            let mut headers = HeaderMap::new();
            for after in &self.options.after {
                after(&self.context, &mut headers);
            }
            headers
        });
        let context = &self.context;
        let mut response = match &mut self.ending {
            // The guards that wait for the end of the stream learn if this panics.
            Some(ending) => ending.scoped(|| encode(context, response)),
            None => encode(context, response),
        }?;
        if let Some(mut headers) = headers {
            // What the encoder says of its own body is not to be overruled.
            headers.extend(std::mem::take(response.headers_mut()));
            *response.headers_mut() = headers;
        }
        Ok(response)
    }

    /// Tells the guards that wait for the end of the stream that there will be none.
    pub(crate) fn drop_ending(&mut self) {
        self.ending = None;
    }

    /// The response to a call that failed.
    pub(crate) fn fail(&mut self, error: &Error) -> http::Response<Body> {
        if let Some(ending) = self.ending.take() {
            ending.finish(Err(error));
        }
        self.options.hooks.report(&self.context, error);
        let mut response = self.options.encode_error(&self.context, error);
        self.finish(&mut response);
        response
    }

    /// The response to a call that failed twice: without anything of the user's.
    pub(crate) fn give_up(&mut self, error: &Error) -> http::Response<Body> {
        let mut response = problem::encode(&self.context, error);
        self.finish(&mut response);
        response
    }

    /// Completes a response, and hands what waits for its end to its body.
    pub(crate) fn finish(&mut self, response: &mut http::Response<Body>) {
        let status = response.status();
        if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            response.body_mut().discard();
        }
        let written = self.context.reply().take();
        let headers = response.headers_mut();
        if let Some(written) = header_map(written.headers) {
            headers.extend(written);
        }
        if let Some(id) = self.context.request_id()
            && let Ok(id) = HeaderValue::from_bytes(id.as_bytes())
        {
            headers.insert(self.options.names.request_id.clone(), id);
        }
        self.watch(response, written.trailers);
    }

    fn watch(&mut self, response: &mut http::Response<Body>, trailers: Vec<(String, String)>) {
        let streams = !response.body().is_buffered();
        let endings = [self.ending.take(), self.outer.take()];
        let waited_for = self.tail.is_some() || endings.iter().any(Option::is_some);
        if !streams && !waited_for && trailers.is_empty() {
            return;
        }
        let mut tail = self.tail.take();
        if streams && tail.is_none() && !self.options.hooks.error_handlers.is_empty() {
            tail = Some(Tail::new(self.options.hooks.clone(), self.context.clone()));
        }
        if let Some(tail) = &mut tail {
            tail.context = self.context.clone();
            tail.head(response.status(), response.headers());
        }
        let trailing = !trailers.is_empty();
        let reply = (streams || trailing).then(|| self.context.reply().clone());
        for (name, value) in trailers {
            // They were taken with the headers, and go back until the body has ended.
            self.context.reply().trailer(&name, value);
        }
        // Layers inside, and those around this server, may have set nearer ones than the caller.
        let limits = endings.iter().flatten().filter_map(Ending::deadline);
        let deadline = limits.chain(self.context.deadline()).min().filter(|_| streams);
        let watch = Watch {
            deadline,
            endings,
            reply,
            trailing,
            tail,
            unread: self.head_only,
            ..Watch::default()
        };
        let body = std::mem::take(response.body_mut());
        let body = body.watched(watch);
        *response.body_mut() = match deadline {
            Some(deadline) => body.overseen(deadline),
            None => body,
        };
    }
}

/// The headers that carry a call's facts: of each the first.
#[derive(Default)]
struct Carried<'a> {
    request_id: Option<&'a HeaderValue>,
    attempts: Option<&'a HeaderValue>,
    criticality: Option<&'a HeaderValue>,
    timeout: Option<&'a HeaderValue>,
}

impl<'a> Carried<'a> {
    /// Finds them in one pass: most requests have few headers and none of these, and to hash four
    /// names costs more than to compare them.
    fn by(headers: &'a HeaderMap, names: &HeaderNames) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            let keep = |place: &mut Option<&'a HeaderValue>, wanted: &HeaderName| {
                if place.is_none() && name == wanted {
                    *place = Some(value);
                }
            };
            keep(&mut found.request_id, &names.request_id);
            keep(&mut found.attempts, &names.previous_attempts);
            keep(&mut found.criticality, &names.criticality);
            keep(&mut found.timeout, &names.timeout);
        }
        found
    }
}

fn text(value: Option<&HeaderValue>) -> Option<&str> {
    value?.to_str().ok()
}

/// The timeout that a caller has asked for: whole milliseconds, digits only, given once.
fn timeout(headers: &HeaderMap, value: &HeaderValue, name: &str) -> Result<Duration, Error> {
    let digits = value.as_bytes();
    // Eighteen digits are more than any clock can count, and fit.
    let valid = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let once = headers.get_all(name).iter().nth(1).is_none();
    let ms = value.to_str().ok().and_then(|digits| digits.parse().ok());
    match (valid && once, ms) {
        (true, Some(ms)) => Ok(Duration::from_millis(ms)),
        _ => Err(Error::invalid(
            name.to_owned(),
            "must be a whole number of milliseconds, given once",
        )),
    }
}
