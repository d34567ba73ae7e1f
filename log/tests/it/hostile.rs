//! Whatever comes in with a call, nothing of it reaches a writer raw, and no line breaks.

use crate::{Writes, escaping::is_safe};
use http::{HeaderValue, Request};
use purlin_endpoint::{CatchPanicLayer, Code, Error, Verdict};
use purlin_log::{Fields, Format, LogLayer, Logger, Queue};
use std::future;
use tower::{ServiceBuilder, ServiceExt as _};

const FORMATS: [Format; 4] = [Format::Logfmt, Format::Json, Format::Pretty, Format::Color];

/// What a caller may write into a header, as bytes.
fn values() -> Vec<Vec<u8>> {
    let state: Vec<_> = (0..600).map(|n| format!("vendor{n}=\"\x1b[2J\"")).collect();
    vec![
        b"00-00000000000000000000000000000000-0000000000000000-00".to_vec(),
        state.join(",").into_bytes(),
        "x".repeat(10 * 1024).into_bytes(),
        b"\x1b[2J\x1b[H\x1b]0;owned\x07".to_vec(),
        b"a\r\nts=2026-11-21T12:00:00Z level=error msg=forged".to_vec(),
        b"\"},{\"level\":\"error\"}".to_vec(),
        b"\xff\xfe\xc3\x28\xf0\x28\x8c\x28\xed\xa0\x80\xc2".to_vec(),
        b"\0\x01\x08\x7f\xc2\x9b2J".to_vec(),
        "\u{202e}drowssap\u{2028}\u{2029}\u{feff}\u{200f}\u{61c}".into(),
        Vec::new(),
    ]
}

/// Calls with this text in every place that a caller or a handler can write to.
async fn call(log: &Logger, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let layer = LogLayer::new(log.with("static", &text).with(&text, 1))
        .classify(|outcome: &Result<(), Error>| match outcome {
            Ok(()) => Verdict::OK,
            Err(error) => Verdict::of(error.code()),
        })
        .fields(|request: &Request<String>, fields: &mut Fields<'_>| {
            fields.add("body", request.body()).add(request.body(), request.body());
            fields.add("path", &format_args!("{}", request.uri()));
            for (name, value) in request.headers() {
                fields.add(name.as_str(), &*String::from_utf8_lossy(value.as_bytes()));
            }
        });
    for outcome in 0..3 {
        let said = text.clone();
        let service = ServiceBuilder::new()
            .layer(CatchPanicLayer::new())
            .layer(layer.clone())
            .service_fn(move |_: Request<String>| match outcome {
                0 => future::ready(Ok(())),
                1 => {
                    let source = std::io::Error::other(said.clone());
                    future::ready(
                        Err(Error::new(Code::Unavailable, said.clone()).caused_by(source)),
                    )
                }
                _ => panic!("{said}"),
            });
        let mut request = Request::new(text.clone());
        for name in ["traceparent", "tracestate", "user-agent", "x-request-id", "baggage"] {
            // What hyper lets through: the other texts can't come in a header.
            if let Ok(value) = HeaderValue::from_bytes(bytes) {
                request.headers_mut().append(name, value);
            }
        }
        let _ = service.oneshot(request).await;
    }
    log.warn(&text).field(&text, &*text).field("value", &text).lazy(&text, || &*text).send();
}

/// How many lines one such call is.
const LINES: usize = 4;

fn check(format: Format, written: &[String], calls: usize) {
    assert_eq!(written.len(), calls * LINES, "{format}");
    for line in written {
        let line = line.strip_suffix('\n').expect("a whole line");
        assert!(is_safe(format, line), "{format}: {line:?}");
        if format == Format::Json {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}

#[tokio::test]
async fn no_text_of_a_caller_reaches_a_writer_raw_or_breaks_a_line() {
    for format in FORMATS {
        let (here, there) = (Writes::default(), Writes::default());
        let log = Logger::new(format, here.clone());
        let (queued, background) = Logger::queued(format, there.clone(), Queue::default()).unwrap();
        for bytes in values() {
            call(&log, &bytes).await;
            call(&queued, &bytes).await;
        }
        background.stop().unwrap();
        check(format, &here.take(), values().len());
        check(format, &there.lines(), values().len());
    }
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn what_comes_through_tracing_is_as_safe() {
    use tracing_subscriber::layer::SubscriberExt as _;

    for format in FORMATS {
        let writes = Writes::default();
        let lines = purlin_log::FromTracing::new(Logger::new(format, writes.clone()));
        let _subscriber =
            tracing::subscriber::set_default(tracing_subscriber::registry().with(lines));
        for bytes in values() {
            // Lines that become events, which become lines again.
            call(&Logger::to_tracing(), &bytes).await;
        }
        check(format, &writes.take(), values().len());
        for bytes in values() {
            let text = &*String::from_utf8_lossy(&bytes);
            let span = tracing::info_span!("call", text, debug = ?text, shown = %text);
            let _within = span.enter();
            for _ in 0..LINES {
                tracing::info!(text, debug = ?text, shown = %text, "{text}");
            }
        }
        check(format, &writes.take(), values().len());
    }
}
