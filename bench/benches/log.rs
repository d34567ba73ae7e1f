//! Nanoseconds and instructions per line, beside what a user would pick instead.
//!
//! Run with `cargo bench -p purlin-bench --bench log`.

use std::convert::Infallible;
use std::error::Error;
use std::hint::black_box;
use std::io;
use std::process::Command;

use http::{Request, Response};
use purlin::log::{Format, LogLayer, Logger, Queue, Sampling};
use purlin_bench::micro::{Micro, Timed};
use purlin_bench::table::Table;
use purlin_endpoint::{ByStatus, Context, Endpoint as _, Method, Peer, endpoint_fn};
use tokio::runtime::Builder;
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::dispatcher::{Dispatch, set_default};
use tracing::{Level, info};

static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");

/// The operations that callgrind counts beyond as many that warm up.
const COUNTED: u64 = 2000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, only, row, times] = &arguments[..]
        && only == "--only"
    {
        return rows(&mut Only { row: row.parse()?, times: times.parse()?, at: 0 });
    }
    // `cargo test --all-targets` runs this too, and has no use for timings.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut timed = Timed::default();
    rows(&mut timed)?;
    let mut table = Table::new(&["row", "ns, 1 thread", "ns, each of 2 threads", "instructions"]);
    for (at, (name, one, two)) in timed.rows.iter().enumerate() {
        let [one, two] =
            [one, two].map(|spread| spread.map_or("–".into(), |spread| format!("{spread:.1}")));
        table.row([name.clone(), one, two, instructions(at)?]);
    }
    println!("{table}");
    Ok(())
}

fn rows(micro: &mut impl Micro) -> Result<(), Box<dyn Error>> {
    lines(micro)?;
    calls(micro);
    http_calls(micro);
    Ok(())
}

/// Runs one of the rows.
struct Only {
    row: usize,
    times: u64,
    /// How many rows came before.
    at: usize,
}

impl Micro for Only {
    fn row<Setup, Op, Out>(&mut self, _: &str, setup: Setup)
    where
        Setup: Fn() -> Op + Sync,
        Op: AsyncFnMut() -> Out,
    {
        let this = self.at == self.row;
        self.at += 1;
        let Some(runtime) = this.then(|| Builder::new_current_thread().enable_time().build())
        else {
            return;
        };
        let mut op = setup();
        runtime.expect("a runtime without I/O").block_on(async {
            for _ in 0..self.times {
                black_box(op().await);
            }
        });
    }
}

/// The instructions of one operation, as callgrind counts them: what a busy machine can't change.
fn instructions(row: usize) -> Result<String, Box<dyn Error>> {
    let count = |times: u64| -> Result<Option<f64>, Box<dyn Error>> {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        valgrind.arg(std::env::current_exe()?).args(["--only", &row.to_string()]);
        let Ok(output) = valgrind.arg(times.to_string()).output() else { return Ok(None) };
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        let found = report.lines().find_map(|line| line.split_once("Collected : "));
        Ok(found.and_then(|(_, count)| count.trim().parse().ok()))
    };
    // In the difference of two runs, start and end cancel.
    let (Some(short), Some(long)) = (count(COUNTED)?, count(2 * COUNTED)?) else {
        return Ok("–".into());
    };
    Ok(format!("{:.0}", (long - short) / COUNTED as f64))
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

fn lines(micro: &mut impl Micro) -> Result<(), Box<dyn Error>> {
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
