use std::collections::BTreeMap;

/// One process that serves, as a registry knows it.
///
/// ```
/// use purlin_sd::Instance;
///
/// let instance = Instance { zone: Some("eu-1".into()), ..Instance::new("10.0.0.7:9110") };
/// assert_eq!(instance.id, instance.address);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, from = "Written"))]
pub struct Instance {
    /// What tells it from all others of its service, stable for the life of the process. The
    /// address unless set.
    pub id: String,
    /// Where it is reached: `10.0.0.7:9110`, `[::1]:9110`, `host.example:9110`.
    pub address: String,
    /// How much it takes beside the others: one of weight 2 gets twice what one of 1 gets. With 0
    /// it gets nothing as long as there are others.
    pub weight: u32,
    /// The zone it runs in, for those who prefer their own.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub zone: Option<String>,
    /// The version that it runs.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub version: Option<String>,
    /// Whatever else is known.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "BTreeMap::is_empty"))]
    pub metadata: BTreeMap<String, String>,
    /// Whether its registry holds it to be well.
    pub healthy: bool,
}

impl Instance {
    /// An instance of weight 1 that is well, of which nothing but its address is known.
    pub fn new(address: impl Into<String>) -> Self {
        let address = address.into();
        Self {
            id: address.clone(),
            address,
            weight: 1,
            zone: None,
            version: None,
            metadata: BTreeMap::new(),
            healthy: true,
        }
    }
}

/// What may be left out in a text, and what it then is.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: Option<String>,
    address: String,
    weight: Option<u32>,
    zone: Option<String>,
    version: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    healthy: Option<bool>,
}

#[cfg(feature = "serde")]
impl From<Written> for Instance {
    fn from(written: Written) -> Self {
        let Written { id, address, weight, zone, version, metadata, healthy } = written;
        Self {
            id: id.unwrap_or_else(|| address.clone()),
            address,
            weight: weight.unwrap_or(1),
            zone,
            version,
            metadata,
            healthy: healthy.unwrap_or(true),
        }
    }
}
