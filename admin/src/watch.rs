use crate::{
    record::Record,
    series::{SLOT, Series, Slot},
};
use purlin_endpoint::{
    ByCode, Call, Classify, Context, End, Guard, How, Intercept, InterceptLayer, Intercepted,
    Invalid, Layer, Method, Notes, Observes, Verdict,
};
use serde::Serialize;
use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
};
use tokio::time::Instant;

/// What is kept of the calls that are watched.
///
/// ```
/// use purlin_admin::Watch;
///
/// let layer = Watch::new().calls(50).layer()?;
/// # let _: purlin_admin::WatchLayer = layer;
/// # Ok::<_, purlin_endpoint::Invalid>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    calls: usize,
    per_second: u32,
}

impl Default for Watch {
    fn default() -> Self {
        Self { calls: 100, per_second: 100 }
    }
}

impl Watch {
    /// The last hundred calls, of at most a hundred in a second with notes of their layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many calls are kept, and how many failed ones besides: one to 10,000.
    #[must_use]
    pub fn calls(self, calls: usize) -> Self {
        Self { calls, ..self }
    }

    /// How many calls a second have their layers take notes: each costs them a microsecond or so.
    ///
    /// The others are counted and timed, and kept if they fail.
    #[must_use]
    pub fn per_second(self, per_second: u32) -> Self {
        Self { per_second, ..self }
    }

    /// Makes the layer. All that it wraps is watched together; its [`handle`](WatchLayer::handle)
    /// is for [`Admin::watch`](crate::Admin::watch).
    ///
    /// # Errors
    ///
    /// If the number of calls is out of its bounds.
    pub fn layer(self) -> Result<WatchLayer, Invalid> {
        if !(1..=10_000).contains(&self.calls) {
            return Err(Invalid { field: "calls", why: "is not between 1 and 10,000" });
        }
        let shared = Arc::new(Shared {
            config: self,
            origin: Instant::now(),
            second: AtomicU64::new(0),
            noted: AtomicU32::new(0),
            tracks: Mutex::default(),
            recent: Mutex::default(),
            failed: Mutex::default(),
        });
        Ok(WatchLayer(InterceptLayer::observer(Watching { shared, classify: ByCode })))
    }
}

/// Watches calls, for the page: the outermost layer of a method.
///
/// It counts and times each call until it ends, and keeps the last ones, with the time that they
/// spent in each layer and what the layers had to say.
#[derive(Clone, Debug)]
pub struct WatchLayer<C = ByCode>(InterceptLayer<Watching<C>, Observes>);

impl<C> WatchLayer<C> {
    /// Judges outcomes by this instead of the code of a [`purlin_endpoint::Error`].
    #[must_use]
    pub fn classify<D>(self, classify: D) -> WatchLayer<D> {
        let shared = self.0.intercept().shared.clone();
        WatchLayer(InterceptLayer::observer(Watching { shared, classify }))
    }

    /// What was seen so far.
    pub fn handle(&self) -> Handle {
        Handle(self.0.intercept().shared.clone())
    }
}

impl<C, S> Layer<S> for WatchLayer<C> {
    type Service = Intercepted<Watching<C>, Observes, S>;

    fn layer(&self, inner: S) -> Self::Service {
        self.0.layer(inner)
    }
}

/// What was seen of the calls that a [`WatchLayer`] watches.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    config: Watch,
    origin: Instant,
    /// The second that it is, and how many calls were noted in it.
    second: AtomicU64,
    noted: AtomicU32,
    tracks: Mutex<Vec<Arc<Track>>>,
    recent: Mutex<VecDeque<Record>>,
    failed: Mutex<VecDeque<Record>>,
}

/// What one method did.
struct Track {
    /// `None` for calls that know no method.
    method: Option<&'static Method>,
    in_flight: AtomicI64,
    calls: AtomicU64,
    failed: AtomicU64,
    series: Mutex<Series>,
}

impl Track {
    fn new(method: Option<&'static Method>) -> Self {
        Self {
            method,
            in_flight: AtomicI64::new(0),
            calls: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            series: Mutex::new(Series::new()),
        }
    }

    fn is_of(&self, method: Option<&'static Method>) -> bool {
        match (self.method, method) {
            (Some(known), Some(method)) => std::ptr::eq(known, method),
            (known, method) => known.is_none() && method.is_none(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// There are as many tracks as methods, which are statics: nobody who calls can add one.
    fn track(&self, method: Option<&'static Method>) -> Arc<Track> {
        let mut tracks = lock(&self.tracks);
        if let Some(track) = tracks.iter().find(|track| track.is_of(method)) {
            return track.clone();
        }
        let track = Arc::new(Track::new(method));
        tracks.push(track.clone());
        track
    }

    /// Whether there is room in this second for another call with notes.
    fn takes_notes(&self, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.origin).as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.noted.store(0, Ordering::Relaxed);
        }
        self.noted.fetch_add(1, Ordering::Relaxed) < self.config.per_second
    }

    fn slot(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.origin).as_secs() / SLOT.as_secs()
    }

