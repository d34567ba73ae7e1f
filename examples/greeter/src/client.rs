//! The greeter's client: either transport, through the same layers as the server.

use clap::{Parser, ValueEnum};
use greeter::{
    endpoints::{GREET_MANY, GREETING, GreetManyRequest, GreetingRequest, observed},
    transport,
};
use purlin::{
    Context, Endpoint as _,
    http_client::HttpClient,
    log::{Level, LogLayer, Logger},
    timeout::Timeout,
    transport_grpc::Channel,
};
use std::{error::Error, io, process::ExitCode, time::Duration};

/// Asks a greeter for a greeting.
#[derive(Debug, Parser)]
#[command(version)]
struct Config {
    /// Who is greeted. Several names are greeted over gRPC.
    #[arg(default_value = "Ann")]
    names: Vec<String>,
    /// The languages: de, en, es, fr, it. They go over gRPC.
    #[arg(long, value_delimiter = ',')]
    languages: Vec<String>,
    /// How the greeter is called.
    #[arg(long, env = "GREETER_TRANSPORT", default_value = "http")]
    transport: Transport,
    /// Where it serves HTTP.
    #[arg(long, env = "GREETER_HTTP_ADDR", default_value = "127.0.0.1:9110")]
    http_addr: String,
    /// Where it serves gRPC.
    #[arg(long, env = "GREETER_GRPC_ADDR", default_value = "127.0.0.1:9120")]
    grpc_addr: String,
    /// The longest that the call may take.
    #[arg(long, env = "GREETER_TIMEOUT", default_value = "5s")]
    timeout: humantime::Duration,
    /// The least level that is logged: debug, info, warn or error. Nothing is unless it is set.
    #[arg(long, env = "GREETER_LOG_LEVEL")]
    log_level: Option<Level>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Transport {
    Http,
    Grpc,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Config::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greeter-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), Box<dyn Error>> {
    let log = match config.log_level {
        Some(level) => Logger::logfmt(io::stderr()).level(level),
        None => Logger::discard(),
    };
    let log = LogLayer::new(log);
    let timeout = Timeout::new(Duration::from(config.timeout)).layer()?;
    let channel = || -> Result<Channel, Box<dyn Error>> {
        Ok(Channel::new(format!("http://{}", config.grpc_addr).parse()?))
    };

    let several = config.names.len() > 1 || !config.languages.is_empty();
    if several {
        let many = observed(&GREET_MANY, &log, &timeout, transport::grpc::greet_many(channel()?));
        let request = GreetManyRequest { names: config.names, languages: config.languages };
        let mut replies = many.invoke(Context::new(), request).await?;
        while let Some(reply) = replies.message().await? {
            println!("{}", reply.greeting);
        }
        return Ok(());
    }

    let request = GreetingRequest { name: config.names.concat() };
    let reply = match config.transport {
        Transport::Http => {
            let http = transport::http::greeting(HttpClient::new(), &config.http_addr)?;
            observed(&GREETING, &log, &timeout, http).invoke(Context::new(), request).await?
        }
        Transport::Grpc => {
            let grpc = transport::grpc::greeting(channel()?);
            observed(&GREETING, &log, &timeout, grpc).invoke(Context::new(), request).await?
        }
    };
    println!("{}", reply.greeting);
    Ok(())
}
