//! A DNS server that answers what a test says, wrongly too.

use hickory_resolver::proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, SOA, SRV},
    },
};
use purlin_sd::conformance::{Fault, Truth};
use purlin_sd_dns::Dns;
use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

/// The name that all tests ask for.
pub(crate) const SERVICE: &str = "_conf._tcp.test.";

#[derive(Default)]
pub(crate) struct Zone {
    pub(crate) records: Vec<Record>,
    pub(crate) fault: Option<Fault>,
    /// The names for which it says SERVFAIL.
    pub(crate) failing: BTreeSet<Name>,
    /// Whether what is asked by UDP is answered in full.
    pub(crate) truncates: bool,
    /// Whether answers are not to be kept: the resolver's cache knows nothing of simulated time.
    pub(crate) fleeting: bool,
    /// Is told who has asked, and what was answered.
    pub(crate) truth: Option<Arc<Truth>>,
}

impl Zone {
    fn time_to_live(&self) -> u32 {
        if self.fleeting { 0 } else { 1 }
    }
}

/// A question, when it came, and whether by TCP.
pub(crate) type Asked = (Name, RecordType, Instant, bool);

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<watch::Sender<Vec<Asked>>>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

impl Server {
    pub(crate) async fn start() -> Self {
        // A loopback address that nobody else has, so that its port stays its own while it is down.
        let [second, third, fourth] = std::array::from_fn(|_| fastrand::u8(1..255));
        let host = Ipv4Addr::new(127, second, third, fourth);
        let mut server = Self {
            address: (host, 0).into(),
            zone: Arc::default(),
            asked: Arc::default(),
            tasks: Arc::default(),
        };
        server.address = server.listen().await;
        server
    }

    /// Listens, if it does not.
    pub(crate) async fn listen(&self) -> SocketAddr {
        if self.tasks.lock().unwrap().is_empty() {
            let tcp = TcpListener::bind(self.address).await.unwrap();
            let udp = UdpSocket::bind(tcp.local_addr().unwrap()).await.unwrap();
            let address = tcp.local_addr().unwrap();
            let mut tasks = self.tasks.lock().unwrap();
            tasks.spawn(serve_udp(udp, self.zone.clone(), self.asked.clone()));
            tasks.spawn(serve_tcp(tcp, self.zone.clone(), self.asked.clone()));
            return address;
        }
        self.address
    }

    /// Listens no more, and closes what is open.
    pub(crate) async fn close(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        tasks.shutdown().await;
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Zone)) {
        change(&mut self.zone.lock().unwrap());
    }

    /// Adds a record for the service, and one for the target unless it is the root.
    pub(crate) fn put(&self, (priority, weight, port): (u16, u16, u16), host: &str, ip: IpAddr) {
        let service = RData::SRV(SRV::new(priority, weight, port, name(host)));
        self.change(|zone| {
            let ttl = zone.time_to_live();
            zone.records.push(Record::from_rdata(name(SERVICE), ttl, service));
            zone.records.push(Record::from_rdata(name(host), ttl, address(ip)));
        });
    }

    pub(crate) fn remove(&self, host: &str) {
        self.change(|zone| {
            zone.records.retain(|record| match &record.data {
                RData::SRV(service) => service.target != name(host),
                _ => record.name != name(host),
            });
        });
    }

    pub(crate) fn srv(&self) -> Dns {
        let dns = Dns::srv(SERVICE).unwrap().nameserver(self.address);
        dns.patience(Duration::from_secs(1))
    }

    /// Waits until a name was asked for so often by a type, and gives those questions.
    pub(crate) async fn asked(&self, kind: RecordType, times: usize) -> Vec<Asked> {
        let mut asked = self.asked.subscribe();
        let of_kind = |asked: &Vec<Asked>| asked.iter().filter(|asked| asked.1 == kind).count();
        let wait = asked.wait_for(|asked| of_kind(asked) >= times);
        let asked = timeout(Duration::from_secs(10), wait).await.expect("it is asked for").unwrap();
        asked.iter().filter(|asked| asked.1 == kind).cloned().collect()
    }
}

