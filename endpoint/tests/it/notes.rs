use purlin_endpoint::{
    Call, Context, End, Endpoint as _, Error, Guard, Intercept, InterceptLayer, Method, Notes,
    Request, endpoint_fn,
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::time::{Instant, advance, sleep};
use tower::{Service as _, ServiceBuilder};

static GREET_MANY: Method = Method::server_streaming("greeter.Greeter", "GreetMany");

/// A layer with a guard, under the name of its type.
#[derive(Debug)]
struct Quota;

struct Held;

impl<Req: Call> Intercept<Req> for Quota {
    type Guard = Held;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, _: &mut Req) -> Result<Held, Infallible> {
        Ok(Held)
    }
}

impl<Res, Err> Guard<Res, Err> for Held {
    fn end(self, _: End<'_>) {}
}

/// A layer that has a name of its own and refuses every call.
#[derive(Debug)]
struct Closed;

impl<Req> Intercept<Req> for Closed {
    type Guard = ();
    type Refusal = Error;

    fn before(self: &Arc<Self>, _: &mut Req) -> Result<(), Error> {
        Err(Error::of(purlin_endpoint::Code::Unavailable))
    }

    fn name(&self) -> &'static str {
        "closed"
    }
}

/// Each line as `+` and `-` for entering and leaving, with the seconds since then.
fn lines(notes: &Notes, since: Instant) -> Vec<String> {
    let line = |note: purlin_endpoint::Note| {
        let sign = if note.left { '-' } else { '+' };
        format!("{sign}{} {}", note.layer, (note.at - since).as_secs())
    };
    notes.read().into_iter().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn layers_note_when_a_call_enters_and_leaves_them() {
    let stack = ServiceBuilder::new()
        .layer(InterceptLayer::observer(Quota))
        .layer(InterceptLayer::observer(Quota))
        .service(endpoint_fn(|_: Context, (): ()| async {
            sleep(Duration::from_secs(2)).await;
            Ok::<_, Error>(())
        }));
    let (notes, since) = (Notes::open(), Instant::now());
    stack.invoke(Context::new().with_notes(notes.clone()), ()).await.unwrap();
    assert_eq!(lines(&notes, since), ["+Quota 0", "+Quota 0", "-Quota 2", "-Quota 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_within_its_layers_until_its_stream_ends() {
    let mut stack = ServiceBuilder::new()
        .layer(InterceptLayer::observer(Quota))
        .service(endpoint_fn(|_: Context, (): ()| async { Ok::<_, Error>(()) }));
    let (notes, since) = (Notes::open(), Instant::now());
    let context = Context::new().with_method(&GREET_MANY).with_notes(notes.clone());
    let mut request = Request::new(context, ());
    let ending = request.open_end().unwrap();
    stack.call(request).await.unwrap();
    assert_eq!(lines(&notes, since), ["+Quota 0"]);
    advance(Duration::from_secs(2)).await;
    ending.finish(Ok(()));
    assert_eq!(lines(&notes, since), ["+Quota 0", "-Quota 2"]);
}

#[tokio::test]
async fn a_refused_call_leaves_the_layer_that_refused_it() {
    let stack = ServiceBuilder::new()
        .layer(InterceptLayer::new(Closed))
        .service(endpoint_fn(|_: Context, (): ()| async { Ok::<_, Error>(()) }));
    let (notes, since) = (Notes::open(), Instant::now());
    stack.invoke(Context::new().with_notes(notes.clone()), ()).await.unwrap_err();
    assert_eq!(lines(&notes, since), ["+closed 0", "-closed 0"]);
}
