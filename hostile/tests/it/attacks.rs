//! Attacks, with a healthy client beside them.

use crate::{
    frames::*,
    healthy::{Healthy, p99},
    target::Target,
    world::soak,
};
use flate2::{Compression, write::GzEncoder};
use std::{
    io::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Mutex,
    task::JoinSet,
    time::{Instant, interval, sleep, timeout},
};

const MEBIBYTE: u64 = 1 << 20;

/// What counts as the healthy client's p99 without attack if it is less. On two cores that the
/// server shares with the healthy client and the attackers, the scheduler alone has a call wait for
/// a time slice or two of somebody else.
const SLICES: Duration = Duration::from_millis(5);

/// One attack at a time, whoever runs the tests: two would be measured as one.
static ALONE: Mutex<()> = Mutex::const_new(());

/// What one attacker does on each of its connections.
struct Attack {
    name: &'static str,
    connections: usize,
    opening: Vec<u8>,
    /// What is sent again and again, by how often it was before.
    again: Box<dyn Fn(u32) -> Vec<u8> + Send + Sync>,
    /// How long it waits each time.
    pause: Duration,
    reads: bool,
    /// How many connections were made, and how often something was sent on them.
    sent: [AtomicU64; 2],
}

/// An attack with so many bytes that the connection is always full.
fn flood(
    name: &'static str,
    opening: Vec<u8>,
    again: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static,
) -> Attack {
    let again = Box::new(again);
    let (pause, sent) = (Duration::ZERO, Default::default());
    Attack { name, connections: 4, opening, again, pause, reads: true, sent }
}

/// An attack that sends next to nothing on many connections.
fn slow(name: &'static str, connections: usize, opening: &[u8], again: &'static [u8]) -> Attack {
    let (opening, again) = (opening.to_vec(), Box::new(|_| again.to_vec()));
    let (pause, sent) = (Duration::from_millis(200), Default::default());
    Attack { name, connections, opening, again, pause, reads: true, sent }
}

/// A flood of streams, of which each is these frames.
fn streams(name: &'static str, frames: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> Attack {
    flood(name, hello(), move |count| frames(2 * count + 1))
}

