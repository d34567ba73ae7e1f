//! The greeter's server: configuration, observability, the onion from the inside out, and a group
//! of actors that start together and stop in order.

use clap::Parser;
use futures_util::FutureExt as _;
use greeter::{
    discovery::{self, Registered},
    endpoints::Endpoints,
    service::Polite,
    transport,
};
use purlin::{
    Carrier, Context,
    health::Health,
    log::{Format, Level, LogLayer, Logger},
    metrics::{MetricsLayer, Registry, Scrape},
    run::Group,
    serve::Server,
    timeout::Timeout,
    tracing::Propagation,
    transport_http::Router,
};
use std::{
    error::Error,
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::Duration,
};
use tokio::net::TcpListener;

/// Greets people over HTTP and gRPC.
#[derive(Debug, Parser)]
#[command(version)]
struct Config {
    /// Where HTTP is served: at 127.0.0.1:9110, unless that is taken and a registry says where else.
    #[arg(long, env = "GREETER_HTTP_ADDR")]
    http_addr: Option<String>,
    /// Where gRPC is served: at 127.0.0.1:9120, with the same exception.
    #[arg(long, env = "GREETER_GRPC_ADDR")]
    grpc_addr: Option<String>,
    /// Where /livez, /readyz and /metrics are served: at 127.0.0.1:9100, with the same exception.
    /// Others should not reach it.
    #[arg(long, env = "GREETER_DEBUG_ADDR")]
    debug_addr: Option<String>,
    /// Where it registers: memory, mdns, file:PATH, consul://HOST:PORT or etcd://HOST:PORT.
    #[arg(long, env = "GREETER_REGISTRY", default_value = "memory")]
    registry: Registered,
    /// The address that it registers, where that is not the one it listens on.
    #[arg(long, env = "GREETER_ADVERTISE")]
    advertise: Option<IpAddr>,
    /// How lines are written: logfmt, json or pretty.
    #[arg(long, env = "GREETER_LOG_FORMAT", default_value = "logfmt")]
    log_format: Format,
    /// The least level that is logged: debug, info, warn or error.
    #[arg(long, env = "GREETER_LOG_LEVEL", default_value = "info")]
    log_level: Level,
    /// How long a greeting takes: to try timeouts and drains.
    #[arg(long, env = "GREETER_DELAY", default_value = "0s")]
    delay: humantime::Duration,
    /// The longest that a call may take.
    #[arg(long, env = "GREETER_TIMEOUT", default_value = "10s")]
    timeout: humantime::Duration,
    /// How long calls in flight may go on after a signal.
    #[arg(long, env = "GREETER_DRAIN", default_value = "10s")]
    drain: humantime::Duration,
    /// How long it keeps accepting after it has become unready, so that others learn of it.
    #[arg(long, env = "GREETER_DRAIN_DELAY", default_value = "0s")]
    drain_delay: humantime::Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    match run(&config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greeter: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: &Config) -> Result<(), Box<dyn Error>> {
    let log = Logger::new(config.log_format, io::stderr()).level(config.log_level);
    let (health, registry) = (Health::new(), Registry::new());

    // The onion, from the inside out: service, endpoints, transports.
    let timeout = Timeout::new(config.timeout.into()).layer()?;
    let lines = LogLayer::new(log.clone());
    let metrics = MetricsLayer::new(registry.clone());
    let service = Polite { delay: config.delay.into() };
    let endpoints = Endpoints::new(service, &lines, &metrics, &timeout);
    // Lines show the trace that a caller is in.
    let traced =
        |carrier: &dyn Carrier, context: Context| Propagation::w3c().extract(carrier, context);
    let http = transport::http::router(&endpoints, traced, lines.uncalled());
    let grpc = transport::grpc::server(&endpoints, traced, lines.uncalled())?;
    let grpc = grpc.health(health.subscribe());
    let debug = Router::new().get("/metrics", Scrape::new(registry)).fallback(health.service());

    // Every port is bound before anything is served, so that a taken one stops the start.
    let http_port = config.bind("--http-addr", &config.http_addr, 9110).await?;
    let grpc_port = config.bind("--grpc-addr", &config.grpc_addr, 9120).await?;
    let debug_port = config.bind("--debug-addr", &config.debug_addr, 9100).await?;
    let ports = (http_port.local_addr()?, grpc_port.local_addr()?, debug_port.local_addr()?);

    // Nobody is sent here before it listens.
    let at = |address| discovery::advertised(address, config.advertise);
    let http_entry = config.registry.register(discovery::HTTP, at(ports.0)?)?;
    let grpc_entry = config.registry.register(discovery::GRPC, at(ports.1)?)?;
    let http_watch = discovery::watch(discovery::HTTP, http_entry.subscribe(), log.clone());
    let grpc_watch = discovery::watch(discovery::GRPC, grpc_entry.subscribe(), log.clone());

    let server = serving(&log, config.drain.into());
    let (http_server, grpc_server, debug_server) = (server.clone(), server.clone(), server);
    let stopped = Group::new()
        .signals()
        .on_start(move || announce(ports))
        .actor("http", |stop| http_server.serve(http_port, http, stop.requested()).map(|_| ()))
        .actor("grpc", |stop| grpc_server.serve(grpc_port, grpc, stop.requested()).map(|_| ()))
        .actor("debug", |stop| debug_server.serve(debug_port, debug, stop.requested()).map(|_| ()))
        .actor("registration", |stop| async move {
            tokio::select! {
                () = stop.requested() => {}
                () = http_watch => {}
                () = grpc_watch => {}
            }
        })
        .on_stop("readiness", async move { health.set_serving(false) })
        // A registry that is away drops the entries when their time is over.
        .on_stop("registration", async move {
            drop(tokio::join!(http_entry.deregister(), grpc_entry.deregister()));
        })
        .drain_delay(config.drain_delay.into())
        .deadline(Duration::from(config.drain) + Duration::from_secs(1))
        .run()
        .await;
    log.info("stopped").field("first", &*stopped.first().to_string()).send();
    log.flush()?;
    Ok(stopped.into_result()?)
}

fn serving(log: &Logger, drain: Duration) -> Server {
    let log = log.clone();
    Server::new()
        .drain(drain)
        .on_error(move |error| log.debug("connection").field("error", &*error.to_string()).send())
}

impl Config {
    /// Listens at the address that was given, or at the usual port.
    ///
    /// Who is found by a registry need not be at the usual port: a second one on the same machine
    /// takes another.
    async fn bind(
        &self,
        flag: &str,
        given: &Option<String>,
        usual: u16,
    ) -> Result<TcpListener, String> {
        let address = given.clone().unwrap_or_else(|| format!("127.0.0.1:{usual}"));
        let bound = match TcpListener::bind(&address).await {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && given.is_none()
                    && self.registry.is_found_by_others() =>
            {
                TcpListener::bind("127.0.0.1:0").await
            }
            bound => bound,
        };
        bound.map_err(|error| format!("{flag} {address}: {error}"))
    }
}

/// Says what is listening, and how to call it.
fn announce((http, grpc, debug): (SocketAddr, SocketAddr, SocketAddr)) {
    let message = r#"{"name":"Ann"}"#;
    let text = format!(
        "HTTP   http://{http}    curl 'http://{http}/greeting?name=Ann'\n\
         gRPC   {grpc}           grpcurl -plaintext -d '{message}' {grpc} greeter.Greeter/Greeting\n\
         debug  http://{debug}    curl http://{debug}/readyz\n"
    );
    // Where nobody reads this, it serves all the same.
    let _ = io::stdout().write_all(text.as_bytes());
}
