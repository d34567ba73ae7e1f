//! Where the greeter says that it is there, and where its client finds it.

use http::uri::Authority;
use purlin::{
    Invalid,
    log::Logger,
    sd::{
        Discovery, File, Instance, Instancer, Memory, Registrar, Registration, Registry, Source,
        State,
    },
    sd_consul::{Check, Consul},
    sd_etcd::Etcd,
    sd_mdns::Mdns,
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
    /// `mdns`: all processes of the local network, with nothing installed.
    Mdns(Mdns),
}

impl FromStr for Registered {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "must be memory, mdns, file:PATH, consul://HOST:PORT or etcd://HOST:PORT";
        Self::named(text).ok_or(wrong)
    }
}

impl Registered {
    fn named(text: &str) -> Option<Self> {
        // Without a port, this would be port 80.
        let url = |rest: &str| {
            let address: Authority = rest.parse().ok()?;
            address.port().map(|_| format!("http://{address}"))
        };
        Some(match text.split_once(':') {
            None if text == "memory" => Self::Memory(Memory::new()),
            None if text == "mdns" => Self::Mdns(Mdns::new()),
            Some(("file", path)) if !path.is_empty() => Self::File(File::new(path)),
            Some(("consul", rest)) => {
                Self::Consul(Box::new(Consul::new(url(rest.strip_prefix("//")?)?).ok()?))
            }
            Some(("etcd", rest)) => Self::Etcd(Etcd::new([url(rest.strip_prefix("//")?)?]).ok()?),
            _ => return None,
        })
    }

    /// Whether other processes look there.
    pub fn is_found_by_others(&self) -> bool {
        !matches!(self, Self::Memory(_))
    }

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
            Self::Mdns(mdns) => register(mdns.registry(service), instance),
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
            Self::Mdns(mdns) => follow(mdns.source(service)),
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

/// Logs what becomes of a registration, for ever: one line when it is lost, and one when it is back.
pub async fn watch(service: &'static str, mut state: watch::Receiver<State>, log: Logger) {
    let mut lost = false;
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            State::Pending => {}
            State::Registered => {
                lost = false;
                log.info("registered").field("service", service).send();
            }
            // It is tried again every second, which the next line would only repeat.
            State::Lost(_) if lost => {}
            State::Lost(error) => {
                lost = true;
                let error = error.to_string();
                log.warn("not registered").field("service", service).field("error", &*error).send();
            }
        }
        if state.changed().await.is_err() {
            // It has been taken back.
            std::future::pending::<()>().await;
        }
    }
}
