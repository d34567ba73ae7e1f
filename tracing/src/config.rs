use crate::{Sampling, Spans, Tracer, tracer::Shared};
use purlin_endpoint::Invalid;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What is recorded, for whom, and how much of it is kept until it is exported.
///
/// ```
/// use purlin_tracing::{Sampling, Tracing};
///
/// let tracing = Tracing::new("greeter").sampling(Sampling::ratio(0.1)).resource("host.name", "a");
/// let (tracer, spans) = tracing.tracer()?;
/// # let _ = (tracer, spans);
/// # Ok::<_, purlin_endpoint::Invalid>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct Tracing {
    pub(crate) service: String,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) sampling: Sampling,
    pub(crate) queue: usize,
    pub(crate) batch: usize,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub(crate) interval: Duration,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub(crate) patience: Duration,
}

/// OpenTelemetry's defaults for its batch processor: a queue of 2048 spans, batches of 512, one at
/// least every 5 s. An export, and the last flush, may take 5 s.
impl Default for Tracing {
    fn default() -> Self {
        Self {
            service: "unknown_service".to_owned(),
            resource: BTreeMap::new(),
            sampling: Sampling::default(),
            queue: 2048,
            batch: 512,
            interval: Duration::from_secs(5),
            patience: Duration::from_secs(5),
        }
    }
}

impl Tracing {
    /// Records the calls of this service.
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: service.into(), ..Self::default() }
    }

    /// Says more about whoever makes the spans, as in `service.version`.
    #[must_use]
    pub fn resource(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.resource.insert(name.into(), value.into());
        self
    }

    /// Records these calls.
    #[must_use]
    pub fn sampling(self, sampling: Sampling) -> Self {
        Self { sampling, ..self }
    }

    /// Keeps so many spans until they are exported. Further ones are dropped and counted.
    #[must_use]
    pub fn queue(self, spans: usize) -> Self {
        Self { queue: spans, ..self }
    }

    /// Exports no more than so many spans at once, and as soon as there are as many.
    #[must_use]
    pub fn batch(self, spans: usize) -> Self {
        Self { batch: spans, ..self }
    }

    /// Exports what there is after this time at the latest.
    #[must_use]
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Gives each export, and the whole of the last flush, this much time.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Makes what layers record with, and what [exports](Spans::export) the spans.
    ///
    /// # Errors
    ///
    /// If the sampling's ratio is not within 0 to 1 or its rate is not above 0, the queue or the
    /// batch has no room, or an interval is zero.
    pub fn tracer(self) -> Result<(Tracer, Spans), Invalid> {
        self.sampling.check()?;
        for (field, size) in [("queue", self.queue), ("batch", self.batch)] {
            if size == 0 {
                return Err(Invalid { field, why: "must be at least 1" });
            }
        }
        for (field, time) in [("interval", self.interval), ("patience", self.patience)] {
            if time.is_zero() {
                return Err(Invalid { field, why: "must be more than zero" });
            }
        }
        let shared = Arc::new(Shared::new(self));
        Ok((Tracer(shared.clone()), Spans(shared)))
    }
}
