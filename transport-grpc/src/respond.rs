//! How an answer becomes a response.

use crate::{
    body::{Body, ResponseStream},
    details,
    frame::Writing,
    gzip, metadata,
    options::{Finish, Options},
    route::{Answer, Messages, Work},
    serve::{ACCEPT_ENCODING, ENCODING, GRPC},
    timer::{Timer, expired},
};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use purlin_endpoint::{Context, Ending, Error, ReplyParts, catch_panic};
use std::{
    convert::Infallible,
    fmt, mem,
    pin::Pin,
    task::{Context as Task, Poll},
};

const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// What stands in the headers of every answer to a call.
pub(crate) struct Head {
    headers: HeaderMap,
}

impl Head {
    pub(crate) fn new(context: &Context, options: &Options) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, GRPC);
        let id = context.request_id().and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok());
        if let Some(id) = id {
            headers.insert(options.request_id_name.clone(), id);
        }
        if options.gzip {
            headers.insert(ACCEPT_ENCODING, GZIP);
        }
        Self { headers }
    }

    /// Agrees on how the messages of the answer are written.
    pub(crate) fn writing(&mut self, request: &HeaderMap, options: &Options) -> Writing {
        let gzip = options.gzip && gzip::is_accepted(request, ACCEPT_ENCODING.as_str());
        if gzip {
            self.headers.insert(ENCODING, GZIP);
        }
        Writing {
            limit: options.max_response_message,
            gzip_from: gzip.then_some(options.gzip_from),
        }
    }

    fn response(&mut self, body: Body) -> http::Response<Body> {
        let mut response = http::Response::new(body);
        *response.headers_mut() = mem::take(&mut self.headers);
        response
    }

    /// Puts the user's headers behind ours.
    fn add(&mut self, mut users: HeaderMap, written: Vec<(String, String)>) {
        if !users.is_empty() {
            metadata::retain_users(&mut users);
            self.headers.extend(users);
        }
        metadata::append(&mut self.headers, written);
    }

    /// The answer to a call that failed before anything was answered.
    pub(crate) fn failed(&mut self, context: &Context, error: &Error) -> http::Response<Body> {
        let ReplyParts { headers, trailers } = context.reply().take();
        self.headers.remove(ENCODING);
        if headers.is_empty() {
            metadata::append(&mut self.headers, trailers);
            details::write_error(&mut self.headers, context, error);
            return self.response(Body::empty());
        }
        self.add(HeaderMap::new(), headers);
        let mut map = HeaderMap::new();
        metadata::append(&mut map, trailers);
        details::write_error(&mut map, context, error);
        self.response(Body::trailers(map))
    }
}

/// Answers a refused call in the place of a gRPC service: trailers alone, with the refusal's status.
///
/// It is for layers around a channel or server whose responses can't be errors of ours, such as
/// tonic's: `limit.respond(purlin_transport_grpc::to_status)`.
pub fn to_status<R, B>(refusal: R) -> http::Response<B>
where
    R: Into<Error>,
    B: Default,
{
    let context = Context::new();
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, GRPC);
    details::write_error(&mut headers, &context, &refusal.into());
    let mut response = http::Response::new(B::default());
    *response.headers_mut() = headers;
    response
}

/// A call that is being served.
pub(crate) struct Serving {
    pub(crate) work: Work,
    pub(crate) timer: Timer,
    pub(crate) head: Head,
    pub(crate) finish: Finish,
}

impl Serving {
    fn poll_answer(&mut self, task: &mut Task<'_>) -> Poll<Result<Answer, Error>> {
        // The deadline first: work that has expired does not begin.
        if self.timer.has_passed(task) {
            return Poll::Ready(Err(expired()));
        }
        catch_panic(|| self.work.as_mut().poll(task))
            .unwrap_or_else(|panicked| Poll::Ready(Err(panicked.into())))
    }

    fn respond(self, answer: Result<Answer, Error>) -> http::Response<Body> {
        let Self { work, timer, mut head, mut finish } = self;
        // Guards learn what happened before the answer leaves.
        let _ = catch_panic(|| drop(work));
        match answer {
            Err(error) => {
                let _ = catch_panic(|| finish.fail(&error));
                head.failed(finish.context(), &error)
            }
            Ok(Answer { headers, mut trailers, messages }) => {
                if !trailers.is_empty() {
                    metadata::retain_users(&mut trailers);
                }
                let written = finish.context().reply().take();
                head.add(headers, written.headers);
                metadata::append(&mut trailers, written.trailers);
                match messages {
                    Messages::One(data) => {
                        let _ = catch_panic(|| finish.succeed());
                        details::write_ok(&mut trailers);
                        head.response(Body::one(data, Some(trailers)))
                    }
                    Messages::Many { messages, ending } => {
                        let timer = timer.or_earlier(ending.as_ref().and_then(Ending::deadline));
                        let stream = ResponseStream::new(messages, trailers, ending, timer, finish);
                        head.response(Body::response(stream))
                    }
                }
            }
        }
    }
}

type Elsewhere = Pin<Box<dyn Future<Output = http::Response<Body>> + Send>>;

enum State {
    Now(http::Response<Body>),
    Serving(Serving),
    Elsewhere(Elsewhere),
    Done,
}

/// The future of a server's response.
pub struct Responding(State);

impl Responding {
    pub(crate) const fn now(response: http::Response<Body>) -> Self {
        Self(State::Now(response))
    }

    pub(crate) const fn serving(serving: Serving) -> Self {
        Self(State::Serving(serving))
    }

    pub(crate) const fn elsewhere(response: Elsewhere) -> Self {
        Self(State::Elsewhere(response))
    }
}

impl Future for Responding {
    type Output = Result<http::Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.0 {
            State::Serving(serving) => match serving.poll_answer(task) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => return Poll::Pending,
            },
            State::Elsewhere(response) => return response.as_mut().poll(task).map(Ok),
            State::Now(_) | State::Done => None,
        };
        match (mem::replace(&mut self.0, State::Done), answer) {
            (State::Serving(serving), Some(answer)) => Poll::Ready(Ok(serving.respond(answer))),
            (State::Now(response), _) => Poll::Ready(Ok(response)),
            _ => panic!("`Responding` polled after its end"),
        }
    }
}

impl fmt::Debug for Responding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responding").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_endpoint::Code;

    #[test]
    fn the_head_of_an_answer_names_the_request() {
        let context = Context::new().with_request_id("abc".parse().unwrap());
        let mut head = Head::new(&context, &Options::default());
        let response = head.failed(&context, &Error::of(Code::NotFound));
        assert_eq!(response.headers()["x-request-id"], "abc");
        assert_eq!(response.headers()["grpc-status"], "5");
    }
}
