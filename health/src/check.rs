use crate::{Checked, Health};
use futures_util::{FutureExt as _, future::BoxFuture};
use std::{
    borrow::Cow,
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync,
    time::{Instant, timeout},
};

/// A question that is asked when somebody wants to know whether the process is ready.
pub struct Check {
    name: Cow<'static, str>,
    probe: Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
    limit: Duration,
    fresh: Duration,
}

impl Check {
    /// A check that passes when the future of this function returns `Ok`.
    pub fn new<F, Fut, E>(name: impl Into<Cow<'static, str>>, probe: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let probe = move || probe().map(|result| result.map_err(|error| error.to_string())).boxed();
        Self {
            name: name.into(),
            probe: Box::new(probe),
            limit: Duration::from_secs(1),
            fresh: Duration::from_secs(1),
        }
    }

    /// How long an answer may take, 1 s by default. After that the check has failed.
    #[must_use]
    pub fn limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// How long an answer is good for everybody who asks, 1 s by default.
    #[must_use]
    pub fn fresh(self, fresh: Duration) -> Self {
        Self { fresh, ..self }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Something that somebody knows to be as it should be, or not: a registration, a first
/// configuration. It is closed until it is opened.
#[derive(Clone)]
pub struct Gate {
    pub(crate) entry: Arc<Entry>,
    pub(crate) health: Health,
}

impl Gate {
    /// It is as it should be.
    pub fn open(&self) {
        self.entry.set(State { at: Some(Instant::now()), ..State::passed() });
        self.health.tell();
    }

    /// It is not as it should be, for this reason.
    pub fn close(&self, why: impl Into<String>) {
        self.entry.set(State { at: Some(Instant::now()), ..State::failed(why) });
        self.health.tell();
    }

    /// Opens or closes it.
    pub fn set(&self, open: bool) {
        if open { self.open() } else { self.close("closed") }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.entry.state().why.is_none();
        f.debug_struct("Gate").field("name", &self.entry.name).field("open", &open).finish()
    }
}

/// A check or a gate, with what is known of it.
pub(crate) struct Entry {
    pub(crate) name: Cow<'static, str>,
    state: Mutex<State>,
    asked: Option<Asked>,
}

struct Asked {
    check: Check,
    /// Held by the one who asks, so that others wait for that answer instead of asking too. If
    /// that one is dropped, the next one asks.
    turn: sync::Mutex<()>,
}

#[derive(Clone)]
pub(crate) struct State {
    /// Why it failed; `None` if it passed.
    why: Option<String>,
    took: Duration,
    /// When the answer came; `None` before the first.
    at: Option<Instant>,
}

impl State {
    fn passed() -> Self {
        Self { why: None, took: Duration::ZERO, at: None }
    }

    fn failed(why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..Self::passed() }
    }
}

impl Entry {
    pub(crate) fn gate(name: Cow<'static, str>) -> Self {
        Self { name, state: Mutex::new(State::failed("not open yet")), asked: None }
    }

    pub(crate) fn check(check: Check) -> Self {
        Self {
            name: check.name.clone(),
            state: Mutex::new(State::failed("not checked yet")),
            asked: Some(Asked { check, turn: sync::Mutex::new(()) }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state() = state;
    }

    pub(crate) fn passes(&self) -> bool {
        self.state().why.is_none()
    }

    pub(crate) fn result(&self) -> Checked {
        let State { why, took, .. } = self.state().clone();
        Checked { name: self.name.clone(), why, took }
    }

    /// Asks, unless there is an answer that is still good, or one comes while this waits.
    pub(crate) async fn ask(&self) {
        let Some(Asked { check, turn }) = &self.asked else { return };
        let arrived = Instant::now();
        let good = |at: Instant| at.elapsed() < check.fresh || at >= arrived;
        if self.state().at.is_some_and(good) {
            return;
        }
        let _turn = turn.lock().await;
        if self.state().at.is_some_and(good) {
            return;
        }
        let began = Instant::now();
        let answer = AssertUnwindSafe(async { (check.probe)().await }).catch_unwind();
        let state = match timeout(check.limit, answer).await {
            Ok(Ok(Ok(()))) => State::passed(),
            Ok(Ok(Err(why))) => State::failed(why),
            Ok(Err(_)) => State::failed("panicked"),
            Err(_) => State::failed(format!("no answer within {:?}", check.limit)),
        };
        let now = Instant::now();
        self.set(State { took: now - began, at: Some(now), ..state });
    }
}
