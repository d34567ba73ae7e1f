use purlin_endpoint::{CatchPanicLayer, Code, Context, Endpoint as _, Error, endpoint_fn};
use tower::Layer as _;

#[tokio::test]
async fn a_panic_becomes_an_internal_error_without_its_text() {
    let caught = CatchPanicLayer::new().layer(endpoint_fn(|_: Context, (): ()| async {
        if true {
            panic!("the password is swordfish");
        }
        Ok::<(), Error>(())
    }));
    let error = caught.invoke(Context::new(), ()).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Internal, "internal error"));
    assert!(!format!("{error:#} {error:?}").contains("swordfish"));
}

#[tokio::test]
async fn a_panic_can_be_answered_with_a_response() {
    let layer = CatchPanicLayer::new().respond(|_| 500);
    let caught = layer.layer(endpoint_fn(|_: Context, ok: bool| async move {
        assert!(ok, "not ok");
        Ok::<_, std::convert::Infallible>(200)
    }));
    assert_eq!(caught.invoke(Context::new(), true).await, Ok(200));
    assert_eq!(caught.invoke(Context::new(), false).await, Ok(500));
}
