use crate::{Hedge, Purse, Retry, latencies::Latencies};
use purlin_endpoint::{Inspect, Invalid};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// What a layer shares with its clones, its services and its handles.
pub(crate) struct Live<T> {
    /// For what is not asked on every call.
    config: Mutex<T>,
    pub(crate) purse: Purse,
    /// The purse is somebody else's too, and not for this layer's configuration to change.
    pub(crate) shares: bool,
    pub(crate) repeats: AtomicU64,
    pub(crate) refused: AtomicU64,
}

impl<T: Copy> Live<T> {
    pub(crate) fn new(config: T, purse: Purse, shares: bool) -> Self {
        Self {
            config: Mutex::new(config),
            purse,
            shares,
            repeats: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub(crate) fn config(&self) -> T {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, config: T) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// The members of a snapshot that every layer has.
    fn members(&self) -> String {
        let [repeats, refused] = [&self.repeats, &self.refused].map(|count| count.load(Relaxed));
        let calls = self.purse.calls();
        let left = self.purse.level(Instant::now());
        format!(r#""calls":{calls},"repeats":{repeats},"refused":{refused},"budget_left":{left}"#)
    }
}

/// What a retry needs to know on every call stands beside its configuration, in words of its own.
pub(crate) struct RetryState {
    pub(crate) live: Live<Retry>,
    attempts: AtomicU32,
    /// Nanoseconds; the largest number is none.
    attempt_timeout: AtomicU64,
}

impl RetryState {
    pub(crate) fn new(live: Live<Retry>) -> Self {
        let config = live.config();
        let state = Self { live, attempts: AtomicU32::new(0), attempt_timeout: AtomicU64::new(0) };
        state.set(config);
        state
    }

    fn set(&self, config: Retry) {
        let timeout = config.attempt_timeout.map(|timeout| timeout.as_nanos());
        let timeout = timeout.and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(u64::MAX);
        self.live.set(config);
        self.attempts.store(config.attempts, Relaxed);
        self.attempt_timeout.store(timeout, Relaxed);
    }

    #[inline]
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.load(Relaxed)
    }

    #[inline]
    pub(crate) fn attempt_timeout(&self) -> Option<Duration> {
        let nanos = self.attempt_timeout.load(Relaxed);
        (nanos != u64::MAX).then(|| Duration::from_nanos(nanos))
    }
}

pub(crate) struct HedgeState {
    pub(crate) live: Live<Hedge>,
    pub(crate) latencies: Latencies,
}

macro_rules! reads {
    ($repeats:literal) => {
        /// How many calls have come, through all layers that share the purse.
        pub fn calls(&self) -> u64 {
            self.0.live.purse.calls()
        }

        #[doc = $repeats]
        pub fn repeats(&self) -> u64 {
            self.0.live.repeats.load(Relaxed)
        }

        /// How many times the budget did not allow it.
        pub fn refused(&self) -> u64 {
            self.0.live.refused.load(Relaxed)
        }

        /// The budget that is spent, to be read, changed or shared.
        pub fn purse(&self) -> &Purse {
            &self.0.live.purse
        }
    };
}

/// Reads the state of a [`RetryLayer`](crate::RetryLayer), and changes its configuration.
#[derive(Clone)]
pub struct RetryHandle(pub(crate) Arc<RetryState>);

impl RetryHandle {
    reads!("How many attempts were made after a first one.");

    /// The configuration in force.
    pub fn config(&self) -> Retry {
        self.0.live.config()
    }

    /// Changes the configuration for all calls that come from now on, and forgets no count.
    ///
    /// A purse that is shared keeps its budget: that is changed [by itself](Purse::update).
    ///
    /// # Errors
    ///
    /// What [`Retry::layer`] would refuse: then nothing is changed.
    pub fn update(&self, config: Retry) -> Result<(), Invalid> {
        config.check()?;
        if !self.0.live.shares {
            self.purse().update(config.budget)?;
        }
        self.0.set(config);
        Ok(())
    }
}

impl Inspect for RetryHandle {
    fn name(&self) -> String {
        "retry".to_owned()
    }

    fn snapshot(&self) -> String {
        format!("{{{}}}", self.0.live.members())
    }
}

impl fmt::Debug for RetryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RetryHandle").field(&self.config()).finish()
    }
}

/// Reads the state of a [`HedgeLayer`](crate::HedgeLayer), and changes its configuration.
#[derive(Clone)]
pub struct HedgeHandle(pub(crate) Arc<HedgeState>);

impl HedgeHandle {
    reads!("How many attempts were made beside or after a first one.");

    /// How long a call may take just now before a second attempt is made beside it; `None` while
    /// too few calls were seen.
    pub fn delay(&self) -> Option<Duration> {
        self.0.latencies.delay()
    }

    /// The configuration in force.
    pub fn config(&self) -> Hedge {
        self.0.live.config()
    }

    /// Changes the configuration for all calls that come from now on, and forgets neither counts
    /// nor latencies.
    ///
    /// A purse that is shared keeps its budget: that is changed [by itself](Purse::update).
    ///
    /// # Errors
    ///
    /// What [`Hedge::layer`] would refuse: then nothing is changed.
    pub fn update(&self, config: Hedge) -> Result<(), Invalid> {
        config.check()?;
        if !self.0.live.shares {
            self.purse().update(config.budget)?;
        }
        self.0.live.set(config);
        self.0.latencies.set(config.percentile, config.delay);
        Ok(())
    }
}

impl Inspect for HedgeHandle {
    fn name(&self) -> String {
        "hedge".to_owned()
    }

    fn snapshot(&self) -> String {
        let members = self.0.live.members();
        match self.delay() {
            Some(delay) => format!(r#"{{{members},"delay_ms":{}}}"#, delay.as_secs_f64() * 1e3),
            None => format!(r#"{{{members},"delay_ms":null}}"#),
        }
    }
}

impl fmt::Debug for HedgeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HedgeHandle").field(&self.config()).finish()
    }
}
