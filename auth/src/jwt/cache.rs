use super::KeySet;
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Remembers a bounded number of tokens that were verified, and what they were found to be.
///
/// They are kept as they are, under a keyed hash: what is found is the very same token. Each of a
/// shard's two generations has half of its room; when the younger one is full, the older one is
/// forgotten.
pub(crate) struct Cache<V> {
    shards: Box<[Mutex<Generations<V>>]>,
    room: usize,
    /// How many tokens there are, for who must not hold up calls by looking.
    count: AtomicUsize,
    secret: RandomState,
}

struct Generations<V> {
    young: HashMap<Box<str>, Entry<V>>,
    old: HashMap<Box<str>, Entry<V>>,
}

struct Entry<V> {
    value: V,
    /// The keys it was verified with: with others, it has to be verified again.
    keys: Arc<KeySet>,
}

const SHARDS: usize = 16;

impl<V: Clone> Cache<V> {
    pub(crate) fn new(tokens: usize) -> Self {
        let empty = || Generations { young: HashMap::new(), old: HashMap::new() };
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(empty())).collect(),
            room: tokens.div_ceil(2 * SHARDS),
            count: AtomicUsize::new(0),
            secret: RandomState::new(),
        }
    }

    /// What this token was found to be, with these keys.
    pub(crate) fn get(&self, token: &str, keys: &Arc<KeySet>) -> Option<V> {
        let mut generations = self.shard(token);
        let Generations { young, old } = &mut *generations;
        if let Some(entry) = young.get(token) {
            return Arc::ptr_eq(&entry.keys, keys).then(|| entry.value.clone());
        }
        let (token, entry) = old.remove_entry(token)?;
        self.count.fetch_sub(1, Relaxed);
        let value = Arc::ptr_eq(&entry.keys, keys).then(|| entry.value.clone())?;
        self.insert(&mut generations, token, entry);
        Some(value)
    }

    pub(crate) fn put(&self, token: &str, value: V, keys: Arc<KeySet>) {
        self.insert(&mut self.shard(token), token.into(), Entry { value, keys });
    }

    fn insert(&self, generations: &mut Generations<V>, token: Box<str>, entry: Entry<V>) {
        if generations.young.len() >= self.room {
            let forgotten = mem::replace(&mut generations.old, mem::take(&mut generations.young));
            self.count.fetch_sub(forgotten.len(), Relaxed);
        }
        if generations.young.insert(token, entry).is_none() {
            self.count.fetch_add(1, Relaxed);
        }
    }

    /// How many tokens there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    fn shard(&self, token: &str) -> std::sync::MutexGuard<'_, Generations<V>> {
        let index = self.secret.hash_one(token) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::Key;

    #[test]
    fn no_more_is_remembered_than_there_is_room_for_and_what_is_used_is_kept() {
        let keys: Arc<KeySet> = Arc::new(Key::guessable_secret(b"a").into());
        let cache = Cache::new(320);
        cache.put("used", 0, keys.clone());
        for n in 1..10_000 {
            cache.put(&n.to_string(), n, keys.clone());
            assert_eq!(cache.get("used", &keys), Some(0));
        }
        let kept: usize = cache
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap())
            .map(|shard| shard.young.len() + shard.old.len())
            .sum();
        assert!((160..=320).contains(&kept), "{kept}");
        assert_eq!(cache.count(), kept);
    }

    #[test]
    fn other_keys_have_verified_nothing_yet() {
        let first: Arc<KeySet> = Arc::new(Key::guessable_secret(b"a").into());
        let second: Arc<KeySet> = Arc::new(Key::guessable_secret(b"a").into());
        let cache = Cache::new(100);
        cache.put("token", 1, first.clone());
        assert_eq!((cache.get("token", &first), cache.get("token", &second)), (Some(1), None));
        assert_eq!(cache.get("another", &first), None);
    }
}
