//! The median and the range of a few samples.

use std::fmt;

/// The median of some samples, with the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle sample, or the mean of the middle two.
    pub median: f64,
    /// The smallest sample.
    pub min: f64,
    /// The largest sample.
    pub max: f64,
}

impl Spread {
    /// The spread of the samples, or nothing if there are none.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, min, max })
    }

    /// The spread of the quotients of two series, taken round by round.
    ///
    /// The rounds of one run share their disturbances, so a quotient of the
    /// same round is steadier than a quotient of two medians.
    pub fn of_ratios(samples: &[f64], base: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> =
            samples.iter().zip(base).map(|(sample, base)| sample / base).collect();
        Self::of(&ratios)
    }
}

/// Writes `median (min–max)` with the precision of the format.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        let Self { median, min, max } = self;
        write!(f, "{median:.digits$} ({min:.digits$}–{max:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_median_of_an_even_count_is_the_mean_of_the_middle_two() {
        let spread = Spread::of(&[4.0, 1.0, 2.0, 9.0]);
        assert_eq!(spread, Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
    }

    #[test]
    fn no_samples_have_no_spread() {
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round_before_the_median() {
        // The quotient of the medians would be 1.5.
        let spread = Spread::of_ratios(&[2.0, 30.0, 3.0], &[1.0, 10.0, 2.0]);
        assert_eq!(spread, Some(Spread { median: 2.0, min: 1.5, max: 3.0 }));
    }
}
