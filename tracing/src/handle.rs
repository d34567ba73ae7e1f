use crate::{Sampling, tracer::Shared};
use purlin_endpoint::{Inspect, Invalid};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// Reads the state of a [`Tracer`](crate::Tracer), and changes its sampling while calls run.
#[derive(Clone)]
pub struct TracingHandle(pub(crate) Arc<Shared>);

impl TracingHandle {
    /// Which calls are recorded just now.
    pub fn sampling(&self) -> Sampling {
        self.0.sampler.config()
    }

    /// Records these calls from now on.
    ///
    /// # Errors
    ///
    /// If its ratio is not within 0 to 1 or its rate is not above 0; then nothing is changed.
    pub fn update(&self, sampling: Sampling) -> Result<(), Invalid> {
        sampling.check()?;
        self.0.sampler.update(sampling);
        Ok(())
    }

    /// How many spans wait to be exported.
    pub fn queued(&self) -> usize {
        self.0.queued()
    }

    /// How many spans were exported.
    pub fn exported(&self) -> u64 {
        self.0.counts.exported.load(Relaxed)
    }

    /// How many spans were dropped since no room was left for them.
    pub fn dropped(&self) -> u64 {
        self.0.counts.dropped.load(Relaxed)
    }

    /// How many spans the exporter has refused, or failed to export for a minute.
    pub fn refused(&self) -> u64 {
        self.0.counts.refused.load(Relaxed)
    }
}

impl Inspect for TracingHandle {
    fn name(&self) -> String {
        "tracing".into()
    }

    fn snapshot(&self) -> String {
        let Sampling { ratio, at_most, parent } = self.sampling();
        let at_most = at_most.map_or_else(|| "null".to_owned(), |limit| limit.to_string());
        format!(
            r#"{{"sampling":{{"ratio":{ratio},"at_most":{at_most},"parent":{parent}}},"queued":{},"exported":{},"dropped":{},"refused":{}}}"#,
            self.queued(),
            self.exported(),
            self.dropped(),
            self.refused(),
        )
    }
}

impl fmt::Debug for TracingHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TracingHandle").field(&self.0.config).finish()
    }
}
