use crate::world::*;
use http::{Request, Response};
use hyper::body::Incoming;
use purlin_serve::{ServeError, Server, memory};
use std::{
    future::{Ready, pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tower::{Service, limit::ConcurrencyLimit, service_fn};

/// Is ready only when asked a second time, and counts its clones.
struct Reluctant {
    asked: u32,
    clones: Arc<AtomicU32>,
}

impl Clone for Reluctant {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Relaxed);
        Self { asked: 0, clones: Arc::clone(&self.clones) }
    }
}

impl Service<Request<Incoming>> for Reluctant {
    type Response = Response<String>;
    type Error = &'static str;
    type Future = Ready<Result<Response<String>, &'static str>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.asked += 1;
        if self.asked < 2 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<Incoming>) -> Self::Future {
        assert!(self.asked >= 2, "called before it was ready");
        self.asked = 0;
        ready(Ok(Response::new("at last".into())))
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_is_waited_for() {
    let (accept, at) = memory();
    let clones = Arc::new(AtomicU32::new(0));
    let service = Reluctant { asked: 0, clones: Arc::clone(&clones) };
    tokio::spawn(Server::new().serve(accept, service, pending()));
    let mut client = dial(&at).await;
    for _ in 0..3 {
        ask(&mut client, &get("/"), "at last").await;
    }
    assert_eq!(clones.load(Relaxed), 4, "one for the connection, one for each wait");
    let mut two = http2(dial(&at).await).await;
    assert_eq!(body(two.send_request(request("/")).await.unwrap()).await, "at last");
}

#[tokio::test(start_paused = true)]
async fn a_ready_service_is_cloned_once_a_connection() {
    #[derive(Debug)]
    struct Counted(Arc<AtomicU32>);
    impl Clone for Counted {
        fn clone(&self) -> Self {
            self.0.fetch_add(1, Relaxed);
            Self(Arc::clone(&self.0))
        }
    }
    let clones = Arc::new(AtomicU32::new(0));
    let counted = Counted(Arc::clone(&clones));
    let (accept, at) = memory();
    let service = service_fn(move |request| {
        let _ = &counted;
        answer(request)
    });
    tokio::spawn(Server::new().serve(accept, service, pending()));
    let mut one = dial(&at).await;
    let mut two = http2(dial(&at).await).await;
    for _ in 0..10 {
        ask(&mut one, &get("/"), "hello").await;
        two.send_request(request("/")).await.unwrap();
    }
    assert_eq!(clones.load(Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_holds_no_permit_of_a_limit() {
    let (accept, at) = memory();
    let limited = ConcurrencyLimit::new(service_fn(answer), 1);
    tokio::spawn(Server::new().serve(accept, limited, pending()));
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(dial(&at).await);
    }
    let begun = tokio::time::Instant::now();
    let [a, b, c] = &mut clients[..] else { panic!() };
    let (path, text) = (get("/second"), "a second");
    tokio::join!(ask(a, &path, text), ask(b, &path, text), ask(c, &path, text));
    assert_eq!(begun.elapsed().as_secs(), 3, "one after the other");
    // All are idle now, and none may have kept a permit.
    for client in clients.iter_mut().rev() {
        let hello = get("/");
        let again = ask(client, &hello, "hello");
        tokio::time::timeout(Duration::from_secs(5), again).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_readiness_counts_as_the_services_time() {
    let (accept, at) = memory();
    let limited = ConcurrencyLimit::new(service_fn(answer), 1);
    tokio::spawn(Server::new().serve(accept, limited, pending()));
    let mut first = dial(&at).await;
    tokio::io::AsyncWriteExt::write_all(&mut first, get("/never").as_bytes()).await.unwrap();
    tokio::task::yield_now().await;
    let begun = tokio::time::Instant::now();
    let late = ask(&mut dial(&at).await, &get("/never"), "}").await;
    assert!(late.contains(" 504 "), "{late}");
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn an_error_or_a_panic_takes_down_its_own_stream_or_connection_only() {
    let errors = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&errors);
    let telling = move |error: &ServeError| told.lock().unwrap().push(error.to_string());
    let (server, at) = start_in_memory(Server::new().on_error(telling));
    let mut other = dial(&at).await;
    let mut two = http2(dial(&at).await).await;
    for path in ["/error", "/panic"] {
        assert!(two.send_request(request(path)).await.is_err());
        assert_eq!(body(two.send_request(request("/")).await.unwrap()).await, "hello");

        let mut one = dial(&at).await;
        tokio::io::AsyncWriteExt::write_all(&mut one, get(path).as_bytes()).await.unwrap();
        assert_eq!(rest(&mut one).await, "");
        ask(&mut other, &get("/"), "hello").await;
    }
    server.connections(2).await;
    let errors = errors.lock().unwrap().clone();
    assert_eq!(
        errors,
        ["the connection from memory failed", "a service panicked and took its connection down"]
    );
    let report = server.stop().await.unwrap();
    assert_eq!((report.finished, report.cut), (2, 0));
}
