use crate::{
    Key, Limited, RateLimit,
    bucket::{Bucket, Taken, Terms, nanos},
    limit::FindKey,
};
use purlin_endpoint::{Call, Context, Invalid, Keyed, KeyedByHash};
use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// What all clones of a layer share.
pub(crate) struct State {
    /// The one bucket, or the one of calls without a key and of keys without room.
    shared: Bucket,
    keys: Option<Keys>,
    birth: Instant,
    /// How often the limit was changed.
    changes: AtomicU64,
    limit: Mutex<RateLimit>,
    refused: AtomicU64,
    crowded: AtomicU64,
}

/// A service's own copy of the limit, so that no call takes a lock for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    terms: Terms,
    /// The number of the change that it is from.
    changes: u64,
}

struct Keys {
    find: FindKey,
    secret: RandomState,
    /// Keys are remembered by their hashes under a secret: no caller's name stays in memory, and
    /// of ten thousand keys any two share a bucket once in 10^11 times.
    buckets: KeyedByHash<Bucket>,
}

impl State {
    pub(crate) fn new(
        limit: RateLimit,
        by: Option<(FindKey, usize)>,
    ) -> Result<Arc<Self>, Invalid> {
        limit.check()?;
        let keys = by.map(|(find, most)| Keys {
            find,
            secret: RandomState::new(),
            buckets: Keyed::of_hashes(most),
        });
        Ok(Arc::new(Self {
            shared: Bucket::default(),
            keys,
            birth: Instant::now(),
            changes: AtomicU64::new(0),
            limit: Mutex::new(limit),
            refused: AtomicU64::new(0),
            crowded: AtomicU64::new(0),
        }))
    }

    /// Takes a token for a call: `None` if it may go on at once.
    #[inline]
    pub(crate) fn admit<Req: Call>(
        self: &Arc<Self>,
        known: &mut Known,
        request: &mut Req,
    ) -> Result<Option<Place>, Limited> {
        if self.changes.load(Ordering::Acquire) != known.changes {
            *known = self.known();
        }
        let started = self.instant(request.started());
        let key = self.keys.as_ref().and_then(|keys| keys.hash(request.context()));
        let admitted = match self.bucket(key, started, |b| b.take(&known.terms, started, 0)) {
            Ok(_) => Ok(None),
            Err(_) => self.admit_late(&known.terms, key, request.context().deadline()),
        };
        if self.changes.load(Ordering::Acquire) != known.changes {
            self.settle(key);
        }
        admitted
    }

    /// Decides about a call that found no token as of its start: it may have been a while since.
    #[cold]
    fn admit_late(
        self: &Arc<Self>,
        terms: &Terms,
        key: Option<u64>,
        deadline: Option<Instant>,
    ) -> Result<Option<Place>, Limited> {
        let at = Instant::now();
        let now = self.instant(at);
        let left = deadline.map(|deadline| nanos(deadline.saturating_duration_since(at)));
        let patience = left.map_or(terms.patience, |left| left.min(terms.patience));
        match self.bucket(key, now, |bucket| bucket.take(terms, now, patience)) {
            Ok(Taken { wait: 0, .. }) => Ok(None),
            Ok(taken) => {
                let turn = at + Duration::from_nanos(taken.wait);
                Ok(Some(Place { state: self.clone(), key, taken: Some(taken), turn }))
            }
            Err(wait) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(Limited { retry_after: Duration::from_nanos(wait) })
            }
        }
    }

    /// Cleans up after a call that took a token while the limit changed: at one an hour, it would
    /// keep others out of a bucket that now gets a hundred a second.
    #[cold]
    fn settle(&self, key: Option<u64>) {
        let (terms, now) = (self.known().terms, self.instant(Instant::now()));
        self.bucket(key, now, |bucket| bucket.settle(&terms, now));
    }

    #[inline]
    fn bucket<T>(&self, key: Option<u64>, now: u64, work: impl Fn(&Bucket) -> T) -> T {
        let (Some(keys), Some(key)) = (&self.keys, key) else { return work(&self.shared) };
        let own = keys.buckets.with(&key, Bucket::default, |bucket| bucket.is_full(now), &work);
        own.unwrap_or_else(|| {
            self.crowded.fetch_add(1, Ordering::Relaxed);
            work(&self.shared)
        })
    }

    /// The instant as buckets know it. Whatever was before the first is the first.
    #[inline]
    fn instant(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.birth))
    }

    pub(crate) fn known(&self) -> Known {
        // The number comes first: a limit that changes in between is then looked up once more.
        let changes = self.changes.load(Ordering::Acquire);
        Known { terms: Terms::of(&self.limit()), changes }
    }

    pub(crate) fn limit(&self) -> MutexGuard<'_, RateLimit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn update(&self, limit: RateLimit) -> Result<(), Invalid> {
        limit.check()?;
        let mut current = self.limit();
        let (old, new) = (Terms::of(&current), Terms::of(&limit));
        *current = limit;
        self.changes.fetch_add(1, Ordering::Release);
        let now = self.instant(Instant::now());
        self.shared.change(&old, &new, now);
        if let Some(keys) = &self.keys {
            keys.buckets.for_each(|_, bucket| bucket.change(&old, &new, now));
        }
        Ok(())
    }

    pub(crate) fn tokens(&self) -> u64 {
        self.shared.tokens(&Terms::of(&self.limit()), self.instant(Instant::now()))
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn crowded(&self) -> u64 {
        self.crowded.load(Ordering::Relaxed)
    }
}

impl Keys {
    fn hash(&self, context: &Context) -> Option<u64> {
        (self.find)(context).map(|key: Key<'_>| self.secret.hash_one(key))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("limit", &*self.limit()).finish_non_exhaustive()
    }
}

/// A call's place among those that wait. Dropped before its turn, it is given up.
pub(crate) struct Place {
    pub(crate) turn: Instant,
    state: Arc<State>,
    key: Option<u64>,
    /// `None` once the turn has come.
    taken: Option<Taken>,
}

impl Place {
    /// The turn has come: the token is the call's.
    pub(crate) fn leave(mut self) {
        self.taken = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(taken) = self.taken {
            self.state.bucket(self.key, 0, |bucket| bucket.give_back(taken));
        }
    }
}
