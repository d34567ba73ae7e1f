//! A network that does what a test says: what is said on one port is heard on the other.

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    task::JoinSet,
    time::{Instant, sleep},
};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weather {
    /// It arrives.
    Fine,
    /// It is lost.
    Silent,
    /// It is lost if it comes from those who serve.
    Mute,
    /// So many of a hundred are lost.
    Lossy(u8),
    /// Its end is missing.
    Cut,
    /// Its bytes are others.
    Garbage,
    /// It says that it is an error.
    Errors,
    /// Whoever serves says goodbye instead, at once and whenever it answers.
    Goodbyes,
    /// It arrives, and once more when others have overtaken it.
    Twice,
    /// [`Silent`](Self::Silent) and [`Fine`](Self::Fine) in turn, ten times a second.
    Flaps,
}

/// One side: where it is heard, and from where it is told what the other side says.
struct Side {
    hears: UdpSocket,
    tells: UdpSocket,
    port: u16,
}

struct Shared {
    /// That of those who serve, and that of those who look for them.
    sides: [Side; 2],
    weather: Mutex<(Weather, Instant)>,
    /// The last answers of those who serve.
    answers: Mutex<VecDeque<Vec<u8>>>,
}

pub(crate) struct Bridge {
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

impl Bridge {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared {
            sides: [Side::new(), Side::new()],
            weather: (Weather::Fine, Instant::now()).into(),
            answers: Mutex::default(),
        });
        let mut task = JoinSet::new();
        task.spawn(run(shared.clone()));
        Self { shared, _task: task }
    }

    /// The port of those who serve.
    pub(crate) fn serving(&self) -> u16 {
        self.shared.sides[0].port
    }

    /// The port of those who look for them.
    pub(crate) fn looking(&self) -> u16 {
        self.shared.sides[1].port
    }

    pub(crate) async fn set(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap() = (weather, Instant::now());
        if weather == Weather::Goodbyes {
            self.forge_goodbyes("").await;
        }
    }

    /// Says once more what those who serve have said last.
    pub(crate) async fn repeat_answers(&self) {
        let answers = self.shared.answers.lock().unwrap().clone();
        let not_goodbye = |answer: &&Vec<u8>| {
            let mut gone = (*answer).clone();
            goodbye(&mut gone);
            gone != **answer
        };
        for answer in answers.iter().filter(not_goodbye) {
            self.shared.sides[1].tell(answer).await;
        }
    }

    /// Says goodbye in the name of all whose answers have this in them.
    pub(crate) async fn forge_goodbyes(&self, text: &str) {
        let about = |answer: &&Vec<u8>| {
            text.is_empty() || answer.windows(text.len()).any(|part| part == text.as_bytes())
        };
        let answers: Vec<_> =
            self.shared.answers.lock().unwrap().iter().filter(about).cloned().collect();
        for mut answer in answers {
            goodbye(&mut answer);
            self.shared.sides[1].tell(&answer).await;
        }
    }
}

impl Side {
    fn new() -> Self {
        // Whoever hears what it has told itself knows it by this address.
        let [second, third, fourth] = std::array::from_fn(|_| fastrand::u8(1..255));
        let own = Ipv4Addr::new(127, second, third, fourth);
        let free = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let hears = socket((Ipv4Addr::UNSPECIFIED, port).into()).unwrap();
        let tells = socket((own, port).into()).unwrap();
        hears.join_multicast_v4(GROUP, Ipv4Addr::LOCALHOST).unwrap();
        Self { hears, tells, port }
    }

    async fn tell(&self, datagram: &[u8]) {
        // What can't be sent is lost, as on any network.
        let _ = self.tells.send_to(datagram, (GROUP, self.port)).await;
    }

    async fn hear(&self) -> Vec<u8> {
        let mut datagram = vec![0; 9000];
        let own = self.tells.local_addr().unwrap();
        loop {
            if let Ok((length, from)) = self.hears.recv_from(&mut datagram).await
                && from != own
            {
                datagram.truncate(length);
                return datagram;
            }
        }
    }
}

/// A socket of the loopback network, on a port that others have too.
fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.set_multicast_all_v4(false)?;
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

async fn run(shared: Arc<Shared>) {
    let mut late = JoinSet::new();
    loop {
        let [serving, looking] = &shared.sides;
        let (datagram, to) = tokio::select! {
            datagram = serving.hear() => {
                if is_answer(&datagram) {
                    let mut answers = shared.answers.lock().unwrap();
                    answers.push_back(datagram.clone());
                    if answers.len() > 16 {
                        answers.pop_front();
                    }
                }
                (datagram, 1)
            }
            datagram = looking.hear() => (datagram, 0),
            Some(_) = late.join_next() => continue,
        };
        let (weather, since) = *shared.weather.lock().unwrap();
        if let Some(datagram) = passed(datagram, to, weather, since) {
            shared.sides[to].tell(&datagram).await;
            if weather == Weather::Twice {
                let shared = shared.clone();
                late.spawn(async move {
                    // sleeps: others overtake it meanwhile.
                    sleep(Duration::from_millis(fastrand::u64(1..300))).await;
                    if shared.weather.lock().unwrap().0 == Weather::Twice {
                        shared.sides[to].tell(&datagram).await;
                    }
                });
            }
        }
    }
}

fn is_answer(datagram: &[u8]) -> bool {
    datagram.get(2).is_some_and(|flags| flags & 0x80 != 0)
}

/// What arrives of it.
fn passed(mut datagram: Vec<u8>, to: usize, weather: Weather, since: Instant) -> Option<Vec<u8>> {
    let lost = match weather {
        Weather::Silent => true,
        Weather::Mute => to == 1,
        Weather::Lossy(percent) => fastrand::u8(..100) < percent,
        Weather::Flaps => (since.elapsed().as_millis() / 50).is_multiple_of(2),
        _ => false,
    };
    if lost {
        return None;
    }
    match weather {
        Weather::Cut => datagram.truncate(datagram.len() / 2),
        Weather::Garbage => datagram.iter_mut().for_each(|byte| *byte ^= 0x5a),
        // SERVFAIL, which there is not in multicast DNS.
        Weather::Errors => datagram[3] |= 2,
        Weather::Goodbyes if is_answer(&datagram) => goodbye(&mut datagram),
        _ => {}
    }
    Some(datagram)
}

/// Sets the time to live of all records to nothing.
fn goodbye(answer: &mut [u8]) {
    let number =
        |answer: &[u8], at: usize| usize::from(u16::from_be_bytes([answer[at], answer[at + 1]]));
    let questions = number(answer, 4);
    let records: usize = [6, 8, 10].map(|at| number(answer, at)).iter().sum();
    let mut at = 12;
    for index in 0..questions + records {
        // A name ends with nothing, or with a pointer to the rest of it.
        while !matches!(answer[at], 0 | 0xc0..) {
            at += 1 + usize::from(answer[at]);
        }
        at += if answer[at] == 0 { 1 } else { 2 };
        at += 4;
        if index >= questions {
            answer[at..at + 4].fill(0);
            at += 6 + number(answer, at + 4);
        }
    }
}
