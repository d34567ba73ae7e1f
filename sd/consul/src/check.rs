use serde_json::{Value, json};
use std::time::Duration;

/// How Consul knows that an instance is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Ttl(Duration),
    Http(String, Duration),
    Grpc(String, Duration),
}

impl Check {
    /// The process says so every third of this time, and counts as ill when it has not for so
    /// long. This is the default, with 15 s.
    pub fn ttl(ttl: Duration) -> Self {
        Self(Kind::Ttl(ttl))
    }

    /// The agent gets this URL so often, and wants a status of success within the interval.
    pub fn http(url: impl Into<String>, interval: Duration) -> Self {
        Self(Kind::Http(url.into(), interval))
    }

    /// The agent asks gRPC's health service so often: `10.0.0.7:9120`, or `10.0.0.7:9120/service`.
    pub fn grpc(address: impl Into<String>, interval: Duration) -> Self {
        Self(Kind::Grpc(address.into(), interval))
    }

    pub(crate) fn is_ttl(&self) -> bool {
        matches!(self.0, Kind::Ttl(_))
    }

    /// How often to look whether the registration stands.
    pub(crate) fn interval(&self) -> Duration {
        match self.0 {
            Kind::Ttl(ttl) => ttl / 3,
            Kind::Http(..) | Kind::Grpc(..) => Duration::from_secs(3),
        }
    }

    /// What the agent is told of it. Who registers is up, so it counts as well until it was asked;
    /// one that was registered before stays as it was, whatever is said here.
    pub(crate) fn told(&self, deregister: Duration) -> Value {
        let mut told = match &self.0 {
            Kind::Ttl(ttl) => json!({ "TTL": text(*ttl) }),
            Kind::Http(url, interval) => json!({ "HTTP": url, "Interval": text(*interval) }),
            Kind::Grpc(address, interval) => {
                json!({ "GRPC": address, "Interval": text(*interval) })
            }
        };
        if let Kind::Http(_, interval) | Kind::Grpc(_, interval) = self.0 {
            told["Timeout"] = text(interval).into();
        }
        told["Status"] = "passing".into();
        told["DeregisterCriticalServiceAfter"] = text(deregister).into();
        told
    }
}

impl Default for Check {
    fn default() -> Self {
        Self::ttl(Duration::from_secs(15))
    }
}

/// As Go writes durations.
pub(crate) fn text(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
