//! An instance as Consul writes it.

use purlin_endpoint::{Code, Error};
use purlin_sd::Instance;
use serde::Deserialize;
use std::collections::BTreeMap;

const ID: &str = "purlin-id";
const ZONE: &str = "zone";
const VERSION: &str = "version";

/// What the health API says of an instance.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Entry {
    node: Node,
    service: Service,
    #[serde(default)]
    checks: Vec<Checked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    node: String,
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: u16,
    // Consul writes null for none.
    tags: Option<Vec<String>>,
    meta: Option<BTreeMap<String, String>>,
    weights: Option<Weights>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    passing: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Checked {
    status: String,
}

impl Entry {
    pub(crate) fn has(&self, tags: &[String]) -> bool {
        let own = self.service.tags.as_deref().unwrap_or_default();
        tags.iter().all(|tag| own.contains(tag))
    }

    pub(crate) fn has_port(&self) -> bool {
        self.service.port != 0
    }

    /// Why it is no instance.
    pub(crate) fn left_out(&self) -> Error {
        let (node, id) = (&self.node.node, &self.service.id);
        Error::new(Code::FailedPrecondition, format!("the service {id} of {node} has no port"))
    }

    pub(crate) fn instance(self) -> Instance {
        let Self { node, service, checks } = self;
        let mut metadata = service.meta.unwrap_or_default();
        let host = if service.address.is_empty() { node.address } else { service.address };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Instance {
            // The id of a service is unique on its node only.
            id: metadata.remove(ID).unwrap_or_else(|| format!("{}/{}", node.node, service.id)),
            address: format!("{host}:{}", service.port),
            weight: service.weights.map_or(1, |weights| weights.passing),
            zone: metadata.remove(ZONE),
            version: metadata.remove(VERSION),
            metadata,
            healthy: checks.iter().all(|check| check.status == "passing"),
        }
    }
}

/// An instance as it is registered.
#[derive(Debug, PartialEq)]
pub(crate) struct Written {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) meta: BTreeMap<String, String>,
}

/// Finds what Consul would refuse, or what would not come back as it was.
pub(crate) fn written(instance: &Instance) -> Result<Written, Error> {
    let (host, port) = instance.address.rsplit_once(':').unwrap_or_default();
    let port = match port.parse() {
        Ok(port) if port > 0 && !host.is_empty() => port,
        _ => return Err(Error::invalid("address", "must have a host and a port")),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if !(1..=65535).contains(&instance.weight) {
        return Err(Error::invalid("weight", "must be from 1 to 65535 in Consul"));
    }
    let mut meta = BTreeMap::new();
    for (key, value) in &instance.metadata {
        if [ID, ZONE, VERSION].contains(&key.as_str()) {
            return Err(Error::invalid("metadata", format!("must not have the key {key}")));
        }
        meta.insert(key.clone(), value.clone());
    }
    meta.insert(ID.into(), instance.id.clone());
    meta.extend(instance.zone.clone().map(|zone| (ZONE.into(), zone)));
    meta.extend(instance.version.clone().map(|version| (VERSION.into(), version)));
    for (key, value) in &meta {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if key.is_empty() || key.len() > 128 || !key.bytes().all(plain) || value.len() > 512 {
            let why = format!("has {key:?} of {} bytes, which Consul does not take", value.len());
            return Err(Error::invalid("metadata", why));
        }
    }
    if meta.len() > 64 {
        return Err(Error::invalid("metadata", "has more than the 61 members that Consul takes"));
    }
    Ok(Written { host, port, meta })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(instance: &Instance) -> String {
        written(instance).unwrap_err().to_string()
    }

    #[test]
    fn an_address_needs_a_host_and_a_port() {
        for address in ["", "a", "a:", ":1", "a:0", "a:65536", "a:b"] {
            assert_eq!(refusal(&Instance::new(address)), "address must have a host and a port");
        }
        let written = written(&Instance::new("[::1]:9110")).unwrap();
        assert_eq!((&*written.host, written.port), ("::1", 9110));
    }

    #[test]
    fn what_consul_has_no_room_for_is_refused() {
        let with = |key: String, value: String| Instance {
            metadata: [(key, value)].into(),
            ..Instance::new("a:1")
        };
        assert!(written(&with("k".repeat(128), "v".repeat(512))).is_ok());
        assert!(refusal(&with("k".repeat(129), String::new())).contains("does not take"));
        assert!(refusal(&with("k".into(), "v".repeat(513))).contains("\"k\" of 513 bytes"));
        assert!(refusal(&with("a.b".into(), String::new())).contains("\"a.b\""));
        assert_eq!(
            refusal(&with("zone".into(), "a".into())),
            "metadata must not have the key zone"
        );
        for weight in [0, 65536] {
            let instance = Instance { weight, ..Instance::new("a:1") };
            assert_eq!(refusal(&instance), "weight must be from 1 to 65535 in Consul");
        }
        let metadata = (0..64).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(refusal(&Instance { metadata, ..Instance::new("a:1") }).contains("more than"));
    }
}
