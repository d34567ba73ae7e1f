//! Consistent hashing with bounded loads.

use twox_hash::XxHash64;

/// A hash on which all processes agree, whatever they run on: XXH64 with seed 0.
pub fn hash(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// Points on a circle, each belonging to an instance.
#[derive(Debug, Default)]
pub(crate) struct Ring(Vec<(u64, u32)>);

/// How many points an instance of average weight has, as in ketama.
const POINTS: f64 = 160.0;

impl Ring {
    /// A ring of instances, given by their ids and weights.
    pub(crate) fn new<'a>(instances: impl Iterator<Item = (&'a str, f64)> + Clone) -> Self {
        let total: f64 = instances.clone().map(|(_, weight)| weight).sum();
        if total <= 0.0 {
            return Self::default();
        }
        // The number of points for a weight must not depend on the other weights, or a removal
        // would move keys between those that stay. So the scale only moves in powers of two.
        let mean = total / instances.clone().count() as f64;
        let scale = mean.log2().round().exp2();
        let mut points: Vec<(u64, u32)> = instances
            .zip(0_u32..)
            .flat_map(|((id, weight), index)| {
                let points = (POINTS * weight / scale).round() as u32;
                (0..points).map(move |point| {
                    let seed = u64::from(point);
                    (XxHash64::oneshot(seed, id.as_bytes()), index)
                })
            })
            .collect();
        points.sort_unstable();
        Self(points)
    }

    /// The instances from a key onwards around the circle, some more than once.
    pub(crate) fn from(&self, key: u64) -> impl Iterator<Item = usize> {
        let start = self.0.partition_point(|(point, _)| *point < key);
        let (before, after) = self.0.split_at(start);
        after.iter().chain(before).map(|(_, index)| *index as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(ids: &[String], weights: impl Fn(usize) -> f64) -> Vec<usize> {
        let ring = Ring::new(ids.iter().enumerate().map(|(at, id)| (id.as_str(), weights(at))));
        let owner = |key: u64| ring.from(hash(&key.to_le_bytes())).next().unwrap();
        (0..100_000).map(owner).collect()
    }

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("10.0.0.{index}:9110")).collect()
    }

    #[test]
    fn removing_one_moves_only_its_keys() {
        let all = ids(20);
        let before = owners(&all, |_| 1.0);
        for removed in [0, 7, 19] {
            let mut rest = all.clone();
            rest.remove(removed);
            let after = owners(&rest, |_| 1.0);
            for (key, (was, is)) in before.iter().zip(&after).enumerate() {
                assert!(*was == removed || all[*was] == rest[*is], "key {key} was moved");
            }
        }
    }

    #[test]
    fn adding_one_moves_its_share_and_little_more() {
        let (few, more) = (ids(19), ids(20));
        let (before, after) = (owners(&few, |_| 1.0), owners(&more, |_| 1.0));
        let moved = before.iter().zip(&after).filter(|(was, is)| was != is).count();
        assert!(moved <= 100_000 / 20 + 2_000, "{moved} of 100000 keys were moved");
    }

    #[test]
    fn shares_follow_weights() {
        let owners = owners(&ids(10), |at| if at == 3 { 3.0 } else { 1.0 });
        let heavy = owners.iter().filter(|owner| **owner == 3).count() as f64 / 100_000.0;
        assert!((heavy - 0.25).abs() < 0.04, "{heavy}");
    }

    #[test]
    fn a_ring_of_nobody_has_nobody() {
        assert_eq!(Ring::new(std::iter::empty()).from(7).next(), None);
        assert_eq!(Ring::new([("a", 0.0)].into_iter()).from(7).next(), None);
    }

    #[test]
    fn the_hash_is_xxh64() {
        // The published value for no bytes.
        assert_eq!(hash(b""), 0xef46_db37_51d8_e999);
    }
}