pub(crate) fn address(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}

type Shared = (Arc<Mutex<Zone>>, Arc<watch::Sender<Vec<Asked>>>);

async fn serve_udp(udp: UdpSocket, zone: Arc<Mutex<Zone>>, asked: Arc<watch::Sender<Vec<Asked>>>) {
    let started = Instant::now();
    let shared = (zone, asked);
    let mut packet = [0; 4096];
    loop {
        let (length, peer) = udp.recv_from(&mut packet).await.unwrap();
        let fault = shared.0.lock().unwrap().fault;
        let silent = match fault {
            Some(Fault::Hang) => true,
            Some(Fault::Flapping) => (started.elapsed().as_millis() / 50).is_multiple_of(2),
            _ => false,
        };
        if silent {
            continue;
        }
        let mut answer = answer(&packet[..length], &shared, false);
        if fault == Some(Fault::Garbage) {
            // The id is right, and nothing else is.
            answer[2..].fill(0xff);
        }
        // Whoever asked may be gone.
        let _ = udp.send_to(&answer, peer).await;
    }
}

async fn serve_tcp(
    tcp: TcpListener,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<watch::Sender<Vec<Asked>>>,
) {
    let shared = (zone, asked);
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = tcp.accept().await.unwrap();
        match shared.0.lock().unwrap().fault {
            Some(Fault::Reset) => _ = stream.set_zero_linger(),
            _ => _ = connections.spawn(converse(stream, shared.clone())),
        }
    }
}

async fn converse(mut stream: TcpStream, shared: Shared) -> io::Result<()> {
    loop {
        let mut question = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut question).await?;
        let answer = answer(&question, &shared, true);
        stream.write_u16(answer.len().try_into().unwrap()).await?;
        stream.write_all(&answer).await?;
    }
}

fn answer(question: &[u8], (zone, asked): &Shared, tcp: bool) -> Vec<u8> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let (name, kind) = (query.name().clone(), query.query_type());
    asked.send_modify(|asked| asked.push((name.clone(), kind, Instant::now(), tcp)));
    let zone = zone.lock().unwrap();
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.add_query(query);
    let records = || zone.records.iter().filter(|record| record.name == name);
    if zone.fault == Some(Fault::Errors) || zone.failing.contains(&name) {
        answer.metadata.response_code = ResponseCode::ServFail;
    } else if !tcp && (zone.truncates || zone.fault == Some(Fault::Reset)) {
        answer.metadata.truncation = true;
    } else if zone.fault == Some(Fault::Empty) || records().next().is_none() {
        answer.metadata.response_code = ResponseCode::NXDomain;
        answer.add_authority(start_of_authority(&zone));
    } else {
        answer.add_answers(records().filter(|record| record.record_type() == kind).cloned());
        if answer.answers.is_empty() {
            answer.add_authority(start_of_authority(&zone));
        }
    }
    if let (Some(truth), RecordType::SRV) = (&zone.truth, kind) {
        tell(truth, &answer, tcp);
    }
    answer.to_vec().unwrap()
}

/// Says what was answered, if it was.
fn tell(truth: &Truth, answer: &Message, tcp: bool) {
    if !tcp {
        truth.asked();
    }
    if answer.metadata.response_code != ResponseCode::ServFail && !answer.metadata.truncation {
        let targets = answer.answers.iter().filter_map(|record| match &record.data {
            RData::SRV(service) => Some(service.target.to_string()),
            _ => None,
        });
        let told: Vec<String> = targets.map(|host| crate::storms::id(&host)).collect();
        truth.told(&told);
    }
}

/// It says how long to believe that there is nothing.
fn start_of_authority(zone: &Zone) -> Record {
    let (root, ttl) = (name("test."), zone.time_to_live());
    let authority = SOA::new(root.clone(), root.clone(), 1, 1, 1, 1, ttl);
    Record::from_rdata(root, ttl, RData::SOA(authority))
}
