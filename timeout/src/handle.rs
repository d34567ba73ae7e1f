use crate::Timeout;
use purlin_endpoint::{Inspect, Invalid};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Reads and changes the limit of a layer while calls run.
///
/// ```
/// use purlin_timeout::Timeout;
/// use std::time::Duration;
///
/// let layer = Timeout::new(Duration::from_secs(1)).layer()?;
/// let handle = layer.handle();
/// handle.update(Timeout::new(Duration::from_millis(250)))?;
/// assert_eq!(handle.config(), Timeout::new(Duration::from_millis(250)));
/// # Ok::<_, purlin_endpoint::Invalid>(())
/// ```
#[derive(Clone, Debug)]
pub struct Handle(Arc<AtomicU64>);

impl Handle {
    pub(crate) fn new(timeout: Timeout) -> Self {
        Self(Arc::new(AtomicU64::new(nanos(timeout))))
    }

    /// The limit of calls that come now.
    #[inline]
    pub fn config(&self) -> Timeout {
        Timeout::new(Duration::from_nanos(self.0.load(Relaxed)))
    }

    /// Gives calls that come from now on this limit.
    ///
    /// # Errors
    ///
    /// As for [`Timeout::layer`]; then nothing is changed.
    pub fn update(&self, timeout: Timeout) -> Result<(), Invalid> {
        timeout.check()?;
        self.0.store(nanos(timeout), Relaxed);
        Ok(())
    }
}

impl Inspect for Handle {
    fn name(&self) -> String {
        "timeout".into()
    }

    fn snapshot(&self) -> String {
        format!(r#"{{"limit":"{:?}"}}"#, self.config().limit)
    }
}

/// Five hundred years are as good as for ever.
fn nanos(timeout: Timeout) -> u64 {
    u64::try_from(timeout.limit.as_nanos()).unwrap_or(u64::MAX)
}
