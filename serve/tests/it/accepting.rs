use crate::world::*;
use purlin_endpoint::{Identity, Peer};
use purlin_serve::{Accept, MemoryAccept, ServeError, Server, memory};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// Fails so many times, and then accepts.
struct Failing {
    inner: MemoryAccept,
    failures: u32,
    error: fn() -> io::Error,
    asked: Arc<AtomicU32>,
}

impl Accept for Failing {
    type Io = DuplexStream;
    type Handshake = <MemoryAccept as Accept>::Handshake;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Peer)> {
        self.asked.fetch_add(1, Relaxed);
        if self.failures > 0 {
            self.failures -= 1;
            return Err((self.error)());
        }
        self.inner.accept().await
    }
}

fn out_of_files() -> io::Error {
    const EMFILE: i32 = 24;
    io::Error::from_raw_os_error(EMFILE)
}

#[tokio::test(start_paused = true)]
async fn without_file_descriptors_it_neither_spins_nor_dies() {
    let (inner, at) = memory();
    let asked = Arc::new(AtomicU32::new(0));
    let failing = Failing { inner, failures: 300, error: out_of_files, asked: Arc::clone(&asked) };
    let told = Arc::new(AtomicU32::new(0));
    let telling = Arc::clone(&told);
    let server = start(
        Server::new().on_error(move |error| {
            assert!(matches!(error, ServeError::Accept(_)));
            telling.fetch_add(1, Relaxed);
        }),
        failing,
    );

    sleep(Duration::from_secs(60)).await;
    let asked = asked.load(Relaxed);
    assert!((150..=200).contains(&asked), "{asked} times in a minute");
    sleep(Duration::from_secs(60)).await;
    ask(&mut dial(&at).await, &get("/"), "hello").await;
    assert_eq!(server.handle.accept_errors(), 300);
    assert_eq!(told.load(Relaxed), 300);

    let begun = Instant::now();
    server.stop().await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn shutdown_is_heard_while_accepting_fails() {
    let (inner, _at) = memory();
    let failing = Failing { inner, failures: u32::MAX, error: out_of_files, asked: Arc::default() };
    let server = start(Server::new(), failing);
    sleep(Duration::from_secs(10)).await;
    timeout(Duration::from_secs(1), server.stop()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_of_one_connection_does_not_delay_the_next() {
    let (inner, at) = memory();
    let error = || io::ErrorKind::ConnectionAborted.into();
    let failing = Failing { inner, failures: 10, error, asked: Arc::default() };
    let _server = start(Server::new(), failing);
    let begun = Instant::now();
    ask(&mut dial(&at).await, &get("/"), "hello").await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_only_aborts_does_not_make_it_spin() {
    let (inner, _at) = memory();
    let asked = Arc::new(AtomicU32::new(0));
    let error = || io::ErrorKind::ConnectionAborted.into();
    let _server =
        start(Server::new(), Failing { inner, failures: u32::MAX, error, asked: asked.clone() });
    sleep(Duration::from_secs(60)).await;
    // Sixteen at once, and then one every 320 ms at the most.
    assert!(asked.load(Relaxed) < 16 + 6 + 188);
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_connections_wait() {
    let (server, at) = start_in_memory(Server::new().connection_limit(2));
    let mut first = dial(&at).await;
    ask(&mut first, &get("/"), "hello").await;
    let mut second = dial(&at).await;
    ask(&mut second, &get("/"), "hello").await;

    let mut third = dial(&at).await;
    third.write_all(get("/").as_bytes()).await.unwrap();
    let mut buffer = [0; 12];
    let waited = timeout(Duration::from_secs(60), third.read_exact(&mut buffer)).await;
    assert!(waited.is_err(), "it is neither answered nor turned away");
    assert_eq!(server.handle.connections(), 2);

    drop(first);
    third.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"HTTP/1.1 200");
}

/// Knows who dials.
struct Knowing(MemoryAccept);

impl Accept for Knowing {
    type Io = DuplexStream;
    type Handshake = <MemoryAccept as Accept>::Handshake;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Peer)> {
        self.0.accept().await
    }

    fn identity(_io: &DuplexStream) -> Option<Identity> {
        Some(Identity::default().uri("spiffe://acme/ann"))
    }
}

#[tokio::test]
async fn who_the_handshake_has_found_is_on_every_request_and_nobody_else_is() {
    let (accept, at) = memory();
    let _server = start(Server::new(), Knowing(accept));
    let mut client = dial(&at).await;
    for _ in 0..2 {
        ask(&mut client, &get("/identity"), "spiffe://acme/ann").await;
    }
    let (_server, at) = start_in_memory(Server::new());
    let forged = "GET /identity HTTP/1.1\r\nhost: here\r\nidentity: spiffe://acme/ann\r\n\r\n";
    ask(&mut dial(&at).await, forged, "nobody").await;
}

/// Shakes hands as long as the first byte says, in seconds; 255 fails.
struct Shaking(MemoryAccept);

impl Accept for Shaking {
    type Io = DuplexStream;
    type Handshake = Pin<Box<dyn Future<Output = io::Result<DuplexStream>> + Send>>;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Peer)> {
        let (handshake, peer) = self.0.accept().await?;
        let handshake = async {
            let mut io = handshake.await?;
            match io.read_u8().await? {
                255 => return Err(io::Error::other("I don't like you")),
                seconds => sleep(Duration::from_secs(seconds.into())).await,
            }
            Ok(io)
        };
        Ok((Box::pin(handshake), peer))
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_holds_up_nobody_else_and_has_a_timeout() {
    let (accept, at) = memory();
    let errors = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&errors);
    let telling = move |error: &ServeError| told.lock().unwrap().push(error.to_string());
    let server = start(Server::new().on_error(telling), Shaking(accept));
    let mut slow = dial(&at).await;
    slow.write_u8(100).await.unwrap();
    let begun = Instant::now();
    let mut quick = dial(&at).await;
    quick.write_u8(1).await.unwrap();
    ask(&mut quick, &get("/"), "hello").await;
    assert_eq!(begun.elapsed().as_secs(), 1);
    assert_eq!(rest(&mut slow).await, "");
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(server.handle.timeouts(), 1);

    let mut disliked = dial(&at).await;
    disliked.write_u8(255).await.unwrap();
    assert_eq!(rest(&mut disliked).await, "");
    assert_eq!(*errors.lock().unwrap(), ["the handshake with memory failed"; 2]);
}

/// Says when those that it has accepted are outdated.
struct Dated(MemoryAccept, watch::Receiver<()>);

impl Accept for Dated {
    type Io = DuplexStream;
    type Handshake = <MemoryAccept as Accept>::Handshake;

    async fn accept(&mut self) -> io::Result<(Self::Handshake, Peer)> {
        self.0.accept().await
    }

    fn outdated(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut changes = self.1.clone();
        changes.mark_unchanged();
        async move { drop(changes.changed().await) }
    }
}

#[tokio::test(start_paused = true)]
async fn outdated_connections_end_behind_their_calls_and_new_ones_go_on() {
    let (accept, at) = memory();
    let (change, changes) = watch::channel(());
    let server = Server::new().age_grace(Duration::from_secs(90));
    let server = start(server, Dated(accept, changes));
    let (mut idle, mut busy, mut endless) = (dial(&at).await, dial(&at).await, dial(&at).await);
    ask(&mut idle, &get("/"), "hello").await;
    busy.write_all(get("/second").as_bytes()).await.unwrap();
    endless.write_all(get("/minutes").as_bytes()).await.unwrap();
    let mut h2 = http2(dial(&at).await).await;
    assert_eq!(body(h2.send_request(request("/")).await.unwrap()).await, "hello");
    server.connections(4).await;

    // It can happen again, and each time those go that there are.
    for _ in 0..2 {
        let begun = Instant::now();
        change.send_replace(());
        assert_eq!(rest(&mut idle).await, "");
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        idle = dial(&at).await;
        ask(&mut idle, &get("/"), "hello").await;
    }
    let answer = rest(&mut busy).await;
    assert!(answer.contains("connection: close") && answer.ends_with("a second"), "{answer}");
    h2.ready().await.unwrap_err();
    let begun = Instant::now();
    assert_eq!(rest(&mut endless).await.matches("tick").count(), 1);
    assert!((80..=90).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    // The idle one has been idle for too long meanwhile.
    server.connections(0).await;
    ask(&mut dial(&at).await, &get("/"), "hello").await;
}
