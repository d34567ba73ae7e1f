use super::pair::Pair;
use crate::Principal;
use ring::{hmac, rand::SystemRandom};
use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// No more passwords are remembered at once.
const MOST: usize = 10_000;

/// Passwords that were right a moment ago, as HMACs with a key that nobody has.
pub(crate) struct Remembered {
    period: Duration,
    key: hmac::Key,
    known: Mutex<HashMap<[u8; 32], (Principal, Instant)>>,
    /// How many there are, for who must not hold up calls by looking.
    count: AtomicUsize,
}

impl Remembered {
    /// `None` if nothing is to be remembered, or the system has no random numbers.
    pub(crate) fn new(period: Duration) -> Option<Self> {
        if period.is_zero() {
            return None;
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok()?;
        Some(Self { period, key, known: Mutex::default(), count: AtomicUsize::new(0) })
    }

    pub(crate) fn get(&self, pair: &Pair, now: Instant) -> Option<Principal> {
        let known = self.known();
        let (principal, until) = known.get(&self.digest(pair))?;
        (now < *until).then(|| principal.clone())
    }

    /// Only who was right is remembered, so that nobody else can fill the room.
    pub(crate) fn put(&self, pair: &Pair, principal: Principal, now: Instant) {
        let digest = self.digest(pair);
        let mut known = self.known();
        if known.len() >= MOST {
            known.retain(|_, (_, until)| now < *until);
        }
        if known.len() < MOST {
            known.insert(digest, (principal, now + self.period));
        }
        self.count.store(known.len(), Relaxed);
    }

    /// How many there are, with those whose time is over and whose room nobody has needed.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    fn digest(&self, pair: &Pair) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(hmac::sign(&self.key, pair.bytes()).as_ref());
        digest
    }

    fn known(&self) -> MutexGuard<'_, HashMap<[u8; 32], (Principal, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
