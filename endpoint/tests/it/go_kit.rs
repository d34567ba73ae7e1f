//! Go kit's scenarios for its package `endpoint`.

use purlin_endpoint::{Context, Endpoint as _, Error, Next, Request, endpoint_fn, from_fn};
use std::sync::{Arc, Mutex};
use tower::ServiceBuilder;

type Lines = Arc<Mutex<Vec<String>>>;

fn annotate<S>(
    lines: &Lines,
    name: &'static str,
) -> impl tower::Layer<S, Service: purlin_endpoint::Endpoint<(), Response = (), Error = Error>> + use<S>
where
    S: purlin_endpoint::Endpoint<(), Response = (), Error = Error>,
{
    let lines = lines.clone();
    from_fn(move |request: Request<()>, next: Next<S>| {
        let lines = lines.clone();
        async move {
            lines.lock().unwrap().push(format!("{name} pre"));
            next.run(request).await?;
            lines.lock().unwrap().push(format!("{name} post"));
            Ok::<_, Error>(())
        }
    })
}

/// ep-1: the first layer is the outermost, in `ServiceBuilder` and in a tuple of layers.
#[tokio::test]
async fn ep_1_the_first_layer_is_the_outermost() {
    let expected = [
        "first pre",
        "second pre",
        "third pre",
        "my endpoint!",
        "third post",
        "second post",
        "first post",
    ];
    let lines = Lines::default();
    let said = lines.clone();
    let endpoint = endpoint_fn(move |_: Context, (): ()| {
        let said = said.clone();
        async move {
            said.lock().unwrap().push("my endpoint!".to_owned());
            Ok::<_, Error>(())
        }
    });

    let built = ServiceBuilder::new()
        .layer(annotate(&lines, "first"))
        .layer(annotate(&lines, "second"))
        .layer(annotate(&lines, "third"))
        .service(endpoint.clone());
    built.invoke(Context::default(), ()).await.unwrap();
    assert_eq!(*lines.lock().unwrap(), expected);

    lines.lock().unwrap().clear();
    let tuple = (annotate(&lines, "first"), annotate(&lines, "second"), annotate(&lines, "third"));
    tower::Layer::layer(&tuple, endpoint).invoke(Context::default(), ()).await.unwrap();
    assert_eq!(*lines.lock().unwrap(), expected);
}
