//! One deadline over a chain of four services: HTTP, gRPC, HTTP, gRPC.

use crate::world::soak;
use futures_util::{StreamExt as _, stream};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use purlin_endpoint::{
    BoxEndpoint, Code, Context, Endpoint as _, Error, Layer as _, Method, Streaming, endpoint_fn,
};
use purlin_hostile::Payload;
use purlin_http_client::HttpClient;
use purlin_timeout::Timeout;
use purlin_transport_grpc::{Channel, Client as GrpcClient, Server as GrpcServer};
use purlin_transport_http::{
    Body, Client as HttpClientEndpoint, Router, Server, client, decode, encode,
};
use std::{
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

static TICKS: Method = Method::server_streaming("hostile.Chain", "Ticks");

/// How long lies between the messages of the last service, which has no end of them.
const TICK: Duration = Duration::from_millis(20);

type Ticks = BoxEndpoint<(), Streaming<u64>>;

/// What the services have seen.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Work>>>);

/// What one service did of a call.
#[derive(Clone, Copy, Debug)]
struct Work {
    hop: usize,
    remaining: Duration,
    began: Instant,
    dropped: Option<Instant>,
}

/// It is held as long as a service works on a call, the stream of its response included.
struct Working(Log, usize);

impl Log {
    fn begin(&self, hop: usize, context: &Context) -> Working {
        let began = Instant::now();
        let remaining = context.remaining(began).expect("there is a deadline");
        let mut work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work.push(Work { hop, remaining, began, dropped: None });
        Working(self.clone(), work.len() - 1)
    }

    fn take(&self) -> Vec<Work> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn work(&self) -> Vec<Work> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut work = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        work[self.1].dropped = Some(Instant::now());
    }
}

/// Messages without end.
fn ticks(working: Working) -> Streaming<u64> {
    Streaming::new(stream::unfold((working, 0), async |(working, count)| {
        sleep(TICK).await;
        Some((Ok(count), (working, count + 1)))
    }))
}

/// A service that works for a while, and then passes on what the next one streams.
fn hop(log: &Log, hop: usize, long: Duration, next: Option<Ticks>) -> Ticks {
    let log = log.clone();
    BoxEndpoint::new(endpoint_fn(move |context: Context, ()| {
        let (working, next) = (log.begin(hop, &context), next.clone());
        async move {
            sleep(long).await;
            let Some(next) = next else { return Ok(ticks(working)) };
            let ticks = next.invoke(context.outgoing(), ()).await?;
            Ok::<_, Error>(Streaming::new(ticks.inspect(move |_| _ = &working)))
        }
    }))
}

fn http_service(endpoint: Ticks) -> Router {
    Router::new().get("/", Server::new(endpoint, decode::no_request, encode::json_lines))
}

fn grpc_service(endpoint: Ticks) -> GrpcServer {
    let bytes = |tick: u64| Ok(Payload { bytes: tick.to_string().into() });
    GrpcServer::new().server_streaming(&TICKS, endpoint, |_: Payload| Ok(()), bytes)
}

fn nothing(_: &Context, _: &mut http::Request<Body>, (): ()) -> Result<(), Error> {
    Ok(())
}

/// Calls an HTTP service.
macro_rules! over_http {
    ($service:expr, $origin:expr) => {{
        let ticks = client::decode::json_lines::<u64>;
        let origin = format!("http://{}/", $origin);
        let client = HttpClientEndpoint::new($service, http::Method::GET, origin, nothing, ticks);
        BoxEndpoint::new(client.expect("an absolute URI"))
    }};
}

/// Calls a gRPC service.
macro_rules! over_grpc {
    ($service:expr) => {{
        let tick = |payload: Payload| {
            let text = str::from_utf8(&payload.bytes).map_err(Error::internal)?;
            text.parse::<u64>().map_err(Error::internal)
        };
        BoxEndpoint::new(GrpcClient::server_streaming(
            $service,
            &TICKS,
            |()| Ok(Payload::default()),
            tick,
        ))
    }};
}

/// The chain without a network.
fn chain(log: &Log, long: [Duration; 4]) -> Ticks {
    let fourth = over_grpc!(grpc_service(hop(log, 4, long[3], None)));
    let third = over_http!(http_service(hop(log, 3, long[2], Some(fourth))), "third");
    let second = over_grpc!(grpc_service(hop(log, 2, long[1], Some(third))));
    over_http!(http_service(hop(log, 1, long[0], Some(second))), "first")
}

/// Calls the chain until its end. Gives the messages that came and the error that it ended with.
async fn call(chain: &Ticks, budget: Duration) -> (u64, Error) {
    let mut ticks = match chain.invoke(Context::new().with_timeout(budget), ()).await {
        Ok(ticks) => ticks,
        Err(error) => return (0, error),
    };
    let mut count = 0;
    loop {
        match ticks.next().await {
            Some(Ok(_)) => count += 1,
            Some(Err(error)) => return (count, error),
            None => panic!("the ticks have no end"),
        }
    }
}

/// What of the rules for a deadline was broken, if any.
fn broken(log: &Log, deadline: Instant, slack: Duration) -> Option<String> {
    log.work().into_iter().find_map(|work| {
        let left = deadline.saturating_duration_since(work.began);
        let late = work.dropped.is_none_or(|dropped| dropped > deadline + slack);
        let wrong = work.remaining > left + slack || work.began >= deadline || late;
        wrong.then(|| format!("{work:?}, with {left:?} left"))
    })
}

