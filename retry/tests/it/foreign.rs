//! Stacks that know nothing of Purlin but its layers.

use crate::script::{MS, READ};
use http::{Request, Response, StatusCode};
use purlin_endpoint::{BoxError, ByStatus, Code, Error, MethodLayer};
use purlin_retry::{Attempts, Hedge, Retry, TimedOut};
use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::time::Instant;
use tower::{ServiceBuilder, ServiceExt as _};

fn status(status: StatusCode) -> Response<&'static str> {
    let mut response = Response::new("body");
    *response.status_mut() = status;
    response
}

#[tokio::test(start_paused = true)]
async fn a_response_that_says_503_is_repeated_and_one_that_says_404_is_not() {
    for (answers, last, asked) in [
        ([503, 503, 200], 200, 3),
        ([503, 503, 503], 503, 3),
        ([503, 404, 200], 404, 2),
        ([429, 200, 200], 429, 1),
    ] {
        let count = Arc::new(AtomicU32::new(0));
        let asks = count.clone();
        let service = ServiceBuilder::new()
            .layer(MethodLayer::new(&READ))
            .layer(Retry::attempts(3).layer().unwrap().classify(ByStatus))
            .map_err(BoxError::from)
            .service_fn(move |request: Request<&'static str>| {
                assert_eq!(request.body(), &"question");
                let index = asks.fetch_add(1, Ordering::Relaxed) as usize;
                let answer = StatusCode::from_u16(answers[index]).unwrap();
                async move { Ok::<_, io::Error>(status(answer)) }
            });
        let response = service.oneshot(Request::new("question")).await.unwrap();
        assert_eq!((response.status().as_u16(), *response.body()), (last, "body"));
        assert_eq!(count.load(Ordering::Relaxed), asked, "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_says_when_to_come_back_is_repeated_then() {
    for (first, asks_for, waited, attempts) in [
        (503, "7", 7_000, 2),
        (429, "3", 3_000, 2),
        // A date is not understood, and what is no refusal is none for its delay either.
        (503, "Fri, 31 Dec 1999 23:59:59 GMT", 25, 2),
        (429, "soon", 0, 1),
        (404, "3", 0, 1),
    ] {
        fastrand::seed(1);
        let (count, begun) = (Arc::new(AtomicU32::new(0)), Instant::now());
        let asks = count.clone();
        let service = ServiceBuilder::new()
            .layer(MethodLayer::new(&READ))
            .layer(Retry::attempts(3).layer().unwrap().classify(ByStatus))
            .map_err(BoxError::from)
            .service_fn(move |_: Request<()>| {
                let code = if asks.fetch_add(1, Ordering::Relaxed) == 0 { first } else { 200 };
                let mut response = status(StatusCode::from_u16(code).unwrap());
                response.headers_mut().insert("retry-after", asks_for.parse().unwrap());
                async { Ok::<_, io::Error>(response) }
            });
        service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), attempts, "{first}");
        let took = begun.elapsed().as_millis().abs_diff(waited);
        assert!(took <= waited / 4 && (waited < 1_000 || took <= 1), "{first}: {took} off");
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_error_is_passed_on_as_it_was_or_as_the_source_of_one_of_ours() {
    let failing = |layer| {
        ServiceBuilder::new()
            .layer(MethodLayer::new(&READ))
            .layer(layer)
            .map_err(BoxError::from)
            .service_fn(|_: Request<()>| async {
                Err::<Response<()>, _>(io::Error::other("connection reset"))
            })
    };
    let retry = Retry::attempts(2).layer().unwrap().classify(ByStatus);
    let error = failing(retry).oneshot(Request::new(())).await.unwrap_err();
    let error = error.downcast_ref::<Error>().unwrap();
    assert_eq!(error.find::<io::Error>().unwrap().to_string(), "connection reset");
    assert_eq!(error.find::<Attempts>().unwrap().earlier().len(), 1);
    let once = Retry::attempts(1).layer().unwrap().classify(ByStatus);
    let error = failing(once).oneshot(Request::new(())).await.unwrap_err();
    assert!(error.is::<io::Error>());
}

#[tokio::test(start_paused = true)]
async fn a_boxed_error_of_ours_says_whether_trying_again_may_help() {
    let count = Arc::new(AtomicU32::new(0));
    let asks = count.clone();
    let service = ServiceBuilder::new()
        .layer(MethodLayer::new(&READ))
        .layer(Retry::attempts(3).attempt_timeout(50 * MS).layer().unwrap())
        .service_fn(move |_: purlin_endpoint::Request<()>| {
            let first = asks.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                if first {
                    return Err(BoxError::from(Error::of(Code::Unavailable)));
                }
                pending::<Result<(), BoxError>>().await
            }
        });
    let request = purlin_endpoint::Request::new(Default::default(), ());
    let error = Error::from(service.oneshot(request).await.unwrap_err());
    assert_eq!((error.code(), count.load(Ordering::Relaxed)), (Code::DeadlineExceeded, 3));
    assert_eq!(error.find::<TimedOut>(), Some(&TimedOut { after: 50 * MS, attempt: true }));
    assert_eq!(error.find::<Attempts>().unwrap().earlier().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_of_http_requests_takes_the_first_response_that_is_none_of_503() {
    let count = Arc::new(AtomicU32::new(0));
    let asks = count.clone();
    let service = ServiceBuilder::new()
        .layer(MethodLayer::new(&READ))
        .layer(Hedge::after(10 * MS).attempts(3).layer().unwrap().classify(ByStatus))
        .map_err(BoxError::from)
        .service_fn(move |_: Request<()>| {
            let index = asks.fetch_add(1, Ordering::Relaxed);
            async move {
                match index {
                    0 => pending().await,
                    1 => Ok::<_, io::Error>(status(StatusCode::SERVICE_UNAVAILABLE)),
                    _ => Ok(status(StatusCode::OK)),
                }
            }
        });
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!((response.status(), count.load(Ordering::Relaxed)), (StatusCode::OK, 3));
}
