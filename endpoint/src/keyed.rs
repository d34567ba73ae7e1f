use indexmap::{Equivalent, IndexMap};
use std::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState},
    sync::{Mutex, PoisonError},
};

/// A bounded table of states, one for each key: a limit for each tenant, a breaker for each
/// instance.
///
/// It never holds more keys than its limit, whatever callers send. A state that is idle, which is
/// no different from a fresh one, is forgotten as new keys come. When the table is full of states
/// that are not, a new key gets none, and its owner falls back on something that all such keys
/// share; a known key never loses its state to an unknown one.
///
/// ```
/// use purlin_endpoint::Keyed;
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// let calls: Keyed<String, AtomicU32> = Keyed::new(1_000);
/// let call = |tenant: &str| {
///     calls.with(tenant, AtomicU32::default, |count| count.load(Relaxed) == 0, |count| {
///         count.fetch_add(1, Relaxed) + 1
///     })
/// };
/// assert_eq!((call("acme"), call("acme"), call("initech")), (Some(1), Some(2), Some(1)));
/// ```
///
/// Keys are spread over shards, each behind a lock that is held for the work of one call, and each
/// with its share of the limit, so that one may be full a little before the others. They may come
/// from anybody: they are hashed with a secret. Those that are such hashes already
/// are taken as they are: [`KeyedByHash`].
pub struct Keyed<K, V, S = RandomState> {
    shards: Box<[Mutex<Shard<K, V>>]>,
    /// How many keys a shard holds at most.
    room: usize,
    hasher: S,
}

struct Shard<K, V> {
    states: IndexMap<Hashed<K>, V, BuildHasherDefault<Passed>>,
    /// Where to look for idle states next.
    hand: usize,
}

/// How many shards a table has, if its limit leaves room for them.
const SHARDS: usize = 64;

/// How many states are looked at for each new key: two keep the table clean as it grows, and eight
/// find room in a full one without a stop of the world.
const LOOKS: [usize; 2] = [2, 8];

impl<K: Hash + Eq, V> Keyed<K, V> {
    /// A table for up to this many keys. It rounds up to a multiple of its number of shards, which
    /// is 64, or less for a limit under 1,024.
    pub fn new(limit: usize) -> Self {
        Self::hashed_by(RandomState::new(), limit)
    }
}

/// A table whose keys are hashes already, made with a secret: each is hashed once and not twice.
pub type KeyedByHash<V> = Keyed<u64, V, BuildHasherDefault<Passed>>;

impl<V> KeyedByHash<V> {
    /// A table for up to this many keys that are hashes, rounded up [as above](Keyed::new).
    pub fn of_hashes(limit: usize) -> Self {
        Self::hashed_by(BuildHasherDefault::default(), limit)
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Keyed<K, V, S> {
    fn hashed_by(hasher: S, limit: usize) -> Self {
        let shards = (limit / 16).next_power_of_two().clamp(1, SHARDS);
        Self {
            shards: (0..shards).map(|_| Mutex::new(Shard::new())).collect(),
            room: limit.div_ceil(shards),
            hasher,
        }
    }

    /// Works on the state of a key, which is made if there is none.
    ///
    /// `None` if the table is full of states that are not idle.
    pub fn with<Q, T>(
        &self,
        key: &Q,
        make: impl FnOnce() -> V,
        idle: impl Fn(&V) -> bool,
        work: impl FnOnce(&V) -> T,
    ) -> Option<T>
    where
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        K: Borrow<Q>,
    {
        let look = Look { hash: self.hasher.hash_one(key), key };
        let mut shard = self.shard(look.hash);
        if let Some(state) = shard.states.get(&look) {
            return Some(work(state));
        }
        let full = shard.states.len() >= self.room;
        shard.forget_idle(LOOKS[usize::from(full)], idle);
        if shard.states.len() >= self.room {
            return None;
        }
        let state = make();
        let done = work(&state);
        shard.states.insert(Hashed { hash: look.hash, key: key.to_owned() }, state);
        Some(done)
    }

    /// Shows each state in turn, with the lock of its shard held.
    pub fn for_each(&self, mut show: impl FnMut(&K, &V)) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.states.iter().for_each(|(key, state)| show(&key.key, state));
        }
    }

