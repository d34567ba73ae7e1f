//! A front to the greeter: it serves greetings over HTTP and gRPC, asks the greeter for each over
//! gRPC, and has around both sides whatever keeps it well.

mod layers;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, parser::ValueSource};
use futures_util::FutureExt as _;
use greeter::{
    endpoints::{Endpoints, GREET_MANY, GREETING, HEALTH, HealthReply},
    transport,
};
use greeter_full::{
    access::Auth,
    telemetry::{Telemetry, Traces, extract, inject},
};
use layers::{Layers, Settings};
use purlin::{
    BoxEndpoint, Context,
    admin::{Action, Admin, Origin, Process},
    endpoint_fn,
    health::Health,
    log::{Format, Level, Logger},
    metrics::Scrape,
    run::{Group, Stop},
    serve::Server,
    tls::{Acceptor, Credentials, Pem, ServerTls},
    transport_grpc::Channel,
};
use std::{
    error::Error,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use tokio::{net::TcpListener, sync::oneshot};

/// Greets people by asking a greeter.
#[derive(Debug, Parser)]
#[command(version)]
struct Config {
    /// Where HTTP is served.
    #[arg(long, env = "GREETER_FULL_HTTP_ADDR", default_value = "127.0.0.1:9210")]
    http_addr: String,
    /// Where gRPC is served.
    #[arg(long, env = "GREETER_FULL_GRPC_ADDR", default_value = "127.0.0.1:9220")]
    grpc_addr: String,
    /// Where the admin page, /livez, /readyz and /metrics are served, to this machine only.
    #[arg(long, env = "GREETER_FULL_DEBUG_ADDR", default_value = "127.0.0.1:9200")]
    debug_addr: String,
    /// Lets the admin page change the log's level and inject faults.
    #[arg(long, env = "GREETER_FULL_ENABLE_ACTIONS")]
    enable_actions: bool,
    /// Where the greeter serves gRPC.
    #[arg(long, env = "GREETER_FULL_GREETER", default_value = "127.0.0.1:9120")]
    greeter: String,
    /// How many calls one address may make in a second.
    #[arg(long, env = "GREETER_FULL_RATE", default_value = "100")]
    rate: f64,
    /// The longest that a call may take.
    #[arg(long, env = "GREETER_FULL_TIMEOUT", default_value = "2s")]
    timeout: humantime::Duration,
    /// The longest that one attempt at calling the greeter may take.
    #[arg(long, env = "GREETER_FULL_ATTEMPT_TIMEOUT", default_value = "500ms")]
    attempt_timeout: humantime::Duration,
    /// How long a breaker that has opened leaves the greeter in peace.
    #[arg(long, env = "GREETER_FULL_OPEN_FOR", default_value = "5s")]
    open_for: humantime::Duration,
    /// How lines are written: logfmt, json or pretty.
    #[arg(long, env = "GREETER_FULL_LOG_FORMAT", default_value = "logfmt")]
    log_format: Format,
    /// Where spans go: none, otlp://HOST:PORT, otlp+http://HOST:PORT or zipkin://HOST:PORT.
    #[arg(long, env = "GREETER_FULL_TRACES", default_value = "none")]
    traces: Traces,
    /// How large a share of the traces that begin here is recorded, from 0 to 1.
    #[arg(long, env = "GREETER_FULL_SAMPLE", default_value = "1")]
    sample: f64,
    /// How callers show who they are: none, basic:FILE or jwt:ISSUER.
    #[arg(long, env = "GREETER_FULL_AUTH", default_value = "none")]
    auth: Auth,
    /// For whom an issuer's tokens must be.
    #[arg(long, env = "GREETER_FULL_AUDIENCE", default_value = "greeter")]
    audience: String,
    /// A JSON file that says who may call what. Without it everybody may call everything.
    #[arg(long, env = "GREETER_FULL_POLICY")]
    policy: Option<PathBuf>,
    /// The certificate and those above it, in a PEM file, read again when it changes.
    #[arg(long, env = "GREETER_FULL_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, in a PEM file.
    #[arg(long, env = "GREETER_FULL_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The authority, in a PEM file, whose certificates callers must show.
    #[arg(long, env = "GREETER_FULL_TLS_CLIENT_CA", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let matches = Config::command().get_matches();
    let config = Config::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(&config, &matches).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greeter-full: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: &Config, matches: &ArgMatches) -> Result<(), Box<dyn Error>> {
    let traces = (&config.traces, config.sample);
    let (telemetry, outbox) =
        Telemetry::new("greeter-full", (config.log_format, Level::Info), traces)?;
    let log = telemetry.log.clone();
    let health = Health::new();
    let verifier = config.auth.verifier(&config.audience, &log)?;
    let layers = Layers::new(&telemetry, verifier, settings(config))?;
    let tls = tls(config, &log)?;

    // From the inside out: the greeter's client, what reaches it, what protects this process.
    let channel = Channel::new(format!("http://{}", config.greeter).parse()?);
    let greeting = transport::grpc::greeting(channel.clone(), inject);
    let greeting = BoxEndpoint::new(layers.reaching(&GREETING, greeting));
    let greet_many = transport::grpc::greet_many(channel, inject);
    let greet_many = BoxEndpoint::new(layers.reaching(&GREET_MANY, greet_many));
    let well = endpoint_fn(|_: Context, ()| async { Ok(HealthReply { healthy: true }) });
    let endpoints = Endpoints {
        health: BoxEndpoint::new(well.of(&HEALTH)),
        greeting: BoxEndpoint::new(layers.protected(&GREETING, greeting)),
        greet_many: BoxEndpoint::new(layers.protected(&GREET_MANY, greet_many)),
    };
    let http = transport::http::router(&endpoints, extract, telemetry.lines.uncalled());
    let grpc = transport::grpc::server(&endpoints, extract, telemetry.lines.uncalled())?;
    let grpc = grpc.health(health.subscribe());
    let server = Server::new();
    let admin = admin(config, matches, &telemetry, &layers).component(server.handle());
    let admin = match &tls {
        Some(tls) => admin.component(tls.handle()),
        None => admin,
    };
    let debug =
        admin.mount("/livez", health.service()).mount("/readyz", health.service()).service();

    let http_port = bind("--http-addr", &config.http_addr).await?;
    let grpc_port = bind("--grpc-addr", &config.grpc_addr).await?;
    let debug_port = bind("--debug-addr", &config.debug_addr).await?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let announce = format!(
        "HTTP   {scheme}://{http}    curl '{scheme}://{http}/greeting?name=Ann'\n\
         gRPC   {grpc}\n\
         debug  http://{debug}    the admin page, for a browser\n",
        http = http_port.local_addr()?,
        grpc = grpc_port.local_addr()?,
        debug = debug_port.local_addr()?,
    );

    let (grpc_server, debug_server, grpc_tls) = (server.clone(), Server::new(), tls.clone());
    // Spans and lines of the last calls come when all has stopped.
    let (export, lines) = outbox.split();
    let (stop_export, export_stopped) = oneshot::channel::<()>();
    let exporting = tokio::spawn(export(export_stopped.map(drop).boxed()));
    let reload = reload(config, &layers, &log);
    let stopped = Group::new()
        .signals()
        // Where nobody reads this, it serves all the same.
        .on_start(move || drop(io::stdout().write_all(announce.as_bytes())))
        .actor("policy", |stop| until(reload, stop))
        .actor("http", |stop| async move {
            let stop = stop.requested();
            match tls {
                Some(tls) => drop(server.serve(tls.accept(http_port), http, stop).await),
                None => drop(server.serve(http_port, http, stop).await),
            }
        })
        .actor("grpc", |stop| async move {
            let stop = stop.requested();
            match grpc_tls {
                Some(tls) => drop(grpc_server.serve(tls.accept(grpc_port), grpc, stop).await),
                None => drop(grpc_server.serve(grpc_port, grpc, stop).await),
            }
        })
        .actor("debug", |stop| debug_server.serve(debug_port, debug, stop.requested()).map(|_| ()))
        .on_stop("readiness", async move { health.set_serving(false) })
        .deadline(Duration::from_secs(11))
        .run()
        .await;
    log.info("stopped").field("first", &*stopped.first().to_string()).send();
    drop(stop_export);
    exporting.await?;
    lines.stop()?;
    Ok(stopped.into_result()?)
}

/// Collects what the page shows.
fn admin(config: &Config, matches: &ArgMatches, telemetry: &Telemetry, layers: &Layers) -> Admin {
    let log = telemetry.log.handle();
    let level = Action::new("log-level", "Writes more lines, or fewer, for a while")
        .choice("level", ["debug", "info", "warn", "error"])
        .duration("for", "10m")
        .run(move |input| {
            let level = input.text("level").parse().map_err(|_| "there is no such level")?;
            log.set_level_for(level, input.duration("for"));
            Ok(format!("{} for {:?}", input.text("level"), input.duration("for")))
        });
    let tail = telemetry.tail.clone();
    let mut admin = Admin::new("greeter-full", env!("CARGO_PKG_VERSION"))
        .route("HTTP", "GET /greeting", &GREETING)
        .route("gRPC", "/greeter.Greeter/Greeting", &GREETING)
        .route("gRPC", "/greeter.Greeter/GreetMany", &GREET_MANY)
        .method(&GREETING, layers.inspected())
        .method(&GREET_MANY, layers.inspected())
        .watch(layers.watch.handle())
        .component(telemetry.log.handle())
        .component(telemetry.tracer.handle())
        .component(Process::current())
        .text("/log", "text/plain; charset=utf-8", move || tail.text())
        .mount("/metrics", Scrape::new(telemetry.registry.clone()))
        .action(level)
        .action(layers.faults.handle().inject_action())
        .action(layers.faults.handle().clear_action());
    for id in matches.ids() {
        let origin = match matches.value_source(id.as_str()) {
            Some(ValueSource::CommandLine) => Origin::Argument,
            Some(ValueSource::EnvVariable) => Origin::Environment,
            _ => Origin::Default,
        };
        let said = matches.get_raw(id.as_str()).into_iter().flatten();
        let said: Vec<_> = said.map(|value| value.to_string_lossy()).collect();
        if !said.is_empty() {
            let name = format!("--{}", id.as_str().replace('_', "-"));
            admin = admin.setting(name, said.join(" "), origin);
        }
    }
    if config.enable_actions { admin.enable_actions() } else { admin }
}

/// Follows the file of rules, if there is one.
fn reload(
    config: &Config,
    layers: &Layers,
    log: &Logger,
) -> impl Future<Output = ()> + Send + use<> {
    let (path, handle, log) = (config.policy.clone(), layers.rules.handle(), log.clone());
    async move {
        let Some(path) = path else { return std::future::pending().await };
        let tell = move |why: Option<&_>| match why {
            None => log.info("policy").field("taken", true).send(),
            Some(why) => log.error("policy").field("error", why).send(),
        };
        match handle.follow(path, tell).await {}
    }
}

async fn until(work: impl Future<Output = ()>, stop: Stop) {
    tokio::select! {
        () = work => {}
        () = stop.requested() => {}
    }
}

/// The certificates, if the ports are to speak TLS.
fn tls(config: &Config, log: &Logger) -> Result<Option<Acceptor>, Box<dyn Error>> {
    let (Some(certificate), Some(key)) = (&config.tls_cert, &config.tls_key) else {
        return Ok(None);
    };
    let mut tls = ServerTls::new(Credentials::new(Pem::file(certificate), Pem::file(key)));
    if let Some(authority) = &config.tls_client_ca {
        tls = tls.client_ca(Pem::file(authority));
    }
    let log = log.clone();
    let acceptor = tls.acceptor()?.on_reload(move |outcome| match outcome {
        Ok(_) => log.info("certificates").field("taken", true).send(),
        Err(why) => log.error("certificates").field("error", why).send(),
    });
    Ok(Some(acceptor))
}

/// What a user may change of the layers.
fn settings(config: &Config) -> Settings<'_> {
    Settings {
        rate: config.rate,
        timeout: config.timeout.into(),
        attempt_timeout: config.attempt_timeout.into(),
        open_for: config.open_for.into(),
        policy: config.policy.as_deref(),
    }
}

async fn bind(flag: &str, address: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("{flag} {address}: {error}"))
}
