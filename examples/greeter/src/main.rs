//! The greeter's server: configuration, observability, the onion from the inside out, and a group
//! of actors that start together and stop in order.

use clap::Parser;
use greeter::{endpoints::Endpoints, service::Polite, transport};
use purlin::{
    health::Health,
    log::{Format, Level, Logger},
    run::{Group, Stop},
    serve,
    timeout::Timeout,
};
use std::{error::Error, io, process::ExitCode, time::Duration};
use tokio::net::TcpListener;

/// Greets people over HTTP and gRPC.
#[derive(Debug, Parser)]
#[command(version)]
struct Config {
    /// Where HTTP is served.
    #[arg(long, env = "GREETER_HTTP_ADDR", default_value = "127.0.0.1:9110")]
    http_addr: String,
    /// Where gRPC is served.
    #[arg(long, env = "GREETER_GRPC_ADDR", default_value = "127.0.0.1:9120")]
    grpc_addr: String,
    /// Where /livez and /readyz are served. Others should not reach it.
    #[arg(long, env = "GREETER_DEBUG_ADDR", default_value = "127.0.0.1:9100")]
    debug_addr: String,
    /// How lines are written: logfmt, json or pretty.
    #[arg(long, env = "GREETER_LOG_FORMAT", default_value = "logfmt")]
    log_format: Format,
    /// The least level that is logged: debug, info, warn or error.
    #[arg(long, env = "GREETER_LOG_LEVEL", default_value = "info")]
    log_level: Level,
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
    let health = Health::new();

    // The onion, from the inside out: service, endpoints, transports.
    let timeout = Timeout::new(config.timeout.into()).layer()?;
    let endpoints = Endpoints::new(Polite, &log, &timeout);
    let http = transport::http::router(&endpoints);
    let grpc = transport::grpc::server(&endpoints).health(&health);

    // Every port is bound before anything is served, so that a taken one stops the start.
    let http_port = bind(&config.http_addr).await?;
    let grpc_port = bind(&config.grpc_addr).await?;
    let debug_port = bind(&config.debug_addr).await?;
    announce(&http_port, &grpc_port, &debug_port)?;

    let drain: Duration = config.drain.into();
    let server = move |log: &Logger| {
        let log = log.clone();
        serve::Server::new().drain(drain).on_error(move |error| log.warn("serve").field("error", error).send())
    };
    let ready = health.clone();
    Group::new()
        .signals()
        .actor("http", |stop| server(&log).serve(http_port, http, stop.requested()))
        .actor("grpc", |stop| server(&log).serve(grpc_port, grpc, stop.requested()))
        .actor("debug", |stop| server(&log).serve(debug_port, health.service(), stop.requested()))
        .on_stop("readiness", async move { ready.set_serving(false) })
        .drain_delay(config.drain_delay.into())
        .deadline(drain)
        .run()
        .await
        .into_result()?;
    Ok(())
}