    /// How many keys have a state.
    pub fn len(&self) -> usize {
        let mut keys = 0;
        self.for_each(|_, _| keys += 1);
        keys
    }

    /// Whether no key has a state.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, hash: u64) -> std::sync::MutexGuard<'_, Shard<K, V>> {
        // The map inside takes the lower bits, so the shard is chosen by the upper ones.
        let index = (hash >> 48) as usize & (self.shards.len() - 1);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> Shard<K, V> {
    fn new() -> Self {
        Self { states: IndexMap::default(), hand: 0 }
    }

    fn forget_idle(&mut self, looks: usize, idle: impl Fn(&V) -> bool) {
        for _ in 0..looks.min(self.states.len()) {
            if self.hand >= self.states.len() {
                self.hand = 0;
            }
            match self.states.get_index(self.hand) {
                Some((_, state)) if idle(state) => drop(self.states.swap_remove_index(self.hand)),
                _ => self.hand += 1,
            }
        }
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> fmt::Debug for Keyed<K, V, S> {
    /// Keys are callers' and may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A key with its hash, which is made once.
struct Hashed<K> {
    hash: u64,
    key: K,
}

struct Look<'a, Q: ?Sized> {
    hash: u64,
    key: &'a Q,
}

impl<K> Hash for Hashed<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<Q: ?Sized> Hash for Look<'_, Q> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<K: Eq> PartialEq for Hashed<K> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<K: Eq> Eq for Hashed<K> {}

impl<K: Borrow<Q>, Q: Eq + ?Sized> Equivalent<Hashed<K>> for Look<'_, Q> {
    fn equivalent(&self, other: &Hashed<K>) -> bool {
        self.hash == other.hash && self.key == other.key.borrow()
    }
}

/// Passes on a hash that has been made already.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Passed(u64);

impl Hasher for Passed {
    fn write(&mut self, bytes: &[u8]) {
        // Only `write_u64` is used; this keeps the hash a hash if that ever changes.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn count(table: &Keyed<String, Cell<u32>>, key: &str) -> Option<u32> {
        let add = |count: &Cell<u32>| count.replace(count.get() + 1) + 1;
        table.with(key, Cell::default, |count| count.get() == 0, add)
    }

    #[test]
    fn each_key_has_a_state_of_its_own() {
        let table = Keyed::new(10);
        assert_eq!(
            [count(&table, "a"), count(&table, "a"), count(&table, "b")].map(Option::unwrap),
            [1, 2, 1]
        );
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_full_table_keeps_what_it_has_and_takes_no_more() {
        let table = Keyed::new(3);
        for key in ["a", "b", "c"] {
            assert_eq!(count(&table, key), Some(1));
        }
        assert_eq!(count(&table, "d"), None);
        assert_eq!(count(&table, "a"), Some(2));
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn idle_states_make_room() {
        let table: Keyed<String, Cell<u32>> = Keyed::new(1_000);
        for key in 0..100_000 {
            let made = table.with(&key.to_string(), Cell::default, |_| true, |_| ());
            assert_eq!(made, Some(()));
        }
        assert!(table.len() <= 1_024, "{}", table.len());
    }

    #[test]
    fn hashes_are_keys_too() {
        let secret = RandomState::new();
        let table = Keyed::of_hashes(1_000);
        let call = |name: &str| {
            let add = |count: &Cell<u32>| count.replace(count.get() + 1) + 1;
            table.with(&secret.hash_one(name), Cell::default, |_| false, add)
        };
        assert_eq!([call("a"), call("b"), call("a")], [Some(1), Some(1), Some(2)]);
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_state_that_is_not_idle_outlives_any_number_of_others() {
        let table: Keyed<String, Cell<u32>> = Keyed::new(64);
        assert_eq!(count(&table, "kept"), Some(1));
        for key in 0..100_000 {
            table.with(&key.to_string(), Cell::default, |count| count.get() == 0, |_| ());
        }
        assert_eq!(count(&table, "kept"), Some(2));
    }
}
