use crate::{Balancer, Ejection, policy::Rule};
use purlin_endpoint::{Context, Invalid};
use purlin_sd::{Endpoints, Instance};
use std::{fmt, sync::Arc, time::Duration};

/// How calls are spread over instances.
///
/// The default is [peak EWMA](Self::peak_ewma) with [ejection](Self::ejection) of instances that
/// fail more than others.
#[derive(Clone)]
pub struct Balance {
    pub(crate) rule: Rule,
    pub(crate) key: Option<Arc<Key>>,
    pub(crate) ejection: Option<Ejection>,
    pub(crate) panic_threshold: f64,
    pub(crate) slow_start: Duration,
    pub(crate) zone: Option<String>,
    pub(crate) subset: Option<(usize, u64)>,
    pub(crate) filters: Vec<Filter>,
}

pub(crate) type Key = dyn Fn(&Context) -> Option<u64> + Send + Sync;
pub(crate) type Filter = Arc<dyn Fn(&Instance) -> bool + Send + Sync>;

impl Default for Balance {
    fn default() -> Self {
        Self::peak_ewma()
    }
}

impl Balance {
    fn by(rule: Rule) -> Self {
        Self {
            rule,
            key: None,
            ejection: Some(Ejection::default()),
            panic_threshold: 0.5,
            slow_start: Duration::ZERO,
            zone: None,
            subset: None,
            filters: Vec::new(),
        }
    }

    /// The better of two that are drawn, by latency and calls in flight: power of two choices with
    /// peak EWMA, which takes calls away from an instance that becomes slow at once.
    pub fn peak_ewma() -> Self {
        Self::by(Rule::PeakEwma)
    }

    /// The one with fewer calls in flight of two that are drawn, weights considered. One that fails
    /// counts as busy for a while, however quick it is about it.
    pub fn least_request() -> Self {
        Self::by(Rule::LeastRequest)
    }

    /// Each in turn, whatever its weight. One that fails keeps its turn until it is
    /// [taken out](Self::ejection).
    pub fn round_robin() -> Self {
        Self::by(Rule::RoundRobin)
    }

    /// Each as often as its weight says, evenly spread over time.
    pub fn weighted() -> Self {
        Self::by(Rule::Weighted)
    }

    /// Any.
    pub fn random() -> Self {
        Self::by(Rule::Random)
    }

    /// Always the same for a key, as long as it is there and is not overloaded: consistent hashing
    /// with bounded loads. The function finds the key in the call's context and hashes it with
    /// [`hash`](crate::hash); a call without one goes anywhere.
    pub fn consistent_hash<F>(key: F) -> Self
    where
        F: Fn(&Context) -> Option<u64> + Send + Sync + 'static,
    {
        Self { key: Some(Arc::new(key)), ..Self::by(Rule::ConsistentHash) }
    }

    /// Takes instances out for a while that fail more than others; `None` never does.
    #[must_use]
    pub fn ejection(self, ejection: impl Into<Option<Ejection>>) -> Self {
        Self { ejection: ejection.into(), ..self }
    }

    /// Calls all instances, bad ones too, when less than this share is well: 0.5 unless set, 0 for
    /// never.
    #[must_use]
    pub fn panic_threshold(self, share: f64) -> Self {
        Self { panic_threshold: share, ..self }
    }

    /// Raises what a new instance gets from a tenth of its weight to all of it over this time. The
    /// instances that are there from the start, and round robin and random, which know no weights,
    /// are not slowed.
    #[must_use]
    pub fn slow_start(self, window: Duration) -> Self {
        Self { slow_start: window, ..self }
    }

    /// Prefers instances in this zone, and uses others as far as these can't take it all: see
    /// [`spill`](crate::spill).
    #[must_use]
    pub fn zone(self, zone: impl Into<String>) -> Self {
        Self { zone: Some(zone.into()), ..self }
    }

    /// Uses only so many of the instances, chosen by this process's seed, so that many callers
    /// don't all connect to all instances. A change of one instance changes at most one of them.
    /// Source: gRPC's [A68](https://github.com/grpc/proposal/blob/master/A68-random-subsetting.md).
    #[must_use]
    pub fn subset(self, size: usize, seed: u64) -> Self {
        Self { subset: Some((size, seed)), ..self }
    }

    /// Uses only instances for which this holds: a version, an entry of the metadata.
    #[must_use]
    pub fn filter<F>(mut self, holds: F) -> Self
    where
        F: Fn(&Instance) -> bool + Send + Sync + 'static,
    {
        self.filters.push(Arc::new(holds));
        self
    }

    /// Balances over these endpoints. It must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If a setting makes no sense.
    pub fn over<E>(self, endpoints: Endpoints<E>) -> Result<Balancer<E>, Invalid>
    where
        E: Send + Sync + 'static,
    {
        if let Some(ejection) = &self.ejection {
            ejection.check()?;
        }
        if !(0.0..=1.0).contains(&self.panic_threshold) {
            let why = "must be a number from 0 to 1";
            return Err(Invalid { field: "panic_threshold", why });
        }
        if self.subset.is_some_and(|(size, _)| size == 0) {
            return Err(Invalid { field: "subset", why: "must be at least one" });
        }
        Ok(Balancer::start(self, endpoints))
    }
}

impl fmt::Debug for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance")
            .field("rule", &self.rule)
            .field("ejection", &self.ejection)
            .field("panic_threshold", &self.panic_threshold)
            .field("slow_start", &self.slow_start)
            .field("zone", &self.zone)
            .field("subset", &self.subset)
            .field("filters", &self.filters.len())
            .finish()
    }
}