#[tokio::test(start_paused = true)]
async fn each_service_sees_what_remains_and_stops_with_the_deadline() {
    let (log, long) = (Log::default(), [Duration::from_millis(40); 4]);
    let budget = Duration::from_millis(300);
    let deadline = Instant::now() + budget;
    let (count, error) = call(&chain(&log, long), budget).await;
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:#}");
    assert_eq!(Instant::now(), deadline);
    assert!((5..=7).contains(&count), "{count} messages in the 140 ms that the heads leave");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(log.work().iter().map(|work| work.hop).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(broken(&log, deadline, Duration::ZERO), None);
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_begun_nowhere() {
    let (log, long) = (Log::default(), [Duration::ZERO; 4]);
    let (count, error) = call(&chain(&log, long), Duration::ZERO).await;
    assert_eq!((count, error.code()), (0, Code::DeadlineExceeded));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(log.work().len(), 0);
}

#[test]
fn no_delay_lets_work_begin_or_go_on_behind_the_deadline() {
    let cases = if soak() { 100_000 } else { 10_000 };
    println!("seed 4, {cases} cases");
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[4; 32]);
    let delay = 0..120_000_u64;
    let delays = ([delay.clone(), delay.clone(), delay.clone(), delay], 1_000..300_000_u64);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().start_paused(true).build().expect("a runtime");
    let mut reached = [0; 5];
    let reached = std::cell::RefCell::new(&mut reached);
    let outcome = TestRunner::new_with_rng(config, rng).run(&delays, |(long, budget)| {
        let log = Log::default();
        let budget = Duration::from_micros(budget);
        let broken = runtime.block_on(async {
            let deadline = Instant::now() + budget;
            call(&chain(&log, long.map(Duration::from_micros)), budget).await;
            // A timer fires within the millisecond that it is set for.
            sleep(Duration::from_millis(2)).await;
            broken(&log, deadline, Duration::from_millis(1))
        });
        reached.borrow_mut()[log.work().len()] += 1;
        broken.map_or(Ok(()), |why| Err(TestCaseError::fail(why)))
    });
    if let Err(found) = outcome {
        panic!("{found}");
    }
    let reached = reached.into_inner();
    println!("calls by the number of services that began: {reached:?}");
    assert!(reached[1..].iter().all(|calls| *calls > 0));
}

/// The chain over sockets.
async fn chain_over_sockets(log: &Log, long: Duration) -> Ticks {
    let mut next = None;
    for number in (1..=4).rev() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let endpoint = hop(log, number, long, next);
        let server = purlin_serve::Server::new();
        next = Some(if number % 2 == 0 {
            tokio::spawn(server.serve(listener, grpc_service(endpoint), pending()));
            let origin = format!("http://{address}").parse().expect("a URI");
            over_grpc!(Channel::new(origin))
        } else {
            tokio::spawn(server.serve(listener, http_service(endpoint), pending()));
            over_http!(HttpClient::new(), address)
        });
    }
    next.expect("a chain")
}

/// How often the chain is called over sockets: one call may be held up by what else the machine
/// does, most of them are not.
const CALLS: usize = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_holds_over_sockets_too() {
    let log = Log::default();
    let chain = chain_over_sockets(&log, Duration::from_millis(10)).await;
    let budget = Duration::from_millis(120);
    // By how much each service saw more than remained, and how late it was dropped.
    let [mut more, mut late]: [[Vec<Duration>; 4]; 2] = Default::default();
    // The first call makes the connections.
    for number in 0..=CALLS {
        let deadline = Instant::now() + budget;
        let (_, error) = call(&chain, budget).await;
        assert_eq!(error.code(), Code::DeadlineExceeded, "{error:#}");
        let ended = async {
            while log.work().iter().any(|work| work.dropped.is_none()) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("all work is dropped");
        for work in log.take() {
            let left = deadline.saturating_duration_since(work.began);
            let dropped = work.dropped.unwrap_or(work.began);
            let (saw, after) =
                (work.remaining.saturating_sub(left), dropped.saturating_duration_since(deadline));
            if number == 0 {
                println!("service {} at first: {saw:?} more, dropped {after:?} late", work.hop);
            } else {
                more[work.hop - 1].push(saw);
                late[work.hop - 1].push(after);
            }
        }
    }
    let median = |mut all: Vec<Duration>| {
        assert!(all.len() > CALLS / 2, "most calls reach every service: {all:?}");
        all.sort_unstable();
        all[all.len() / 2]
    };
    let (more, late) = (more.map(median), late.map(median));
    println!("seen too much: {more:?}, dropped late: {late:?}");
    assert!(more.iter().all(|more| *more <= Duration::from_millis(5)), "{more:?}");
    assert!(late.iter().all(|late| *late <= Duration::from_millis(50)), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_inside_a_server_cuts_its_stream_over_either_transport() {
    let limit = Duration::from_millis(110);
    let limited = |log: &Log| {
        let limited = Timeout::new(limit).layer().expect("a limit");
        let limited = limited.layer(hop(log, 1, Duration::ZERO, None));
        BoxEndpoint::new(limited)
    };
    let (over_http, over_grpc) = (Log::default(), Log::default());
    let http = Server::new(limited(&over_http), decode::no_request, encode::json_lines);
    let http = Router::new().get("/", http.method(&TICKS));
    let chains = [
        (&over_http, over_http!(http, "first")),
        (&over_grpc, over_grpc!(grpc_service(limited(&over_grpc)))),
    ];
    for (log, chain) in chains {
        let begun = Instant::now();
        let mut ticks = chain.invoke(Context::new(), ()).await.expect("a stream");
        for tick in 0..5 {
            assert_eq!(ticks.message().await.expect("it goes on"), Some(tick));
        }
        let error = ticks.message().await.expect_err("it is cut");
        assert_eq!((error.code(), begun.elapsed()), (Code::DeadlineExceeded, limit));
        assert_eq!(broken(log, begun + limit, Duration::ZERO), None);
    }
}
