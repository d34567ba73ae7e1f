//! Both transports over TLS, with certificates on both sides that change all the time.

use purlin_endpoint::{BoxEndpoint, Code, Context, Endpoint as _, Error, Method, endpoint_fn};
use purlin_http_client::{Connect, HttpClient, Tcp};
use purlin_tls::{Acceptor, ClientTls, Connector, Credentials, Handle, Pem, ServerTls};
use purlin_transport_grpc::{Channel, Client};
use purlin_transport_http::{Router, encode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use std::{
    error::Error as _,
    fs,
    future::pending,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinSet, time::interval};

static WHO: Method = Method::unary("purlin.Tls", "Who").idempotent();

/// Says whose certificate the call came with.
async fn who(context: Context, _: String) -> Result<String, Error> {
    let identity = context.peer_identity().and_then(|it| it.spiffe_id());
    Ok(identity.unwrap_or("nobody").to_owned())
}

/// Serves the endpoint by both transports on one port of TLS.
async fn serve(acceptor: &Acceptor, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let decode = |_, _| async { Ok(String::new()) };
    let http = purlin_transport_http::Server::new(endpoint_fn(who), decode, encode::text);
    let service = purlin_transport_grpc::Server::new()
        .unary(&WHO, endpoint_fn(who), Ok::<String, _>, Ok::<String, _>)
        .fallback(Router::new().get("/who", http));
    let accept = acceptor.accept(listener);
    tasks.spawn(async move {
        purlin_serve::Server::new().serve(accept, service, pending()).await;
    });
    address
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Authority::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

struct Issued {
    der: Vec<u8>,
    certificate: String,
    key: String,
}

/// A certificate for the server, or for a client of this number.
fn issue(authority: &Authority, client: Option<u32>) -> Issued {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    if let Some(number) = client {
        let id = format!("spiffe://acme/{number}");
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().unwrap())];
    }
    let key = KeyPair::generate().unwrap();
    let issued = params.signed_by(&key, authority).unwrap();
    Issued { der: issued.der().to_vec(), certificate: issued.pem(), key: key.serialize_pem() }
}

impl Issued {
    /// Replaces two files, each at once.
    fn put(&self, folder: &Path, whose: &str) {
        for (kind, text) in [("cert", &self.certificate), ("key", &self.key)] {
            let new = folder.join("new");
            fs::write(&new, text).unwrap();
            fs::rename(new, folder.join(format!("{whose}-{kind}.pem"))).unwrap();
        }
    }
}

fn files(folder: &Path, whose: &str) -> Credentials {
    let file = |kind| folder.join(format!("{whose}-{kind}.pem"));
    Credentials::files(file("cert"), file("key"))
}

/// What the calls of one protocol have come to.
#[derive(Default)]
struct Tally {
    calls: AtomicUsize,
    failures: AtomicUsize,
    /// The newest of our certificates that the server has seen.
    newest: AtomicU32,
}

impl Tally {
    fn count(&self, outcome: &Result<String, String>) {
        self.calls.fetch_add(1, Relaxed);
        let number = outcome.as_ref().ok().and_then(|id| id.strip_prefix("spiffe://acme/"));
        match number.and_then(|number| number.parse().ok()) {
            Some(number) => drop(self.newest.fetch_max(number, Relaxed)),
            None => {
                eprintln!("{outcome:?}");
                self.failures.fetch_add(1, Relaxed);
            }
        }
    }
}

/// Three of these make 500 calls a second.
const PACE: Duration = Duration::from_millis(6);

/// Calls at a steady pace, whether or not calls before have ended.
async fn load<F>(tally: Arc<Tally>, call: impl Fn() -> F)
where
    F: Future<Output = Result<String, String>> + Send + 'static,
{
    let (mut pace, mut calls) = (interval(PACE), JoinSet::new());
    loop {
        pace.tick().await;
        let (tally, call) = (tally.clone(), call());
        calls.spawn(async move { tally.count(&call.await) });
        while calls.try_join_next().is_some() {}
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said += &format!(": {error}");
        cause = error.source();
    }
    said
}

async fn by_http(client: HttpClient, address: SocketAddr) -> Result<String, String> {
    let uri = format!("https://localhost:{}/who", address.port()).parse().unwrap();
    let response = client.get_bytes(uri, 1000).await.map_err(|error| chain(&error))?;
    Ok(String::from_utf8_lossy(response.body()).into_owned())
}

fn by_grpc(connector: &Connector, address: SocketAddr) -> BoxEndpoint<String, String> {
    let origin = format!("https://localhost:{}", address.port()).parse().unwrap();
    let channel = Channel::over(connector.over(Tcp::new()), origin);
    BoxEndpoint::new(Client::unary(channel, &WHO, Ok::<String, _>, Ok::<String, _>))
}