    fn keep(&self, record: Record) {
        if record.is_failed() {
            push(&self.failed, record.clone(), self.config.calls);
        }
        push(&self.recent, record, self.config.calls);
    }
}

fn push(kept: &Mutex<VecDeque<Record>>, record: Record, most: usize) {
    let mut kept = lock(kept);
    if kept.len() == most {
        kept.pop_front();
    }
    kept.push_back(record);
}

/// What all calls of a [`WatchLayer`] share.
pub struct Watching<C> {
    shared: Arc<Shared>,
    classify: C,
}

impl<C> fmt::Debug for Watching<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl<Req: Call, C> Intercept<Req> for Watching<C> {
    type Guard = Watched<C>;
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, request: &mut Req) -> Result<Watched<C>, Infallible> {
        let started = request.started();
        let track = self.shared.track(request.context().method());
        track.in_flight.fetch_add(1, Ordering::Relaxed);
        let notes = if self.shared.takes_notes(started) { Notes::open() } else { Notes::default() };
        if notes.is_open() {
            let context = request.context_mut();
            *context = std::mem::take(context).with_notes(notes.clone());
        }
        let context = request.context().clone();
        let (watching, verdict) = (self.clone(), Verdict::OK);
        Ok(Watched { watching, track, started, context, notes, verdict, error: None })
    }

    fn name(&self) -> &'static str {
        "watch"
    }
}

/// A call that is watched.
pub struct Watched<C> {
    watching: Arc<Watching<C>>,
    track: Arc<Track>,
    started: Instant,
    context: Context,
    notes: Notes,
    verdict: Verdict,
    error: Option<String>,
}

impl<C, Res, Err> Guard<Res, Err> for Watched<C>
where
    C: Classify<Res, Err>,
    Err: fmt::Display + 'static,
{
    fn response(&mut self, outcome: &mut Result<Res, Err>) {
        self.verdict = self.watching.classify.classify(outcome);
        // What is not kept need not be told.
        if self.notes.is_open() || self.verdict.failed {
            self.error = outcome.as_ref().err().map(|error| format!("{error:#}"));
        }
    }

    fn end(self, end: End<'_>) {
        let Self { watching, track, started, context, notes, verdict, error } = self;
        let shared = &watching.shared;
        let (at, took) = (end.at(started), end.took(started));
        let verdict = end.verdict(verdict, started, context.deadline());
        let error = match end.how() {
            How::Streamed(Err(error)) => Some(format!("{error:#}")),
            How::Panicked => Some("panicked".to_owned()),
            _ => error,
        };
        track.in_flight.fetch_sub(1, Ordering::Relaxed);
        track.calls.fetch_add(1, Ordering::Relaxed);
        track.failed.fetch_add(u64::from(verdict.failed), Ordering::Relaxed);
        lock(&track.series).record(shared.slot(at), took, verdict.failed);
        if notes.is_open() || verdict.failed {
            shared.keep(Record::new(&context, &notes, started, took, verdict, error));
        }
    }
}

impl<C> fmt::Debug for Watched<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

/// What one method did, as the page shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Traffic {
    method: String,
    in_flight: i64,
    calls: u64,
    failed: u64,
    /// The last five minutes, the oldest slot first.
    slots: Vec<Slot>,
}

impl Handle {
    /// How many calls run just now.
    pub fn in_flight(&self) -> u64 {
        let running = |track: &Arc<Track>| track.in_flight.load(Ordering::Relaxed);
        lock(&self.0.tracks).iter().map(running).sum::<i64>().unsigned_abs()
    }

    pub(crate) fn traffic(&self) -> Vec<Traffic> {
        let slot = self.0.slot(Instant::now());
        let tracks = lock(&self.0.tracks).clone();
        let traffic = |track: &Arc<Track>| Traffic {
            method: track.method.map_or_else(|| "-".to_owned(), ToString::to_string),
            in_flight: track.in_flight.load(Ordering::Relaxed),
            calls: track.calls.load(Ordering::Relaxed),
            failed: track.failed.load(Ordering::Relaxed),
            slots: lock(&track.series).read(slot),
        };
        tracks.iter().map(traffic).collect()
    }

    /// The last calls, and the last that failed; the newest first.
    pub(crate) fn calls(&self) -> (Vec<Record>, Vec<Record>) {
        let newest_first =
            |kept: &Mutex<VecDeque<Record>>| lock(kept).iter().rev().cloned().collect();
        (newest_first(&self.0.recent), newest_first(&self.0.failed))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("config", &self.0.config).finish_non_exhaustive()
    }
}
