use purlin_endpoint::Invalid;
use std::sync::Arc;

/// Up to which values a histogram counts apart: the upper bounds of its buckets.
///
/// A value belongs to the first bucket whose bound it does not exceed; one more bucket takes what
/// exceeds all of them. The default is what OpenTelemetry advises for durations in seconds.
///
/// ```
/// use purlin_metrics::Buckets;
///
/// let buckets = Buckets::new([0.01, 0.1, 1.0])?;
/// assert_eq!(buckets.bounds(), [0.01, 0.1, 1.0]);
/// assert_eq!(Buckets::new([1.0, 0.1]).unwrap_err().field, "bounds");
/// # Ok::<_, purlin_endpoint::Invalid>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Vec<f64>", into = "Vec<f64>"))]
pub struct Buckets(Arc<[f64]>);

/// For durations in seconds: semantic conventions 1.44.0, metrics of RPC and of HTTP.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// For anything else: the default of OpenTelemetry's explicit bucket histogram.
const ANY: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0,
    10000.0,
];

impl Buckets {
    /// Buckets with these upper bounds, in ascending order.
    ///
    /// # Errors
    ///
    /// If there is none, one is no finite number, or one does not exceed the one before it.
    pub fn new(bounds: impl IntoIterator<Item = f64>) -> Result<Self, Invalid> {
        let bounds: Arc<[f64]> = bounds.into_iter().collect();
        if bounds.is_empty() || !bounds.iter().all(|bound| bound.is_finite()) {
            return Err(Invalid { field: "bounds", why: "must be one or more finite numbers" });
        }
        if !bounds.is_sorted_by(|one, next| one < next) {
            return Err(Invalid { field: "bounds", why: "must ascend" });
        }
        Ok(Self(bounds))
    }

    /// Buckets for values of which nothing is known: 0 to 10,000.
    pub(crate) fn any() -> Self {
        Self(Arc::new(ANY))
    }

    /// The upper bounds, in ascending order.
    pub fn bounds(&self) -> &[f64] {
        &self.0
    }
}

impl Default for Buckets {
    fn default() -> Self {
        Self(Arc::new(SECONDS))
    }
}

impl TryFrom<Vec<f64>> for Buckets {
    type Error = Invalid;

    fn try_from(bounds: Vec<f64>) -> Result<Self, Invalid> {
        Self::new(bounds)
    }
}

impl From<Buckets> for Vec<f64> {
    fn from(buckets: Buckets) -> Self {
        buckets.bounds().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_make_no_sense_are_mistakes() {
        for wrong in [vec![], vec![f64::NAN], vec![f64::INFINITY], vec![1.0, 1.0], vec![2.0, 1.0]] {
            assert_eq!(Buckets::new(wrong).unwrap_err().field, "bounds");
        }
    }
}
