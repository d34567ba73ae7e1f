//! The greeter's client: finds the greeter's instances and calls them over either transport.

use clap::{Parser, ValueEnum};
use greeter::{
    discovery::{self, Registered},
    endpoints::{
        GREET_MANY, GREETING, GreetManyRequest, GreetingReply, GreetingRequest, observed, reaching,
    },
    transport,
};
use purlin::{
    BoxEndpoint, Context, Endpoint as _, Error, Streaming,
    balancer::Balance,
    circuitbreaker::CircuitBreaker,
    http_client::HttpClient,
    log::{Level, LogLayer, Logger},
    metrics::{MetricsLayer, Registry},
    retry::Retry,
    sd::Endpoints,
    timeout::Timeout,
    transport_grpc::Channel,
};
use std::{error, io, process::ExitCode, time::Duration};

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
    /// Where the greeter is found: memory, mdns, file:PATH, consul://HOST:PORT or etcd://HOST:PORT.
    /// In memory nobody else is, and the addresses are those given here.
    #[arg(long, env = "GREETER_REGISTRY", default_value = "memory")]
    registry: Registered,
    /// Where it serves HTTP.
    #[arg(long, env = "GREETER_HTTP_ADDR", default_value = "127.0.0.1:9110")]
    http_addr: String,
    /// Where it serves gRPC.
    #[arg(long, env = "GREETER_GRPC_ADDR", default_value = "127.0.0.1:9120")]
    grpc_addr: String,
    /// The longest that a call may take.
    #[arg(long, env = "GREETER_TIMEOUT", default_value = "5s")]
    timeout: humantime::Duration,
    /// How many calls it makes.
    #[arg(long, default_value = "1")]
    count: u64,
    /// How long it waits between two calls.
    #[arg(long, default_value = "1s")]
    every: humantime::Duration,
    /// The least level that is logged: debug, info, warn or error. Nothing is unless it is set.
    #[arg(long, env = "GREETER_LOG_LEVEL")]
    log_level: Option<Level>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Transport {
    Http,
    Grpc,
}

/// What calls one instance: an endpoint for each method, over one connection.
struct Instance {
    greeting: BoxEndpoint<GreetingRequest, GreetingReply>,
    greet_many: BoxEndpoint<GreetManyRequest, Streaming<GreetingReply>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Config::parse()).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("greeter-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the calls, and says how many have failed.
async fn run(config: Config) -> Result<u64, Box<dyn error::Error>> {
    let greeter = Greeter::new(&config).await?;
    let mut failed = 0;
    for call in 0..config.count {
        if call > 0 {
            tokio::time::sleep(config.every.into()).await;
        }
        if let Err(error) = greeter.call(&config).await {
            eprintln!("greeter-client: {error:#}");
            failed += 1;
        }
    }
    Ok(failed)
}

/// The service, all its instances together.
struct Greeter {
    greeting: BoxEndpoint<GreetingRequest, GreetingReply>,
    greet_many: BoxEndpoint<GreetManyRequest, Streaming<GreetingReply>>,
}

impl Greeter {
    async fn new(config: &Config) -> Result<Self, Box<dyn error::Error>> {
        let log = LogLayer::new(
            config
                .log_level
                .map_or_else(Logger::discard, |level| Logger::logfmt(io::stderr()).level(level)),
        );
        let metrics = MetricsLayer::new(Registry::new()).client();
        let timeout = Timeout::new(Duration::from(config.timeout)).layer()?;
        let (breaker, retry) = (CircuitBreaker::new().layer()?, Retry::attempts(3).layer()?);

        let several = config.names.len() > 1 || !config.languages.is_empty();
        let http = config.transport == Transport::Http && !several;
        let (service, otherwise) = match http {
            true => (discovery::HTTP, &config.http_addr),
            false => (discovery::GRPC, &config.grpc_addr),
        };
        let mut instancer = config.registry.follow(service, otherwise)?;
        // A registry that is away is waited for no longer than a call would be.
        let _ = tokio::time::timeout(config.timeout.into(), instancer.known()).await;
        let instances = Endpoints::new(instancer, move |instance| connect(http, &instance.address));
        let balancer = Balance::default().over(instances)?;

        let one = balancer.endpoint(|instance: &Instance| instance.greeting.clone());
        let many = balancer.endpoint(|instance: &Instance| instance.greet_many.clone());
        let (one, many) = (reaching(&breaker, &retry, one), reaching(&breaker, &retry, many));
        Ok(Self {
            greeting: BoxEndpoint::new(observed(&GREETING, &log, &metrics, &timeout, one)),
            greet_many: BoxEndpoint::new(observed(&GREET_MANY, &log, &metrics, &timeout, many)),
        })
    }

    async fn call(&self, config: &Config) -> Result<(), Error> {
        let (names, languages) = (config.names.clone(), config.languages.clone());
        if names.len() > 1 || !languages.is_empty() {
            let request = GreetManyRequest { names, languages };
            let mut replies = self.greet_many.invoke(Context::new(), request).await?;
            while let Some(reply) = replies.message().await? {
                println!("{}", reply.greeting);
            }
            return Ok(());
        }
        let request = GreetingRequest { name: names.concat() };
        println!("{}", self.greeting.invoke(Context::new(), request).await?.greeting);
        Ok(())
    }
}

/// Makes what calls the instance at this address; it connects when it is first called.
fn connect(http: bool, address: &str) -> Result<Instance, Error> {
    let origin = format!("http://{address}");
    let channel = Channel::new(origin.parse().map_err(Error::internal)?);
    let greet_many =
        BoxEndpoint::new(transport::grpc::greet_many(channel.clone(), transport::nothing));
    let greeting = if http {
        let greeting = transport::http::greeting(HttpClient::new(), &origin, transport::nothing);
        BoxEndpoint::new(greeting.map_err(Error::internal)?)
    } else {
        BoxEndpoint::new(transport::grpc::greeting(channel, transport::nothing))
    };
    Ok(Instance { greeting, greet_many })
}
