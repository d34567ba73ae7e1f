//! One greeter after the other is replaced by a new one, and those who call them don't notice.

use crate::{consul::Agent, process::Greeter};
use greeter::{
    discovery::{self, Registered},
    endpoints::{GREETING, GreetingReply, GreetingRequest, observed, reaching},
    transport,
};
use purlin::{
    BoxEndpoint, Context, Endpoint as _, Error,
    balancer::Balance,
    circuitbreaker::CircuitBreaker,
    http_client::HttpClient,
    log::{LogLayer, Logger},
    metrics::{MetricsLayer, Registry},
    retry::{Retry, RetryHandle},
    sd::{Endpoints, Instance},
    timeout::Timeout,
    transport_grpc::Channel,
};
use rustix::process::Signal;
use std::{collections::VecDeque, env, time::Duration};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};

type Greeting = BoxEndpoint<GreetingRequest, GreetingReply>;

/// Calls that go on until they are told to end, so many a second, whatever becomes of them.
struct Load {
    end: watch::Sender<bool>,
    calling: JoinHandle<(u64, Vec<Error>)>,
    retries: RetryHandle,
}

impl Load {
    /// The client's layers around what calls one instance.
    async fn start<F>(registry: &Registered, service: &str, a_second: u32, connect: F) -> Self
    where
        F: Fn(&Instance) -> Result<Greeting, Error> + Send + 'static,
    {
        let mut instancer = registry.follow(service, "").unwrap();
        instancer.known().await;
        let balancer = Balance::default().over(Endpoints::new(instancer, connect)).unwrap();
        let (breaker, retry) =
            (CircuitBreaker::new().layer().unwrap(), Retry::attempts(3).layer().unwrap());
        let timeout = Timeout::new(Duration::from_secs(5)).layer().unwrap();
        let one = reaching(&breaker, &retry, balancer.endpoint(Greeting::clone));
        let log = LogLayer::new(Logger::discard());
        let metrics = MetricsLayer::new(Registry::new()).client();
        let greeting = BoxEndpoint::new(observed(&GREETING, &log, &metrics, &timeout, one));
        let (end, ended) = watch::channel(false);
        let calling = tokio::spawn(call(greeting, a_second, ended));
        Self { end, calling, retries: retry.handle() }
    }

    /// How many calls were made, and how many of them were made again; none may have failed.
    async fn end(self, name: &str) -> (u64, u64) {
        self.end.send_replace(true);
        let (calls, failed) = self.calling.await.unwrap();
        let first = failed.first().map(|error| format!("{error:#}"));
        assert_eq!((failed.len(), first), (0, None), "{name}: of {calls} calls");
        (calls, self.retries.repeats())
    }
}

async fn call(
    greeting: Greeting,
    a_second: u32,
    ended: watch::Receiver<bool>,
) -> (u64, Vec<Error>) {
    let mut ticks = interval(Duration::from_secs(1) / a_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut calls, mut count, mut failed) = (JoinSet::new(), 0, Vec::new());
    while !*ended.borrow() {
        ticks.tick().await;
        count += 1;
        let (greeting, request) = (greeting.clone(), GreetingRequest { name: "Ann".to_owned() });
        calls.spawn(async move { greeting.invoke(Context::new(), request).await });
        while let Some(reply) = calls.try_join_next() {
            failed.extend(reply.unwrap().err());
        }
    }
    while let Some(reply) = calls.join_next().await {
        failed.extend(reply.unwrap().err());
    }
    (count, failed)
}

fn http(instance: &Instance) -> Result<Greeting, Error> {
    let origin = format!("http://{}", instance.address);
    let greeting = transport::http::greeting(HttpClient::new(), &origin, transport::nothing);
    Ok(BoxEndpoint::new(greeting.map_err(Error::internal)?))
}

fn grpc(instance: &Instance) -> Result<Greeting, Error> {
    let uri = format!("http://{}", instance.address).parse().map_err(Error::internal)?;
    Ok(BoxEndpoint::new(transport::grpc::greeting(Channel::new(uri), transport::nothing)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_a_rolling_restart_behind_consul_fails_no_call() {
    // The builds of CI share few processors with their neighbours: half the load is enough there.
    let (restarts, a_second) = match env::var_os("PURLIN_SOAK") {
        Some(_) => (9, 500),
        None => (3, 250),
    };
    let agent = Agent::start().await;
    let flag = agent.flag();
    let start = || {
        // Who follows Consul learns within two seconds who has left.
        Greeter::start(&["--registry", &flag, "--drain-delay", "3s", "--log-level", "warn"])
    };
    let mut greeters: VecDeque<Greeter> = (0..3).map(|_| start()).collect();
    for greeter in &greeters {
        agent.knows(greeter).await;
    }

    let (registry, begun) = (flag.parse().unwrap(), Instant::now());
    let over_http = Load::start(&registry, discovery::HTTP, a_second, http).await;
    let over_grpc = Load::start(&registry, discovery::GRPC, a_second, grpc).await;
    for _ in 0..restarts {
        let mut old = greeters.pop_front().unwrap();
        old.signal(Signal::TERM);
        let ended = tokio::task::spawn_blocking(move || old.wait());
        let (status, lines) = ended.await.unwrap();
        assert!(status.success(), "{status}: {lines}");
        let new = start();
        agent.knows(&new).await;
        greeters.push_back(new);
    }
    let ((http, http_again), (grpc, grpc_again)) =
        (over_http.end("HTTP").await, over_grpc.end("gRPC").await);
    let took = begun.elapsed().as_secs_f64();
    let rate = (http + grpc) as f64 / took;
    println!(
        "{restarts} restarts in {took:.1} s: {http} calls over HTTP, {grpc} over gRPC, \
         {rate:.0} a second, {http_again} and {grpc_again} of them made again, none failed"
    );
    assert!(rate > 1.8 * f64::from(a_second), "only {rate:.0} calls a second were made");
}
