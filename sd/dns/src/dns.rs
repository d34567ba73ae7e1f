use crate::records::{Target, groups, instances};
use futures_util::{StreamExt, stream};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError, NetError, NoRecords, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
};
use purlin_endpoint::{Code, Error, Invalid};
use purlin_sd::{Found, Instance, Source};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Follows a name in DNS.
#[derive(Clone, Debug)]
pub struct Dns {
    name: Name,
    /// Without one, SRV records name the port.
    port: Option<u16>,
    nameservers: Vec<SocketAddr>,
    patience: Duration,
    longest: Duration,
    /// The addresses that were found last, of which some may be needed again.
    last: Addresses,
}

type Addresses = BTreeMap<(Name, RecordType), Vec<IpAddr>>;

/// Not more than about once a second.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long it is believed that there is nothing, when the answer doesn't say.
const NOTHING: Duration = Duration::from_secs(5);
/// How many targets are asked for at a time.
const AT_A_TIME: usize = 8;

/// What one round of questions has found.
struct Round {
    instances: Vec<Instance>,
    left_out: Option<Error>,
    again: Duration,
}

/// What one question has found.
struct Answer {
    records: Vec<RData>,
    again: Duration,
}

impl Dns {
    /// Follows the SRV records of a name: `_grpc._tcp.greeter.example.`. One that does not end with
    /// a dot is tried within the system's search domains.
    ///
    /// # Errors
    ///
    /// If it is no name.
    pub fn srv(name: impl AsRef<str>) -> Result<Self, Invalid> {
        Self::new(name.as_ref(), None)
    }

    /// Follows the A and AAAA records of a host, all of whose addresses serve on this port.
    ///
    /// # Errors
    ///
    /// If it is no name, or the port is 0.
    pub fn host(name: impl AsRef<str>, port: u16) -> Result<Self, Invalid> {
        if port == 0 {
            return Err(Invalid { field: "port", why: "must not be 0" });
        }
        Self::new(name.as_ref(), Some(port))
    }

    fn new(name: &str, port: Option<u16>) -> Result<Self, Invalid> {
        let name = Name::from_utf8(name)
            .ok()
            .filter(|name| name.num_labels() > 0)
            .ok_or(Invalid { field: "name", why: "is no name in DNS" })?;
        Ok(Self {
            name,
            port,
            nameservers: Vec::new(),
            patience: Duration::from_secs(2),
            longest: Duration::from_secs(300),
            last: Addresses::new(),
        })
    }

    /// Asks this server, by UDP and TCP. It may be said several times; the system's are asked, and
    /// its `hosts` file is read, unless it is said.
    #[must_use]
    pub fn nameserver(mut self, nameserver: SocketAddr) -> Self {
        self.nameservers.push(nameserver);
        self
    }

    /// How long a server may take before it is asked once more, or the next one is: 2 s unless
    /// set.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How long an answer is believed at most, whatever its time to live: 5 minutes unless set.
    #[must_use]
    pub fn longest(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.nameservers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = self.nameservers.iter().map(|address| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                let with_port = |mut connection: ConnectionConfig| {
                    connection.port = address.port();
                    connection
                };
                let connections = connections.map(with_port).into();
                NameServerConfig::new(address.ip(), true, connections)
            });
            let config = ResolverConfig::from_name_servers(servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = self.patience;
        options.attempts = 1;
        options.use_hosts_file = match self.nameservers.is_empty() {
            true => ResolveHosts::Always,
            false => ResolveHosts::Never,
        };
        // What is in its cache would not be asked for again.
        options.positive_max_ttl = Some(self.longest);
        options.negative_max_ttl = Some(self.longest);
        builder.build()
    }

    /// Whom to look up, by rising priority; what is no target; and for how long that holds.
    async fn targets(
        &self,
        resolver: &TokioResolver,
    ) -> Result<(Vec<Vec<Target>>, Option<Error>, Duration), Error> {
        if let Some(port) = self.port {
            let host = Target { name: self.name.clone(), port, weight: 1 };
            return Ok((vec![vec![host]], None, self.longest));
        }
        let Answer { records, again } = ask(resolver, &self.name, RecordType::SRV).await?;
        let (groups, left_out) = groups(records.into_iter().filter_map(|record| match record {
            RData::SRV(record) => Some(record),
            _ => None,
        }));
        Ok((groups, left_out, again.min(self.longest)))
    }

