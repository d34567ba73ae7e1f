use crate::{
    CircuitBreaker, Events, Forced, State,
    table::{Common, Entry, Table},
};
use purlin_endpoint::{Inspect, Invalid, quote_json};
use std::{
    fmt::{self, Write as _},
    sync::{Arc, atomic::Ordering},
};
use tokio::time::Instant;

/// Reads and changes the breakers of a layer while calls run.
///
/// ```
/// use purlin_circuitbreaker::{CircuitBreaker, Forced, State};
///
/// let layer = CircuitBreaker::new().layer()?;
/// let handle = layer.handle();
///
/// handle.force(Forced::Open);
/// assert_eq!(handle.status()[0].state, State::ForcedOpen);
/// handle.release();
/// assert_eq!(handle.status()[0].state, State::Closed);
/// # Ok::<_, purlin_endpoint::Invalid>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    pub(crate) common: Arc<Common>,
    pub(crate) table: Arc<dyn Table>,
}

/// What one breaker is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whose breaker: the method's or the key's name, or `*` for that of all calls without one.
    pub key: Arc<str>,
    /// Its state.
    pub state: State,
    /// How many results its window holds; if it is half-open, how many there are since then.
    pub calls: u32,
    /// How many of them are failures.
    pub failed: u32,
    /// How many of them were slow.
    pub slow: u32,
    /// How many calls are running that were let in as it was half-open.
    pub probing: u32,
    /// How many calls it has refused.
    pub refused: u64,
}

impl Handle {
    /// What each breaker is doing, as of its last call. The first is that of calls without a key.
    pub fn status(&self) -> Vec<Status> {
        self.table.all().iter().map(|entry| Status::of(entry)).collect()
    }

    /// Holds all breakers in a state, those to come included, until they are
    /// [released](Self::release).
    pub fn force(&self, forced: Forced) {
        self.force_all(Some(forced));
    }

    /// Lets all breakers go that are forced. They are closed then, with an empty window.
    pub fn release(&self) {
        self.force_all(None);
    }

    /// Holds the breaker of this key in a state, or with `None` lets it go.
    ///
    /// `false` if there is none.
    pub fn force_only(&self, key: &str, forced: impl Into<Option<Forced>>) -> bool {
        let found = self.table.all().into_iter().find(|entry| &*entry.key == key);
        found.is_some_and(|entry| {
            entry.force(forced.into());
            true
        })
    }

    /// Takes other settings. All breakers stay in their state.
    ///
    /// A window of calls keeps the newest as it changes its length; any other starts empty if it
    /// changes. What an open breaker was to wait, it waits.
    ///
    /// # Errors
    ///
    /// As for [`CircuitBreaker::layer`]; then nothing is changed.
    pub fn update(&self, config: CircuitBreaker) -> Result<(), Invalid> {
        config.check()?;
        self.common.template().config = config;
        let now = Instant::now();
        self.table.all().iter().for_each(|entry| entry.breaker.configure(config, now));
        Ok(())
    }

    /// The settings.
    pub fn config(&self) -> CircuitBreaker {
        self.common.template().config
    }

    /// What happens to the breakers from now on.
    pub fn events(&self) -> Events {
        self.common.feed.events()
    }

    fn force_all(&self, forced: Option<Forced>) {
        // Whoever makes a breaker has read this before it can be found, or reads it afterwards.
        self.common.template().forced = forced;
        self.table.all().iter().for_each(|entry| entry.force(forced));
    }
}

impl Status {
    fn of(entry: &Entry) -> Self {
        let tally = entry.breaker.tally();
        Self {
            key: entry.key.clone(),
            state: entry.breaker.state(),
            calls: tally.calls,
            failed: tally.failed,
            slow: tally.slow,
            probing: entry.breaker.probing(),
            refused: entry.refused.load(Ordering::Relaxed),
        }
    }
}

/// Shows all breakers as a JSON array of objects.
impl Inspect for Handle {
    fn name(&self) -> String {
        "circuitbreaker".to_owned()
    }

    fn snapshot(&self) -> String {
        let mut json = String::from("[");
        for status in self.status() {
            let Status { key, state, calls, failed, slow, probing, refused } = status;
            json += if json.len() > 1 { ",{\"key\":" } else { "{\"key\":" };
            quote_json(&mut json, &key);
            // Writing to a string can't fail.
            let _ = write!(
                json,
                r#","state":"{state}","calls":{calls},"failed":{failed},"slow":{slow},"probing":{probing},"refused":{refused}}}"#,
            );
        }
        json + "]"
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("common", &self.common).finish_non_exhaustive()
    }
}
