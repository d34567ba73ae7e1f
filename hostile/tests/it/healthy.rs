//! A client that does nothing wrong, over both transports.

use purlin_endpoint::{Context, Endpoint as _, Error};
use purlin_hostile::{ECHO, Payload};
use purlin_http_client::HttpClient;
use purlin_transport_grpc::{Channel, Client};
use std::{
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::timeout};

/// What became of its calls.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) times: Vec<Duration>,
    pub(crate) failures: Vec<String>,
}

/// Calls again and again, until it is dropped.
///
/// It has a thread of its own: among the attackers' tasks it would wait for them, and not for the
/// server.
pub(crate) struct Healthy {
    calls: Arc<Mutex<Calls>>,
    _until: oneshot::Sender<()>,
}

impl Healthy {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let calls = Arc::<Mutex<Calls>>::default();
        let (until, dropped) = oneshot::channel();
        let told = calls.clone();
        let call = async move {
            tokio::select! {
                () = repeat(told.clone(), http(address)) => {}
                () = repeat(told.clone(), grpc(address)) => {}
                _ = dropped => {}
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        std::thread::spawn(move || runtime.block_on(call));
        Self { calls, _until: until }
    }

    /// What has become of the calls since this was last asked.
    pub(crate) fn take(&self) -> Calls {
        mem::take(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn repeat<F>(calls: Arc<Mutex<Calls>>, call: impl Fn() -> F)
where
    F: Future<Output = Result<(), String>>,
{
    loop {
        let begun = Instant::now();
        let outcome = timeout(Duration::from_secs(20), call()).await;
        let outcome = outcome.unwrap_or_else(|_| Err("no answer in 20 s".to_owned()));
        let took = begun.elapsed();
        {
            let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(()) => calls.times.push(took),
                Err(why) => calls.failures.push(why),
            }
        }
        // sleeps: it leaves the processor to others, for it is there to be answered, not to be fast.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

type Outcome = std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

fn http(address: SocketAddr) -> impl Fn() -> Outcome {
    let client = HttpClient::new();
    let uri: http::Uri = format!("http://{address}/healthy").parse().expect("an address is a host");
    move || {
        let (client, uri) = (client.clone(), uri.clone());
        Box::pin(async move {
            let response = client.get_bytes(uri, 1024).await.map_err(|error| error.to_string())?;
            let right = response.status() == 200 && response.headers()["x-target"] == "/healthy";
            right.then_some(()).ok_or_else(|| response.status().to_string())
        })
    }
}

fn grpc(address: SocketAddr) -> impl Fn() -> Outcome {
    let origin = format!("http://{address}").parse().expect("an address is a host");
    let channel = Channel::new(origin);
    let echo =
        Client::unary(channel, &ECHO, Ok::<Payload, Error>, |payload: Payload| Ok(payload.bytes));
    move || {
        let echo = echo.clone();
        Box::pin(async move {
            let payload = Payload { bytes: "healthy".into() };
            match echo.invoke(Context::new(), payload).await {
                Ok(bytes) if bytes == "healthy" => Ok(()),
                Ok(bytes) => Err(format!("{bytes:?} came back")),
                Err(error) => Err(format!("{error:#}")),
            }
        })
    }
}

/// The time that one call in a hundred takes longer than.
pub(crate) fn p99(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}