    async fn round(&mut self, resolver: &TokioResolver) -> Result<Round, Error> {
        let (groups, left_out, again) = self.targets(resolver).await?;
        let mut round = Round { instances: Vec::new(), left_out, again };
        let last = std::mem::take(&mut self.last);
        for group in groups {
            let mut found = Vec::new();
            let look_ups = stream::iter(group).map(|target| look_up(resolver, target));
            let mut look_ups = look_ups.buffered(AT_A_TIME);
            while let Some((target, answers)) = look_ups.next().await {
                let addresses = self.addresses(&target, answers, &last, &mut round);
                found.push((target, addresses));
            }
            round.instances = instances(&found);
            if !round.instances.is_empty() {
                break;
            }
        }
        match round.left_out.take() {
            Some(error) if round.instances.is_empty() => Err(error),
            left_out => Ok(Round { left_out, ..round }),
        }
    }

    /// The addresses of a target: those that were found last, where it could not be asked for.
    fn addresses(
        &mut self,
        target: &Target,
        answers: Answers,
        last: &Addresses,
        round: &mut Round,
    ) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for (kind, answer) in answers {
            let key = (target.name.clone(), kind);
            let known: Vec<IpAddr> = match answer {
                Ok(answer) => {
                    round.again = round.again.min(answer.again);
                    answer.records.iter().filter_map(RData::ip_addr).collect()
                }
                Err(error) => {
                    round.left_out = Some(error);
                    round.again = SHORTEST;
                    last.get(&key).cloned().unwrap_or_default()
                }
            };
            addresses.extend(&known);
            self.last.insert(key, known);
        }
        // That a host has none is an answer; that a target has none is somebody's mistake.
        if addresses.is_empty() && self.port.is_none() {
            round.left_out.get_or_insert_with(|| {
                Error::new(Code::FailedPrecondition, format!("{} has no address", target.name))
            });
        }
        addresses
    }
}

impl Source for Dns {
    async fn follow(&mut self, found: &Found) -> Result<Infallible, Error> {
        // It is made anew after each failure, as the system's configuration may be another then.
        let resolver = self.resolver().map_err(|error| {
            Error::new(Code::Unavailable, format!("the system's resolver: {error}"))
        })?;
        loop {
            let Round { instances, left_out, again } = self.round(&resolver).await?;
            match left_out {
                None => found.set(instances),
                Some(error) => found.set_partly(instances, error),
            }
            sleep(again.max(SHORTEST)).await;
        }
    }
}

type Answers = [(RecordType, Result<Answer, Error>); 2];

async fn look_up(resolver: &TokioResolver, target: Target) -> (Target, Answers) {
    let (v4, v6) = tokio::join!(
        ask(resolver, &target.name, RecordType::A),
        ask(resolver, &target.name, RecordType::AAAA)
    );
    (target, [(RecordType::A, v4), (RecordType::AAAA, v6)])
}

/// Tells "there is none", which is an answer, from everything that is not.
async fn ask(resolver: &TokioResolver, name: &Name, kind: RecordType) -> Result<Answer, Error> {
    match resolver.lookup(name.clone(), kind).await {
        Ok(lookup) => Ok(Answer {
            records: lookup.answers().iter().map(|record| record.data.clone()).collect(),
            again: lookup.valid_until().saturating_duration_since(Instant::now()),
        }),
        // With name servers in it, this is a server that should not have been asked.
        Err(NetError::Dns(DnsError::NoRecordsFound(NoRecords {
            response_code: ResponseCode::NXDomain | ResponseCode::NoError,
            ns: None,
            negative_ttl,
            ..
        }))) => Ok(Answer {
            records: Vec::new(),
            again: negative_ttl.map_or(NOTHING, |ttl| Duration::from_secs(ttl.into())),
        }),
        Err(error) => Err(Error::of(Code::Unavailable)
            .public(format!("{kind} {name}: {error}"))
            .caused_by(error)),
    }
}
