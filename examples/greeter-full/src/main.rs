//! A front to the greeter: it serves greetings over HTTP, asks the greeter for each over gRPC, and
//! has around both whatever keeps it well.

mod debug;
mod layers;

use clap::Parser;
use futures_util::FutureExt as _;
use greeter::{
    endpoints::{Endpoints, GREET_MANY, GREETING, HEALTH, HealthReply},
    transport,
};
use layers::{Layers, Settings};
use purlin::{
    BoxEndpoint, Context, endpoint_fn,
    health::Health,
    log::{Format, LogLayer, Logger},
    run::Group,
    serve::Server,
    transport_grpc::Channel,
};
use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};
use tokio::net::TcpListener;

/// Greets people by asking a greeter.
#[derive(Debug, Parser)]
#[command(version)]
struct Config {
    /// Where HTTP is served.
    #[arg(long, env = "GREETER_FULL_HTTP_ADDR", default_value = "127.0.0.1:9210")]
    http_addr: String,
    /// Where /livez, /readyz and /inspect are served. Others should not reach it.
    #[arg(long, env = "GREETER_FULL_DEBUG_ADDR", default_value = "127.0.0.1:9200")]
    debug_addr: String,
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
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Config::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greeter-full: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: &Config) -> Result<(), Box<dyn Error>> {
    let log = Logger::new(config.log_format, io::stderr());
    let lines = LogLayer::new(log.clone());
    let health = Health::new();
    let layers = Layers::new(lines.clone(), settings(config))?;

    // From the inside out: the greeter's client, what reaches it, what protects this process.
    let channel = Channel::new(format!("http://{}", config.greeter).parse()?);
    let greeting = layers.reaching(&GREETING, transport::grpc::greeting(channel.clone()));
    let greet_many = layers.reaching(&GREET_MANY, transport::grpc::greet_many(channel));
    let well = endpoint_fn(|_: Context, ()| async { Ok(HealthReply { healthy: true }) });
    let endpoints = Endpoints {
        health: BoxEndpoint::new(well.of(&HEALTH)),
        greeting: BoxEndpoint::new(layers.protected(&GREETING, greeting)),
        greet_many: BoxEndpoint::new(layers.protected(&GREET_MANY, greet_many)),
    };
    let http = transport::http::router(&endpoints, lines.uncalled());
    let debug = debug::router(layers.inspected(), health.service());

    let http_port = bind("--http-addr", &config.http_addr).await?;
    let debug_port = bind("--debug-addr", &config.debug_addr).await?;
    let (http_addr, debug_addr) = (http_port.local_addr()?, debug_port.local_addr()?);
    let announce = format!(
        "HTTP   http://{http_addr}    curl 'http://{http_addr}/greeting?name=Ann'\n\
         debug  http://{debug_addr}    curl http://{debug_addr}/inspect\n"
    );

    let server = Server::new();
    let debug_server = server.clone();
    let stopped = Group::new()
        .signals()
        // Where nobody reads this, it serves all the same.
        .on_start(move || drop(io::stdout().write_all(announce.as_bytes())))
        .actor("http", |stop| server.serve(http_port, http, stop.requested()).map(|_| ()))
        .actor("debug", |stop| debug_server.serve(debug_port, debug, stop.requested()).map(|_| ()))
        .on_stop("readiness", async move { health.set_serving(false) })
        .deadline(Duration::from_secs(11))
        .run()
        .await;
    log.info("stopped").field("first", &*stopped.first().to_string()).send();
    log.flush()?;
    Ok(stopped.into_result()?)
}

fn settings(config: &Config) -> Settings {
    Settings {
        rate: config.rate,
        timeout: config.timeout.into(),
        attempt_timeout: config.attempt_timeout.into(),
        open_for: config.open_for.into(),
    }
}

async fn bind(flag: &str, address: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("{flag} {address}: {error}"))
}
