use crate::{ConcurrencyLimit, limiter::Limiter, queue::LEVELS};
use purlin_endpoint::{Criticality, Inspect, Invalid};
use std::sync::Arc;

/// Reads and changes a limit while calls run. Clones are handles of the same limit.
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) Arc<Limiter>);

impl Handle {
    /// How many calls are in flight.
    pub fn in_flight(&self) -> u32 {
        self.0.in_flight()
    }

    /// How many calls wait.
    pub fn waiting(&self) -> u32 {
        self.0.waiting()
    }

    /// How many calls may be in flight just now.
    pub fn limit(&self) -> u32 {
        self.0.limit(Criticality::CriticalPlus)
    }

    /// How many calls of this criticality were refused so far.
    pub fn shed(&self, criticality: Criticality) -> u64 {
        self.0.shed(criticality)
    }

    /// Changes the configuration. Calls in flight go on, those that wait keep their place and their
    /// patience, and what an adaptive limit has found stays within the new bounds.
    ///
    /// # Errors
    ///
    /// As [`ConcurrencyLimit::layer`]; nothing is changed then.
    pub fn update(&self, config: ConcurrencyLimit) -> Result<(), Invalid> {
        self.0.update(config)
    }
}

impl Inspect for Handle {
    fn name(&self) -> String {
        "concurrency".to_owned()
    }

    fn snapshot(&self) -> String {
        let (limit, in_flight, waiting) = (self.limit(), self.in_flight(), self.waiting());
        let shed = LEVELS.map(|level| format!(r#""{}":{}"#, level.as_str(), self.shed(level)));
        let shed = shed.join(",");
        format!(
            r#"{{"limit":{limit},"in_flight":{in_flight},"waiting":{waiting},"shed":{{{shed}}}}}"#
        )
    }
}
