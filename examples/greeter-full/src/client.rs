//! The front's client: asks for a greeting over HTTP or gRPC, over TLS and with proof of who it is
//! where that is wanted, and has its calls traced and logged.

use clap::{Parser, ValueEnum};
use futures_util::FutureExt as _;
use greeter::{
    endpoints::{GREETING, GreetingReply, GreetingRequest},
    transport,
};
use greeter_full::{
    proof,
    telemetry::{Telemetry, Traces},
};
use purlin::{
    BoxEndpoint, Carrier, Context, Endpoint as _, MethodLayer,
    auth::{self, Authenticate as _},
    http_client::{HttpClient, Tcp},
    log::{Format, Level},
    retry::Retry,
    timeout::Timeout,
    tls::{ClientTls, Connector, Pem},
    tracing::TracingLayer,
    transport_grpc::Channel,
};
use std::{error::Error, path::PathBuf, process::ExitCode};
use tokio::sync::oneshot;
use tower::ServiceBuilder;

/// Asks for a greeting.
#[derive(Debug, Parser)]
#[command(version)]
struct Config {
    /// Who is greeted.
    #[arg(default_value = "Ann")]
    name: String,
    /// How it asks.
    #[arg(long, env = "GREETER_FULL_TRANSPORT", default_value = "http")]
    transport: Transport,
    /// Whom it asks: 127.0.0.1:9210 over HTTP and 127.0.0.1:9220 over gRPC unless set.
    #[arg(long, env = "GREETER_FULL_ADDR")]
    addr: Option<String>,
    /// The longest that a call may take.
    #[arg(long, env = "GREETER_FULL_TIMEOUT", default_value = "5s")]
    timeout: humantime::Duration,
    /// How many calls it makes.
    #[arg(long, default_value = "1")]
    count: u64,
    /// The least level that is logged: debug, info, warn or error.
    #[arg(long, env = "GREETER_FULL_LOG_LEVEL", default_value = "warn")]
    log_level: Level,
    /// Where spans go: none, otlp://HOST:PORT, otlp+http://HOST:PORT or zipkin://HOST:PORT.
    #[arg(long, env = "GREETER_FULL_TRACES", default_value = "none")]
    traces: Traces,
    /// The authority, in a PEM file, that the server's certificate must be of. It asks over TLS then.
    #[arg(long, env = "GREETER_FULL_TLS_CA")]
    tls_ca: Option<PathBuf>,
    /// Its own certificate, in a PEM file.
    #[arg(long, env = "GREETER_FULL_TLS_CERT", requires_all = ["tls_key", "tls_ca"])]
    tls_cert: Option<PathBuf>,
    /// The private key of its own certificate, in a PEM file.
    #[arg(long, env = "GREETER_FULL_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    proof: proof::Flags,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Transport {
    Http,
    Grpc,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Config::parse()).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("greeter-full-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the calls, and says how many have failed.
async fn run(config: Config) -> Result<u64, Box<dyn Error>> {
    let (telemetry, outbox) = Telemetry::new(
        "greeter-full-client",
        (Format::Logfmt, config.log_level),
        (&config.traces, 1.0),
    )?;
    let greeting = greeting(&config, &telemetry)?;
    let (export, lines) = outbox.split();
    let (stop_export, export_stopped) = oneshot::channel::<()>();
    let exporting = tokio::spawn(export(export_stopped.map(drop).boxed()));

    let mut failed = 0;
    for _ in 0..config.count {
        let request = GreetingRequest { name: config.name.clone() };
        match greeting.invoke(Context::new(), request).await {
            Ok(reply) => println!("{}", reply.greeting),
            Err(error) => {
                eprintln!("greeter-full-client: {error:#}");
                failed += 1;
            }
        }
    }
    drop(stop_export);
    exporting.await?;
    lines.stop()?;
    Ok(failed)
}

/// The method with what stands around it here.
fn greeting(
    config: &Config,
    telemetry: &Telemetry,
) -> Result<BoxEndpoint<GreetingRequest, GreetingReply>, Box<dyn Error>> {
    let spans = TracingLayer::client(&telemetry.tracer);
    let stack = ServiceBuilder::new()
        .layer(MethodLayer::new(&GREETING))
        // One span and one line for all attempts together.
        .layer(spans.clone())
        .layer(telemetry.lines.clone())
        .layer(Timeout::new(config.timeout.into()).layer()?)
        .layer(Retry::attempts(3).layer()?)
        // Each attempt shows the token of its time.
        .layer(config.proof.proof(&telemetry.log)?.layer())
        // One span for each attempt: this is the one that the server sees.
        .layer(spans);

    // What shows who calls is put there by a layer: what nobody put there is not sent.
    let inject = |context: &Context, carrier: &mut dyn Carrier| {
        greeter_full::telemetry::inject(context, carrier)?;
        auth::inject(context, carrier)
    };
    let connector = connector(config)?;
    let scheme = if connector.is_some() { "https" } else { "http" };
    let otherwise = match config.transport {
        Transport::Http => "127.0.0.1:9210",
        Transport::Grpc => "127.0.0.1:9220",
    };
    let origin = format!("{scheme}://{}", config.addr.as_deref().unwrap_or(otherwise));
    Ok(match config.transport {
        Transport::Http => {
            let http = match connector {
                Some(connector) => HttpClient::over(connector.over(Tcp::new())),
                None => HttpClient::new(),
            };
            let client = transport::http::greeting(http, &origin, inject)?;
            BoxEndpoint::new(stack.service(client))
        }
        Transport::Grpc => {
            let channel = match connector {
                Some(connector) => Channel::over(connector.over(Tcp::new()), origin.parse()?),
                None => Channel::new(origin.parse()?),
            };
            BoxEndpoint::new(stack.service(transport::grpc::greeting(channel, inject)))
        }
    })
}

/// What speaks TLS, if it is wanted.
fn connector(config: &Config) -> Result<Option<Connector>, Box<dyn Error>> {
    let Some(authority) = &config.tls_ca else { return Ok(None) };
    let mut tls = ClientTls::new().ca(Pem::file(authority));
    if let (Some(certificate), Some(key)) = (&config.tls_cert, &config.tls_key) {
        tls = tls.credentials(purlin::tls::Credentials::files(certificate, key));
    }
    Ok(Some(tls.connector()?))
}