/// Starts calls by HTTP/1.1, HTTP/2 and gRPC.
fn start(
    tls: &ClientTls,
    address: SocketAddr,
    tasks: &mut JoinSet<()>,
) -> (Vec<Arc<Tally>>, Handle) {
    let tallies: Vec<Arc<Tally>> = (0..3).map(|_| Arc::default()).collect();
    for (tally, alpn) in tallies.iter().zip(["http/1.1", "h2"]) {
        let connector = tls.clone().alpn([alpn]).connector().unwrap();
        let client = HttpClient::over(connector.over(Tcp::new()));
        tasks.spawn(load(tally.clone(), move || by_http(client.clone(), address)));
    }
    let connector = tls.clone().connector().unwrap();
    let client = by_grpc(&connector, address);
    tasks.spawn(load(tallies[2].clone(), move || {
        let client = client.clone();
        async move {
            let answer = client.invoke(Context::new(), String::new()).await;
            answer.map_err(|error| chain(&error))
        }
    }));
    (tallies, connector.handle())
}

/// The certificate that the server shows in a new handshake.
async fn shown(connector: &Connector, address: SocketAddr) -> Vec<u8> {
    let uri = format!("https://localhost:{}", address.port()).parse().unwrap();
    let io = connector.over(Tcp::new()).connect(&uri).await.unwrap();
    io.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// How long it takes until something is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "never {what}");
        // sleeps: files are watched, and calls made, by other tasks in real time.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

const ROTATIONS: u32 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_all_certificates_are_rotated_under_load() {
    // At its default pace this takes longer than CI has.
    let soak = std::env::var_os("PURLIN_SOAK").is_some();
    let every = Duration::from_millis(if soak { 500 } else { 20 });
    let (authority, folder, mut tasks) =
        (authority(), tempfile::tempdir().unwrap(), JoinSet::new());
    issue(&authority, None).put(folder.path(), "server");
    issue(&authority, Some(0)).put(folder.path(), "client");
    let ca = Pem::text(authority.pem());
    let server = ServerTls::new(files(folder.path(), "server")).client_ca(ca.clone());
    let acceptor = server.interval(every).acceptor().unwrap();
    let address = serve(&acceptor, &mut tasks).await;
    let tls = ClientTls::new().ca(ca).credentials(files(folder.path(), "client")).interval(every);
    let probe = tls.clone().connector().unwrap();
    let begun = Instant::now();
    let (tallies, client) = start(&tls, address, &mut tasks);

    let (mut slowest, mut slowest_client) = (Duration::ZERO, Duration::ZERO);
    let mut last = Vec::new();
    for number in 1..=ROTATIONS {
        let server = issue(&authority, None);
        server.put(folder.path(), "server");
        issue(&authority, Some(number)).put(folder.path(), "client");
        let seen =
            until("the new certificate", async || shown(&probe, address).await == server.der);
        slowest = slowest.max(seen.await);
        let used = async || tallies.iter().all(|tally| tally.newest.load(Relaxed) == number);
        slowest_client = slowest_client.max(until("the client's new one", used).await);
        last = server.der;
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");

    // A certificate whose key has not come yet, and half of one.
    let next = issue(&authority, None);
    for whose in ["server", "client"] {
        fs::write(folder.path().join(format!("{whose}-cert.pem")), &next.certificate).unwrap();
    }
    let says = async |handle: &Handle, why: &str| {
        until(why, async || handle.state().failure.is_some_and(|it| it.why.contains(why))).await;
    };
    for handle in [acceptor.handle(), client] {
        says(&handle, "is not that of the certificate").await;
    }
    assert_eq!(shown(&probe, address).await, last);
    fs::write(folder.path().join("server-cert.pem"), &next.certificate[..300]).unwrap();
    says(&acceptor.handle(), "is not PEM").await;
    assert_eq!(shown(&probe, address).await, last);

    let took = begun.elapsed().as_secs_f64();
    let calls: Vec<usize> = tallies.iter().map(|tally| tally.calls.load(Relaxed)).collect();
    let rate = calls.iter().sum::<usize>() as f64 / took;
    println!(
        "{ROTATIONS} rotations in {took:.1} s, seen by new handshakes within {slowest:?}, by calls \
         {slowest_client:?} later; HTTP/1.1, HTTP/2, gRPC: {calls:?} calls, {rate:.0} a second"
    );
    assert!(tallies.iter().all(|tally| tally.failures.load(Relaxed) == 0));
    assert!(rate > 450.0, "{rate}");
}

#[tokio::test]
async fn a_channel_wants_http2_and_tls_where_it_is_said() {
    let (authority, mut tasks) = (authority(), JoinSet::new());
    let own = issue(&authority, None);
    let own = Credentials::new(Pem::text(own.certificate), Pem::text(own.key));
    let acceptor = ServerTls::new(own).alpn(["http/1.1"]).acceptor().unwrap();
    let address = serve(&acceptor, &mut tasks).await;
    let connector = ClientTls::new().ca(Pem::text(authority.pem())).connector().unwrap();
    let client = by_grpc(&connector, address);
    let error = client.invoke(Context::new(), String::new()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(chain(&error).ends_with("the server has not chosen HTTP/2"), "{}", chain(&error));

    let origin = format!("https://{address}").parse().unwrap();
    let error = Channel::new(origin).connect().await.unwrap_err();
    assert!(error.source().is_some() && error.is_unreached());
    assert!(
        chain(&error).ends_with("`https` needs a `Connect` that is secure"),
        "{}",
        chain(&error)
    );
}
