use crate::intercept::witness;
use purlin_endpoint::{
    Call as _, Code, Context, Endpoint, Error, Method, MethodLayer, Request, Streaming, endpoint_fn,
};
use std::time::Duration;
use tokio::time::{Instant, advance};
use tower::{Layer as _, Service as _, ServiceBuilder};

static GREET_MANY: Method = Method::server_streaming("greeter.Greeter", "GreetMany");
static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");

/// What a client's transport is: it claims the end and hands it to the stream that it makes.
#[derive(Clone, Debug)]
struct Transport;

impl tower::Service<Request<u32>> for Transport {
    type Response = Streaming<u32>;
    type Error = Error;
    type Future = std::future::Ready<Result<Streaming<u32>, Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<u32>) -> Self::Future {
        let ending = request.claim_end();
        let count = request.message;
        let messages = (0..count).map(move |n| match n {
            13 => Err(Error::new(Code::OutOfRange, "thirteen")),
            n => Ok(n),
        });
        std::future::ready(Ok(Streaming::iter(messages).ending(ending)))
    }
}

fn client() -> (
    impl Endpoint<u32, Response = Streaming<u32>, Error = Error>,
    std::sync::Arc<crate::intercept::Witness>,
) {
    let (layer, witness) = witness();
    let stack =
        ServiceBuilder::new().layer(MethodLayer::new(&GREET_MANY)).layer(layer).service(Transport);
    (stack, witness)
}

#[tokio::test(start_paused = true)]
async fn a_streaming_call_ends_with_its_last_message() {
    let (client, witness) = client();
    let begun = Instant::now();
    let mut stream = client.invoke(Context::new(), 2).await.unwrap();
    assert_eq!(witness.take(), ["before", "response true"]);
    while stream.message().await.unwrap().is_some() {
        advance(Duration::from_secs(1)).await;
        assert_eq!(witness.take(), Vec::<String>::new());
    }
    assert_eq!(witness.take(), ["streamed true"]);
    assert_eq!(*witness.times.lock().unwrap(), [(begun, begun + Duration::from_secs(2))]);
}

#[tokio::test]
async fn a_stream_that_breaks_off_or_is_dropped_says_so() {
    let (client, witness) = client();
    let mut stream = client.invoke(Context::new(), 20).await.unwrap();
    let error = loop {
        match stream.message().await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::OutOfRange);
    assert!(stream.message().await.unwrap().is_none(), "nothing comes after an error");
    assert_eq!(witness.take(), ["before", "response true", "streamed false"]);

    drop(client.invoke(Context::new(), 2).await.unwrap());
    assert_eq!(witness.take(), ["before", "response true", "dropped"]);
}

#[tokio::test]
async fn a_stream_that_panics_is_told_apart_from_one_that_is_dropped() {
    let (layer, witness) = witness();
    let mut stack = layer.layer(endpoint_fn(|_: Context, (): ()| async { Ok::<_, Error>(()) }));
    let mut request = Request::new(Context::new().with_method(&GREET_MANY), ());
    let mut ending = request.open_end().unwrap();
    stack.call(request).await.unwrap();
    let panicked = purlin_endpoint::catch_panic(|| ending.scoped(|| panic!("in the stream")));
    assert_eq!(panicked, Err(purlin_endpoint::Panicked));
    drop(ending);
    assert_eq!(witness.take(), ["before", "response true", "panicked"]);
}

#[tokio::test]
async fn a_clone_of_a_request_and_an_outgoing_call_have_ends_of_their_own() {
    let (layer, witness) = witness();
    let mut stack = layer.layer(endpoint_fn(|_: Context, (): ()| async { Ok::<_, Error>(()) }));
    let mut request = Request::new(Context::new().with_method(&GREET_MANY), ());
    let ending = request.open_end().unwrap();

    stack.call(request.clone()).await.unwrap();
    assert_eq!(witness.take(), ["before", "response true", "returned"]);
    stack.call(Request::new(request.context.outgoing(), ())).await.unwrap();
    assert_eq!(witness.take(), ["before", "response true", "returned"]);

    stack.call(request).await.unwrap();
    assert_eq!(witness.take(), ["before", "response true"]);
    ending.finish(Ok(()));
    assert_eq!(witness.take(), ["streamed true"]);
}

#[tokio::test]
async fn a_stream_that_nobody_owns_ends_with_its_head() {
    let (layer, witness) = witness();
    let stack = ServiceBuilder::new()
        .layer(MethodLayer::new(&GREET_MANY))
        .layer(layer)
        .service(endpoint_fn(|_: Context, (): ()| async { Ok::<_, Error>(Streaming::once(1)) }));
    let _stream = stack.invoke(Context::new(), ()).await.unwrap();
    assert_eq!(witness.take(), ["before", "response true", "returned"]);
}

#[tokio::test]
async fn a_unary_method_has_no_slot_and_its_name_reaches_the_layers() {
    let named =
        MethodLayer::new(&GREETING).layer(endpoint_fn(|context: Context, (): ()| async move {
            Ok::<_, Error>(context.method().map(ToString::to_string))
        }));
    let name = named.invoke(Context::new(), ()).await.unwrap();
    assert_eq!(name.as_deref(), Some("greeter.Greeter/Greeting"));

    let mut request = Request::new(Context::new(), ());
    request.name_method(&GREETING);
    assert!(request.claim_end().is_none());
    request.name_method(&GREET_MANY);
    assert!(request.claim_end().is_some());
    assert!(request.claim_end().is_none(), "an end has one owner");
}

#[tokio::test]
async fn a_function_knows_its_method_where_nobody_further_out_does() {
    let endpoint = endpoint_fn(|context: Context, (): ()| async move {
        Ok::<_, Error>(context.method().map(ToString::to_string))
    })
    .of(&GREETING);
    let name = endpoint.invoke(Context::new(), ()).await.unwrap();
    assert_eq!(name.as_deref(), Some("greeter.Greeter/Greeting"));
    let name = endpoint.invoke(Context::new().with_method(&GREET_MANY), ()).await.unwrap();
    assert_eq!(name.as_deref(), Some("greeter.Greeter/GreetMany"));
}
