//! Calls to those who fail, on a stopped clock.

mod conformance;
mod go_kit;
mod handle;
mod keys;
mod layer;
mod liveness;
#[cfg(feature = "serde")]
mod serde;
mod throttle;

use purlin_endpoint::{Code, Context, Error, Request, Service};
use std::{
    future::{Future, pending, ready},
    pin::Pin,
    task::{self, Poll},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

/// What an inner service is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Do {
    Answer,
    Fail(Code),
    Take(Duration),
    Hang,
    Panic,
}

/// Does what it is told.
#[derive(Clone, Copy, Debug)]
struct Obedient;

type Doing = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl Service<Request<Do>> for Obedient {
    type Response = ();
    type Error = Error;
    type Future = Doing;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Do>) -> Doing {
        match request.message {
            Do::Answer => Box::pin(ready(Ok(()))),
            Do::Fail(code) => Box::pin(ready(Err(Error::of(code)))),
            Do::Take(time) => Box::pin(async move {
                // sleeps: the clock is paused, and this is the service that is slow.
                tokio::time::sleep(time).await;
                Ok(())
            }),
            Do::Hang => Box::pin(pending()),
            // Unwinds as a panic does, and writes nothing to the terminal.
            Do::Panic => Box::pin(async { std::panic::resume_unwind(Box::new("told to panic")) }),
        }
    }
}

fn request(what: Do) -> Request<Do> {
    Request::new(Context::new(), what)
}

/// Calls, and tells the code of what came back.
async fn code<S>(service: &mut S, what: Do) -> Code
where
    S: Service<Request<Do>, Response = (), Error = Error>,
{
    service.call(request(what)).await.map_or_else(|error| error.code(), |()| Code::Ok)
}
