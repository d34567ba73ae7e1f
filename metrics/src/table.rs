use std::sync::OnceLock;

/// Values by number, bounded, that are made once and then read without a lock.
///
/// It is a hash table with open addressing of cells that are each written once: a reader follows
/// the same few cells as the writer did. Nothing is ever taken out, so the bound is for good.
pub(crate) struct Table<V> {
    cells: Box<[OnceLock<(usize, V)>]>,
}

impl<V> Table<V> {
    /// A table for so many values: a power of two.
    pub(crate) fn new(most: usize) -> Self {
        Self { cells: (0..most.next_power_of_two()).map(|_| OnceLock::new()).collect() }
    }

    /// The value of this key, made now if it is new: nothing if the table is full of others.
    #[inline]
    pub(crate) fn get(&self, key: usize, make: impl Fn() -> V) -> Option<&V> {
        let mask = self.cells.len() - 1;
        // Fibonacci hashing: addresses and small numbers alike are spread by their upper bits.
        let start = (key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        for step in 0..self.cells.len() {
            let cell = self.cells.get((start as usize + step) & mask)?;
            let (known, value) = cell.get_or_init(|| (key, make()));
            if *known == key {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[test]
    fn a_value_is_made_once_and_found_again() {
        let (table, made) = (Table::new(64), AtomicUsize::new(0));
        let get = |key| table.get(key, || made.fetch_add(1, Relaxed) + key).copied();
        let first: Vec<_> = (0..64).map(get).collect();
        let second: Vec<_> = (0..64).map(get).collect();
        assert_eq!((first, made.load(Relaxed)), (second, 64));
    }

    #[test]
    fn a_full_table_takes_no_other_and_keeps_its_own() {
        let table = Table::new(4);
        for key in 0..4 {
            assert_eq!(table.get(key, || key), Some(&key));
        }
        assert_eq!(table.get(4, || unreachable!("there is no room")), None);
        assert_eq!(table.get(3, || 0), Some(&3));
    }

    #[test]
    fn threads_that_ask_at_once_get_one_value() {
        let (table, made) = (Table::new(32), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for key in 0..32 {
                        table.get(key, || made.fetch_add(1, Relaxed));
                    }
                });
            }
        });
        assert_eq!(made.load(Relaxed), 32);
    }
}
