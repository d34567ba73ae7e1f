use crate::{
    Body,
    exchange::Exchange,
    server::{Decode, poll_place},
};
use pin_project_lite::pin_project;
use purlin_endpoint::{Code, Context, Endpoint, Error, Panicked, catch_panic};
use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context as Task, Poll, ready},
};
use tokio::time::{Sleep, sleep_until};

pin_project! {
    #[project = StateProjection]
    pub(crate) enum State<S, D>
    where
        S: Endpoint<D::Message>,
        D: Decode,
    {
        Decoding { place: Pin<Box<Option<D::Future>>>, endpoint: S },
        Calling { #[pin] call: S::Future },
        Failed { error: Option<Error> },
        Done,
    }
}

pin_project! {
    /// The future of a [`Server`](crate::Server): it becomes the response, and never fails.
    pub struct Serving<S, D, E>
    where
        S: Endpoint<D::Message>,
        D: Decode,
    {
        #[pin]
        state: State<S, D>,
        exchange: Exchange,
        encode: E,
        // Set when the call is first found to take its time.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<S, D, E> Serving<S, D, E>
where
    S: Endpoint<D::Message>,
    D: Decode,
{
    pub(crate) fn new(state: State<S, D>, exchange: Exchange, encode: E) -> Self {
        Self { state, exchange, encode, timer: None }
    }
}

impl<S, D, E> Future for Serving<S, D, E>
where
    S: Endpoint<D::Message, Error: Into<Error>>,
    D: Decode,
    E: Fn(&Context, S::Response) -> Result<http::Response<Body>, Error>,
{
    type Output = Result<http::Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let answered = catch_panic(|| self.as_mut().poll_answer(task));
        let response = match answered {
            Ok(polled) => ready!(polled),
            Err(panicked) => self.panicked(panicked),
        };
        Poll::Ready(Ok(response))
    }
}

impl<S, D, E> Serving<S, D, E>
where
    S: Endpoint<D::Message, Error: Into<Error>>,
    D: Decode,
    E: Fn(&Context, S::Response) -> Result<http::Response<Body>, Error>,
{
    fn poll_answer(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<http::Response<Body>> {
        let mut this = self.project();
        let outcome = match this.state.as_mut().poll(this.exchange, task) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                let Some(deadline) = this.exchange.context.deadline() else {
                    return Poll::Pending;
                };
                let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                ready!(timer.as_mut().poll(task));
                Err(Error::of(Code::DeadlineExceeded))
            }
        };
        // What the call held is given back before its response leaves.
        this.state.set(State::Done);
        let encoded = outcome.and_then(|response| this.exchange.encode(response, &*this.encode));
        Poll::Ready(match encoded {
            Ok(mut response) => {
                this.exchange.finish(&mut response);
                response
            }
            Err(error) if this.exchange.called => this.exchange.fail(&error),
            Err(error) => this.exchange.fail(&error.uncalled()),
        })
    }

    fn panicked(self: Pin<&mut Self>, panicked: Panicked) -> http::Response<Body> {
        let mut this = self.project();
        // The guards inside learn from this drop what happened, before the answer leaves.
        let _ = catch_panic(|| {
            this.state.set(State::Done);
            this.exchange.drop_ending();
        });
        let error = Error::from(panicked);
        let error = if this.exchange.called { error } else { error.uncalled() };
        catch_panic(|| this.exchange.fail(&error))
            .unwrap_or_else(|Panicked| this.exchange.give_up(&error))
    }
}

impl<S, D> State<S, D>
where
    S: Endpoint<D::Message, Error: Into<Error>>,
    D: Decode,
{
    fn poll(
        mut self: Pin<&mut Self>,
        exchange: &mut Exchange,
        task: &mut Task<'_>,
    ) -> Poll<Result<S::Response, Error>> {
        loop {
            match self.as_mut().project() {
                StateProjection::Calling { call } => return call.poll(task).map_err(Into::into),
                StateProjection::Decoding { place, endpoint } => {
                    let message = ready!(poll_place(place, task))?;
                    let call = endpoint.call(exchange.request(message));
                    self.set(Self::Calling { call });
                }
                StateProjection::Failed { error } => {
                    return error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error)));
                }
                StateProjection::Done => panic!("`Serving` polled after its end"),
            }
        }
    }
}

impl<S, D, E> fmt::Debug for Serving<S, D, E>
where
    S: Endpoint<D::Message>,
    D: Decode,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}
