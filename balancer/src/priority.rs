//! How much of the traffic goes to each group of instances, given how well the groups are.

/// What one group of instances gets of the traffic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// Its part of the traffic, from 0 to 1. All parts add up to 1.
    pub part: f64,
    /// Whether so few of it are well that all are used.
    pub panic: bool,
}

/// How much more traffic than its share an instance can take: a group of which 1/1.4 is well still
/// gets all of its traffic.
pub const OVERPROVISIONING: f64 = 1.4;

/// Divides traffic among groups of falling preference, each given by the part of it that is well.
///
/// A group gets as much as its healthy instances can take, and what is left spills over to the
/// next. When all groups together can't take it all, each gets its part of what they can, and one
/// that is less well than the threshold uses all of its instances, as sending some calls to
/// instances that look bad is better than to overload the last good ones.
///
/// Source: Envoy's
/// [priority levels](https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority)
/// and [panic threshold](https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/panic_threshold),
/// but for the rounding to whole percents.
pub fn spill(well: &[f64], threshold: f64) -> Vec<Share> {
    let health: Vec<f64> = well.iter().map(|well| (OVERPROVISIONING * well).min(1.0)).collect();
    let total = health.iter().sum::<f64>().min(1.0);
    let mut left = 1.0_f64;
    let mut shares: Vec<Share> = health
        .iter()
        .zip(well)
        .map(|(health, well)| {
            let part = if total > 0.0 { (health / total).min(left) } else { 0.0 };
            left -= part;
            Share { part, panic: total < 1.0 && *well < threshold }
        })
        .collect();
    if let (true, Some(first)) = (total <= 0.0, shares.first_mut()) {
        // Nobody is well anywhere: the most preferred group is as good as any.
        first.part = 1.0;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percents(well: &[u32]) -> (Vec<u32>, Vec<bool>) {
        let well: Vec<f64> = well.iter().map(|percent| f64::from(*percent) / 100.0).collect();
        let shares = spill(&well, 0.5);
        assert!((shares.iter().map(|share| share.part).sum::<f64>() - 1.0).abs() < 1e-9);
        let percents = shares.iter().map(|share| (share.part * 100.0).round() as u32).collect();
        (percents, shares.iter().map(|share| share.panic).collect())
    }

    #[test]
    fn the_published_tables_of_priority_levels_come_out() {
        for (well, parts) in [
            // Two levels, of which the second is well.
            (vec![100, 100], vec![100, 0]),
            (vec![72, 100], vec![100, 0]),
            (vec![71, 100], vec![99, 1]),
            (vec![50, 100], vec![70, 30]),
            (vec![25, 100], vec![35, 65]),
            (vec![0, 100], vec![0, 100]),
            // Two levels.
            (vec![72, 72], vec![100, 0]),
            (vec![71, 71], vec![99, 1]),
            (vec![50, 50], vec![70, 30]),
            (vec![25, 25], vec![50, 50]),
            // Three levels.
            (vec![100, 100, 100], vec![100, 0, 0]),
            (vec![72, 72, 100], vec![100, 0, 0]),
            (vec![71, 71, 100], vec![99, 1, 0]),
            (vec![50, 50, 100], vec![70, 30, 0]),
            (vec![25, 100, 100], vec![35, 65, 0]),
            (vec![25, 25, 100], vec![35, 35, 30]),
            // Envoy works in whole percents and gives the last level, at 28.57, 28: 36, 36, 28.
            (vec![25, 25, 20], vec![36, 36, 29]),
        ] {
            assert_eq!(percents(&well).0, parts, "{well:?}");
        }
    }

    #[test]
    fn the_published_tables_of_the_panic_threshold_come_out() {
        for (well, parts, panic) in [
            ([72, 100], [100, 0], [false, false]),
            ([71, 100], [99, 1], [false, false]),
            ([50, 100], [70, 30], [false, false]),
            ([25, 100], [35, 65], [false, false]),
            ([0, 100], [0, 100], [false, false]),
            ([72, 72], [100, 0], [false, false]),
            ([71, 71], [99, 1], [false, false]),
            // Envoy's page says 50 to 50 here and 25 to 75 in the next row, against its own formula
            // and its other tables; the formula's figures are these.
            ([50, 60], [70, 30], [false, false]),
            ([25, 100], [35, 65], [false, false]),
            ([25, 25], [50, 50], [true, true]),
            ([5, 65], [7, 93], [true, false]),
        ] {
            assert_eq!(percents(&well), (parts.into(), panic.into()), "{well:?}");
        }
    }

    #[test]
    fn where_nobody_is_well_the_first_group_takes_it_all() {
        assert_eq!(percents(&[0, 0]), (vec![100, 0], vec![true, true]));
        assert_eq!(spill(&[], 0.5), []);
    }
}