fn slow_attacks() -> Vec<Attack> {
    let claim = |stream| {
        let head = frame(HEADERS, END_HEADERS, stream, &call("/hostile.Hostile/Count"));
        [head, frame(DATA, 0, stream, &[0, 0, 0x40, 0, 0])].concat()
    };
    let claims = (0..200).flat_map(|count| claim(2 * count + 1)).collect::<Vec<_>>();
    vec![
        slow("slow header", 200, b"GET / HTTP/1.1\r\nHost: a\r\nA: ", b"b"),
        slow("slow body", 200, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n", b"b"),
        Attack {
            reads: false,
            ..slow("slow read", 100, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n", b"")
        },
        slow("idle connects", 2000, b"", b""),
        slow("claims of 4 MiB", 4, &[hello(), claims].concat(), b""),
    ]
}

fn floods() -> Vec<Attack> {
    let get = |stream, flags| frame(HEADERS, END_HEADERS | flags, stream, GET);
    let open = [hello(), get(1, 0)].concat();
    let unfinished = [hello(), frame(HEADERS, 0, 1, GET)].concat();
    // One field of 4,000 bytes in the table, and then a head that is nothing but it.
    let stored = [b"\x40\x01a\x7f\xa1\x1e".as_slice(), &[b'b'; 4000]].concat();
    let stored = [hello(), frame(HEADERS, END_HEADERS | END_STREAM, 1, &[GET, &stored].concat())];
    let bomb = [GET, &[0xbe; 16_000]].concat();
    let mut zeros = GzEncoder::new(Vec::new(), Compression::best());
    zeros.write_all(&vec![0; 64 << 20]).expect("memory can be written to");
    let zeros = zeros.finish().expect("memory can be written to");
    let length = u32::try_from(zeros.len()).expect("it is packed").to_be_bytes();
    let zeros = [&[1], &length[..], &zeros].concat();
    vec![
        streams("rapid reset", move |id| {
            [get(id, END_STREAM), frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())].concat()
        }),
        streams("made you reset: window update of zero", move |id| {
            [get(id, 0), frame(WINDOW_UPDATE, 0, id, &[0; 4])].concat()
        }),
        streams("made you reset: window overflow", move |id| {
            [get(id, 0), frame(WINDOW_UPDATE, 0, id, &0x7fff_ffff_u32.to_be_bytes())].concat()
        }),
        streams("made you reset: data after the end", move |id| {
            [get(id, END_STREAM), frame(DATA, 0, id, b"x")].concat()
        }),
        streams("made you reset: headers after the end", move |id| {
            [get(id, END_STREAM), get(id, END_STREAM)].concat()
        }),
        streams("made you reset: priority of itself", move |id| {
            let itself = [&id.to_be_bytes()[..], &[0]].concat();
            [get(id, 0), frame(PRIORITY, 0, id, &itself)].concat()
        }),
        flood("continuation", unfinished, |_| frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b")),
        flood("hpack bomb", stored.concat(), move |count| {
            frame(HEADERS, END_HEADERS | END_STREAM, 2 * count + 3, &bomb)
        }),
        flood("priority", hello(), |_| frame(PRIORITY, 0, 1, &[0; 5]).repeat(64)),
        flood("window update", hello(), |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(64)),
        flood("unknown frames", hello(), |_| frame(0xbe, 0, 0, b"grease").repeat(64)),
        flood("settings", hello(), |_| frame(SETTINGS, 0, 0, &[]).repeat(64)),
        flood("ping", hello(), |_| frame(PING, 0, 0, &[0; 8]).repeat(64)),
        flood("empty data", open, |_| frame(DATA, 0, 1, &[]).repeat(64)),
        streams("gzip bomb", move |id| {
            let head = frame(HEADERS, END_HEADERS, id, &call("/hostile.Hostile/Echo"));
            let pieces: Vec<_> = zeros.chunks(16_000).map(|p| frame(DATA, 0, id, p)).collect();
            [head, pieces.concat(), frame(DATA, END_STREAM, id, &[])].concat()
        }),
    ]
}

impl Attack {
    /// Attacks on one connection after another, for ever.
    async fn attack(&self, address: SocketAddr) {
        loop {
            // A server that takes no more connections for now has been told to.
            let Ok(Ok(stream)) = timeout(Duration::from_secs(1), TcpStream::connect(address)).await
            else {
                continue;
            };
            self.sent[0].fetch_add(1, Relaxed);
            let (mut read, mut write) = stream.into_split();
            let receive = async {
                let mut buffer = vec![0; 65536];
                while self.reads && read.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
                if !self.reads {
                    std::future::pending::<()>().await;
                }
            };
            let send = async {
                if write.write_all(&self.opening).await.is_err() {
                    return;
                }
                for count in 0.. {
                    if write.write_all(&(self.again)(count)).await.is_err() {
                        return;
                    }
                    self.sent[1].fetch_add(1, Relaxed);
                    if !self.pause.is_zero() {
                        sleep(self.pause).await;
                    }
                }
            };
            tokio::select! {
                () = receive => {}
                () = send => {}
            }
        }
    }
}

/// Sends all attackers of one attack.
fn aim(attack: &Arc<Attack>, target: &Target) -> JoinSet<()> {
    let mut attackers = JoinSet::new();
    for _ in 0..attack.connections {
        let (attack, address) = (attack.clone(), target.address);
        attackers.spawn(async move { attack.attack(address).await });
    }
    attackers
}

/// What the healthy client's calls are compared with.
#[derive(Clone, Copy)]
enum Beside {
    /// Calls without attack.
    Nothing,
    /// Calls while the attack hits another server, and so the processors are as scarce.
    Neighbour,
}

/// Runs one attack, says what it did to the server, and how many times as long a call took the
/// healthy client.
async fn run(attack: &Arc<Attack>, [alone, long]: [Duration; 2], beside: Beside) -> f64 {
    let name = attack.name;
    let target = Target::start();
    let healthy = Healthy::start(target.address);
    // sleeps: the server warms up, and then the healthy client is measured without attack.
    sleep(Duration::from_millis(500)).await;
    let warm = healthy.take();
    match beside {
        // sleeps: see above.
        Beside::Nothing => sleep(alone).await,
        Beside::Neighbour => {
            let neighbour = Target::start();
            let mut attackers = aim(attack, &neighbour);
            // sleeps: the neighbour is attacked for as long as the server will be.
            sleep(long).await;
            attackers.shutdown().await;
        }
    }
    let before = healthy.take();
    let (memory, descriptors) = (target.memory(), target.descriptors());

    let mut attackers = aim(attack, &target);
    let begun = Instant::now();
    let mut most = memory;
    let mut tick = interval(Duration::from_millis(50));
    while begun.elapsed() < long {
        tick.tick().await;
        most = most.max(target.memory());
    }
    let during = healthy.take();
    attackers.shutdown().await;

    let grown = most.saturating_sub(memory);
    let left = timeout(Duration::from_secs(15), async {
        while target.descriptors() > descriptors {
            tick.tick().await;
        }
    });
    let returned = left.await.is_ok();
    let [connections, sent] = attack.sent.each_ref().map(|count| count.load(Relaxed));
    let [own, attacked] = [&before, &during].map(|calls| p99(&calls.times));
    let ratio = attacked.div_duration_f64(own.max(SLICES));
    println!(
        "{name}: {connections} connections, {sent} times; {} calls, {} failed, p99 {attacked:.1?} (before {own:.1?}, {ratio:.1}), {} KiB more",
        during.times.len(),
        during.failures.len(),
        grown / 1024,
    );
    assert!(sent > 0 && connections >= attack.connections as u64, "{name}: that was no attack");
    for calls in [warm, before] {
        assert_eq!(calls.failures, [""; 0], "{name}: the healthy client fails by itself");
    }
    assert_eq!(during.failures, [""; 0], "{name}: the healthy client suffers");
    assert!(grown <= 64 * MEBIBYTE, "{name}: {grown} bytes more");
    assert!(returned, "{name}: {} files are open, not {descriptors}", target.descriptors());
    // A p99 of fewer calls is one call's luck.
    if during.times.len() >= 100 { ratio } else { f64::INFINITY }
}

async fn all(attacks: Vec<Attack>) {
    let _alone = ALONE.lock().await;
    let times = if soak() { [3, 30] } else { [1, 3] }.map(Duration::from_secs);
    for attack in attacks.into_iter().map(Arc::new) {
        // Somebody else may have had the processors. What that costs is told apart from what the
        // attack does by having it compete for them, and not for the server.
        if run(&attack, times, Beside::Nothing).await > 5.0 {
            let ratio = run(&attack, times, Beside::Neighbour).await;
            assert!(
                ratio <= 5.0,
                "{}: the healthy client waits {ratio} times as long",
                attack.name
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_or_idle_harms_nobody_else() {
    all(slow_attacks()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_floods_a_connection_harms_nobody_else() {
    all(floods()).await;
}
