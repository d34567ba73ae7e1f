//! What a line costs, beside what a user would pick instead.
//!
//! Run with `cargo bench -p purlin-bench --bench log`.

use std::convert::Infallible;
use std::hint::black_box;
use std::io;

use http::{Request, Response};
use purlin::log::{Format, LogLayer, Logger, Queue, Sampling};
use purlin_bench::Failure;
use purlin_bench::micro::{Micro, Rows, compare};
use purlin_endpoint::{ByStatus, Context, Endpoint as _, Method, Peer, endpoint_fn};
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::dispatcher::{Dispatch, set_default};
use tracing::{Level, info};

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");

fn main() -> Result<(), Failure> {
    let against = [
        ("tracing-subscriber", "purlin-log, logfmt"),
        ("no-op HTTP service in a TraceLayer", "no-op HTTP service in a LogLayer, logfmt"),
        ("Go kit", "purlin-log, logfmt"),
        ("slog", "purlin-log, logfmt"),
    ];
    compare(&Log, "log", &against)
}

struct Log;

impl Rows for Log {
    const STEADY: bool = true;

    fn measure(&self, micro: &mut impl Micro) -> Result<(), Failure> {
        lines(micro)?;
        calls(micro);
        http_calls(micro);
        Ok(())
    }
}

/// The line of all rows: a time, a level, a message and these six fields.
fn line(log: &Logger) {
    log.info("call")
        .field("method", black_box("greeter.Greeter/Greeting"))
        .field("code", black_box("OK"))
        .field("took_ms", black_box(0.021))
        .field("peer", black_box("127.0.0.1:4711"))
        .field("request_id", black_box("0af7651916cd43dd8448eb211c80319c"))
        .field("attempts", black_box(2))
        .send();
}

fn event() {
    info!(
        method = black_box("greeter.Greeter/Greeting"),
        code = black_box("OK"),
        took_ms = black_box(0.021),
        peer = black_box("127.0.0.1:4711"),
        request_id = black_box("0af7651916cd43dd8448eb211c80319c"),
        attempts = black_box(2),
        "call"
    );
}

/// `tracing-subscriber`'s own formatter, with what a line of ours has.
fn fmt() -> Dispatch {
    let fmt = tracing_subscriber::fmt().with_ansi(false).with_target(false).with_writer(io::sink);
    Dispatch::new(fmt.finish())
}

fn lines(micro: &mut impl Micro) -> Result<(), Failure> {
    for format in [Format::Logfmt, Format::Json, Format::Color] {
        let log = Logger::new(format, io::sink());
        micro.row(&format!("purlin-log, {format}"), || async || line(&log));
    }
    let (queued, background) = Logger::queued(Format::Logfmt, io::sink(), Queue::bytes(64 << 20))?;
    micro.row("purlin-log, logfmt, queued", || async || line(&queued));
    let lost = queued.dropped();
    background.stop()?;
    if lost > 0 {
        println!("{lost} queued lines found no room, which is quicker than to be written");
    }
    let log = Logger::logfmt(io::sink()).sampling(Sampling::first(1))?;
    micro.row("purlin-log, suppressed as a repetition", || async || line(&log));
    let log = Logger::logfmt(io::sink()).level(purlin::log::Level::Warn);
    micro.row("purlin-log, below its level", || async || line(&log));
    let fmt = fmt();
    micro.row("tracing-subscriber, fmt", || {
        let guard = set_default(&fmt);
        async move || {
            let _ = &guard;
            event();
        }
    });
    Ok(())
}

fn calls(micro: &mut impl Micro) {
    let bare = endpoint_fn(|_: Context, n: u64| async move { Ok::<_, purlin_endpoint::Error>(n) });
    let context = Context::new()
        .with_method(&GREETING)
        .with_peer(Peer::Tcp(([127, 0, 0, 1], 4711).into()))
        .with_request_id(purlin_endpoint::RequestId::generate());
    micro.row("no-op endpoint", || async || bare.invoke(context.clone(), black_box(1)).await);
    let logged =
        ServiceBuilder::new().layer(LogLayer::new(Logger::logfmt(io::sink()))).service(bare);
    micro.row("no-op endpoint in a LogLayer, logfmt", || {
        async || logged.invoke(context.clone(), black_box(1)).await
    });
}

fn http_calls(micro: &mut impl Micro) {
    let bare = service_fn(async |request: Request<String>| {
        black_box(request);
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    micro.row("no-op HTTP service", || calling(bare));
    let log = LogLayer::new(Logger::logfmt(io::sink())).classify(ByStatus);
    let logged = ServiceBuilder::new().layer(log).service(bare);
    micro.row("no-op HTTP service in a LogLayer, logfmt", || calling(logged.clone()));
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    let traced = ServiceBuilder::new().layer(trace).service(bare);
    let fmt = fmt();
    micro.row("no-op HTTP service in a TraceLayer, span and line, fmt", || {
        let guard = set_default(&fmt);
        let mut call = calling(traced.clone());
        async move || {
            let _ = &guard;
            call().await
        }
    });
}

fn calling<S>(mut service: S) -> impl AsyncFnMut() -> Option<S::Response>
where
    S: Service<Request<String>, Error = Infallible>,
{
    async move || service.ready().await.ok()?.call(Request::new(String::new())).await.ok()
}
