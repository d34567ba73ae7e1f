use crate::world::*;
use purlin_http_client::{HttpClient, connect_fn};
use purlin_serve::{MemoryDial, Server, memory};
use purlin_tls::Connector;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{Instant, timeout},
};

/// A server in memory, and a client that trusts it.
fn server(limit: usize, serving: Server) -> (Running, MemoryDial, Connector) {
    let (server, trusting) = pair(&Authority::new("ca"));
    let acceptor = server.handshake_limit(limit).acceptor().unwrap();
    let (listener, dial) = memory();
    let running = serve(serving, acceptor.accept(listener));
    (running, dial, trusting.connector().unwrap())
}

fn calling(connector: &Connector, dial: &MemoryDial) -> HttpClient {
    let dial = dial.clone();
    client_over(
        connector,
        connect_fn(move |_| {
            let dial = dial.clone();
            async move { dial.connect().await }
        }),
    )
}

async fn is_well(connector: &Connector, dial: &MemoryDial) {
    let answer = get(&calling(connector, dial), "https://localhost/".parse().unwrap()).await;
    assert_eq!(answer.unwrap(), "hello");
}

/// A ClientHello for a host of this name, whole and well-formed but for what the name does to it.
fn hello(name: &[u8]) -> Vec<u8> {
    let sized = |bytes: &[u8]| {
        let mut out = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        out.extend_from_slice(bytes);
        out
    };
    let extension = |kind: u16, bytes: &[u8]| [&kind.to_be_bytes()[..], &sized(bytes)].concat();
    let names = sized(&[&[0][..], &sized(name)].concat());
    let extensions = [
        extension(0, &names),
        extension(10, &sized(&[0, 29, 0, 23])),
        extension(13, &sized(&[4, 3, 8, 7, 8, 4])),
        extension(43, &[2, 3, 4]),
        extension(51, &sized(&extension(29, &[9; 32]))),
    ]
    .concat();
    let body =
        [&[3, 3][..], &[7; 32], &[0], &sized(&[0x13, 1, 0x13, 2]), &[1, 0], &sized(&extensions)]
            .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    // A record holds 16 KiB at the most.
    message.chunks(16 << 10).flat_map(|part| [&[22, 3, 1][..], &sized(part)].concat()).collect()
}

async fn ends(mut io: DuplexStream) -> Vec<u8> {
    let mut said = Vec::new();
    let _ = timeout(Duration::from_secs(60), io.read_to_end(&mut said)).await.expect("it goes on");
    said
}

#[tokio::test(start_paused = true)]
async fn a_slow_handshake_holds_up_nobody_and_is_given_up() {
    let (running, dial, connector) = server(1000, Server::new());
    let hello = hello(b"localhost");
    let mut slow = Vec::new();
    for index in 0..200 {
        let mut io = dial.connect().await.unwrap();
        io.write_all(&hello[..index % hello.len()]).await.unwrap();
        slow.push(io);
    }
    let begun = Instant::now();
    is_well(&connector, &dial).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    for io in slow {
        ends(io).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(running.handle.timeouts(), 200);
}

#[tokio::test(start_paused = true)]
async fn more_handshakes_than_may_be_wait_for_their_turn() {
    let patient = Server::new().handshake_timeout(Duration::from_secs(3));
    let (_running, dial, connector) = server(2, patient);
    // Who says nothing takes no place.
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(dial.connect().await.unwrap());
    }
    let begun = Instant::now();
    is_well(&connector, &dial).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);

    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut io = dial.connect().await.unwrap();
        io.write_all(&hello(b"localhost")[..50]).await.unwrap();
        slow.push(io);
    }
    tokio::task::yield_now().await;
    // sleeps: time is paused; the next connection's patience begins later than that of the slow.
    tokio::time::sleep(Duration::from_secs(1)).await;
    is_well(&connector, &dial).await;
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_name_of_ten_kibibytes_is_refused_and_nothing_else_happens() {
    let (running, dial, connector) = server(10, Server::new());
    for length in [254, 255, 256, 1000, 10 << 10, 60 << 10] {
        let mut io = dial.connect().await.unwrap();
        io.write_all(&hello(&vec![b'a'; length])).await.unwrap();
        ends(io).await;
    }
    wait_for("six errors", || running.errors.lock().unwrap().len() >= 6).await;
    is_well(&connector, &dial).await;
}

#[tokio::test(start_paused = true)]
async fn garbage_ends_its_connection_and_nothing_else() {
    let (running, dial, connector) = server(10, Server::new());
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let whole = hello(b"localhost");
    for round in 0..300 {
        let mut bytes: Vec<u8> = match round % 3 {
            // Anything.
            0 => (0..200).map(|_| random()).collect(),
            // What looks like a record.
            1 => [22, 3, 1, 0, 100].into_iter().chain((0..100).map(|_| random())).collect(),
            // What is almost right.
            _ => {
                let mut bytes = whole.clone();
                let place = usize::from(random()) % bytes.len();
                bytes[place] ^= 1 << (random() % 8);
                bytes
            }
        };
        bytes.truncate(300);
        let mut io = dial.connect().await.unwrap();
        // It may be gone before it has heard all.
        let _ = io.write_all(&bytes).await;
        let _ = io.shutdown().await;
        ends(io).await;
    }
    is_well(&connector, &dial).await;
    assert!(running.errors.lock().unwrap().iter().all(|said| !said.contains("panic")));
}

#[tokio::test]
async fn a_greeting_byte_by_byte_is_understood() {
    let (_running, dial, _connector) = server(10, Server::new());
    let mut io = dial.connect().await.unwrap();
    for byte in hello(b"localhost") {
        io.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = [0; 6];
    io.read_exact(&mut answer).await.unwrap();
    // A record of the handshake, with the server's greeting.
    assert_eq!((answer[0], answer[5]), (22, 2));
}
