//! Where the greeter says that it is there, and where its client finds it.

use purlin::{
    Invalid,
    log::Logger,
    sd::{
        Discovery, File, Instance, Instancer, Memory, Registrar, Registration, Registry, Source,
        State,
    },
    sd_consul::{Check, Consul},
    sd_etcd::Etcd,
};
use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    str::FromStr,
    time::Duration,
};
use tokio::sync::watch;

/// The name under which HTTP is registered.
pub const HTTP: &str = "greeter-http";
/// The name under which gRPC is registered.
pub const GRPC: &str = "greeter-grpc";

/// The registry that `--registry` names.
#[derive(Clone, Debug)]
pub enum Registered {
    /// `memory`: nobody else sees it.
    Memory(Memory),
    /// `file:PATH`: all processes of this machine.
    File(File),
    /// `consul://HOST:PORT`: an agent.
    Consul(Box<Consul>),
    /// `etcd://HOST:PORT`.
    Etcd(Etcd),
}

impl FromStr for Registered {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = |rest| format!("http://{rest}");
        let wrong = |error: Invalid| format!("{text:?}: {error}");
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Self::File(File::new(path)));
        }
        match text.split_once("://") {
            Some(("consul", rest)) => {
                Consul::new(url(rest)).map(|it| Self::Consul(Box::new(it))).map_err(wrong)
            }
            Some(("etcd", rest)) => Etcd::new([url(rest)]).map(Self::Etcd).map_err(wrong),
            None if text == "memory" => Ok(Self::Memory(Memory::new())),
            _ => Err(format!(
                "{text:?} is none of memory, file:PATH, consul://HOST:PORT, etcd://HOST:PORT"
            )),
        }
    }
}

impl Registered {
    /// Registers what listens there, until it is taken back.
    ///
    /// # Errors
    ///
    /// None, with the defaults of a registrar.
    pub fn register(&self, service: &str, address: SocketAddr) -> Result<Registration, Invalid> {
        let instance = Instance::new(address.to_string());
        match self {
            Self::Memory(memory) => register(memory.registry(service), instance),
            Self::File(file) => register(file.registry(service), instance),
            Self::Consul(consul) => {
                // The agent asks by itself how this process is.
                let often = Duration::from_secs(10);
                let check = match service {
                    HTTP => Check::http(format!("http://{address}/health"), often),
                    _ => Check::grpc(address.to_string(), often),
                };
                register(consul.registry(service).check(check), instance)
            }
            Self::Etcd(etcd) => register(etcd.registry(service), instance),
        }
    }

    /// Follows the instances of a service; in memory, where nobody else can be, it is the one at
    /// this address.
    ///
    /// # Errors
    ///
    /// None, with the defaults of discovery.
    pub fn follow(&self, service: &str, otherwise: &str) -> Result<Instancer, Invalid> {
        match self {
            Self::Memory(_) => Ok(Instancer::fixed([Instance::new(otherwise)])),
            Self::File(file) => follow(file.source(service)),
            Self::Consul(consul) => follow(consul.source(service)),
            Self::Etcd(etcd) => follow(etcd.source(service)),
        }
    }
}

fn register(registry: impl Registry, instance: Instance) -> Result<Registration, Invalid> {
    Registrar::new().start(registry, instance)
}

fn follow(source: impl Source) -> Result<Instancer, Invalid> {
    Discovery::new().start(source)
}

/// The address under which others reach what listens here.
///
/// # Errors
///
/// If it listens on all addresses, and this machine has none by which others reach it.
pub fn advertised(listening: SocketAddr, given: Option<IpAddr>) -> io::Result<SocketAddr> {
    let address = match given {
        Some(given) => given,
        None if !listening.ip().is_unspecified() => listening.ip(),
        None => {
            // Nothing is sent: this asks the system which address it would send from.
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect("192.0.2.1:9")?;
            socket.local_addr()?.ip()
        }
    };
    Ok(SocketAddr::new(address, listening.port()))
}

/// Logs what becomes of a registration, for ever.
pub async fn watch(service: &'static str, mut state: watch::Receiver<State>, log: Logger) {
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            State::Pending => {}
            State::Registered => log.info("registered").field("service", service).send(),
            State::Lost(error) => {
                let error = format!("{error:#}");
                log.warn("not registered").field("service", service).field("error", &*error).send();
            }
        }
        if state.changed().await.is_err() {
            // It has been taken back.
            std::future::pending::<()>().await;
        }
    }
}
