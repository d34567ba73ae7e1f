//! The line of a call whose response is a stream.

use crate::{
    Writes,
    layer::{GREET_MANY, fields, logged, millis},
    noon,
};
use futures_util::future;
use purlin_endpoint::{Call as _, Code, Context, Error, MethodLayer, Request, Service, Streaming};
use purlin_log::{LogLayer, Logger};
use tower::{ServiceBuilder, ServiceExt as _};

#[tokio::test(start_paused = true)]
async fn a_stream_is_one_line_when_it_has_ended() {
    for (breaks, expected) in [
        (false, "info msg=call method=greeter.Greeter/GreetMany code=OK took_ms=2000.000"),
        (
            true,
            "error msg=call method=greeter.Greeter/GreetMany code=UNAVAILABLE took_ms=2000.000 \
             error=gone",
        ),
    ] {
        let writes = Writes::default();
        let mut many = streaming(&writes, breaks);
        let mut stream = many.ready().await.unwrap().call(request()).await.unwrap();
        for _ in 0..1000 {
            assert!(stream.message().await.unwrap().is_some());
        }
        assert!(writes.take().is_empty(), "the stream goes on");
        assert_eq!(stream.message().await.is_err(), breaks);
        assert_eq!(fields(&writes), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_one_line_of_its_whole_time_whichever_side_ends_it() {
    for (ends, code) in [(true, "OK"), (false, "CANCELLED")] {
        let expected =
            format!("info msg=call method=greeter.Greeter/GreetMany code={code} took_ms=2000.000");
        // A client's: the caller reads to the end, or has had enough after as many messages.
        let writes = Writes::default();
        let mut many = streaming(&writes, false);
        let mut stream = many.ready().await.unwrap().call(request()).await.unwrap();
        for _ in 0..1000 {
            assert!(stream.message().await.unwrap().is_some());
        }
        if ends {
            assert!(stream.message().await.unwrap().is_none());
        }
        drop(stream);
        assert_eq!(fields(&writes), expected);

        // A server's: its transport has written the last message, or the peer is gone.
        let (many, writes) = logged(&GREET_MANY, |_, n| future::ok::<_, Error>(n));
        let mut request = request();
        let mut ending = request.open_end().unwrap();
        many.clone().ready().await.unwrap().call(request).await.unwrap();
        for _ in 0..1000 {
            ending.scoped(|| ());
            millis(2).await;
        }
        assert!(writes.take().is_empty(), "the stream goes on");
        if ends {
            ending.finish(Ok(()));
        } else {
            drop(ending);
        }
        assert_eq!(fields(&writes), expected);
    }
}

fn request() -> Request<u32> {
    Request::new(Context::default(), 1000)
}

/// A thousand messages, one every two milliseconds, as a client's transport would hand them on.
fn streaming(
    writes: &Writes,
    breaks: bool,
) -> impl Service<Request<u32>, Response = Streaming<u32>, Error = Error> {
    ServiceBuilder::new()
        .layer(MethodLayer::new(&GREET_MANY))
        .layer(LogLayer::new(Logger::logfmt(writes.clone()).clock(noon)))
        .service_fn(move |mut request: Request<u32>| {
            let ending = request.claim_end();
            let messages = futures_util::stream::unfold(0, move |n| async move {
                match n {
                    n if n < request.message => {
                        millis(2).await;
                        Some((Ok(n), n + 1))
                    }
                    n if breaks && n == request.message => {
                        Some((Err(Error::new(Code::Unavailable, "gone")), n + 1))
                    }
                    _ => None,
                }
            });
            future::ok(Streaming::new(messages).ending(ending))
        })
}
