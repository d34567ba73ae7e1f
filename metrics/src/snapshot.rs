use crate::Buckets;
use purlin_endpoint::{SpanId, TraceId};
use std::{sync::Arc, time::SystemTime};

/// Names and values that tell the series of a metric apart, in the order of their names.
pub type Labels = Arc<[(String, String)]>;

/// All metrics of a [`Registry`](crate::Registry) at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When the registry was made: since then its counts have added up.
    pub since: SystemTime,
    /// The moment.
    pub at: SystemTime,
    /// The metrics, in the order of their names.
    pub families: Vec<Family>,
}

/// One metric, with all its series.
#[derive(Clone, Debug)]
pub struct Family {
    /// Its name, as in `rpc.server.call.duration`.
    pub name: Arc<str>,
    /// What its numbers are.
    pub kind: Kind,
    /// Their unit in the notation of UCUM, as in `s` or `By`; empty if there is none.
    pub unit: Arc<str>,
    /// What it is about; empty if nobody has said.
    pub description: Arc<str>,
    /// Its series, in the order in which they came.
    pub series: Vec<Series>,
}

/// What the numbers of a metric are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They only go up.
    Counter,
    /// They go up and down by what is added to them.
    Level,
    /// They are set.
    Gauge,
    /// They are counted by size.
    Histogram,
}

/// One series of a metric.
#[derive(Clone, Debug)]
pub struct Series {
    /// What tells it apart from others.
    pub labels: Labels,
    /// What it has come to.
    pub value: Value,
}

/// What a series has come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a level or a gauge.
    Number(f64),
    /// Of a histogram.
    Histogram(Distribution),
}

/// What a histogram has counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Where its buckets end.
    pub bounds: Buckets,
    /// What each bucket has counted by itself; the last takes what exceeds all bounds.
    pub buckets: Vec<Bucket>,
}

/// What one bucket of a histogram has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bucket {
    /// How many values.
    pub count: u64,
    /// What they add up to.
    pub sum: f64,
    /// One of them, with the trace of its call.
    pub exemplar: Option<Exemplar>,
}

/// A value, and the call it was measured at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// The trace.
    pub trace: TraceId,
    /// The span in it.
    pub span: SpanId,
    /// The value.
    pub value: f64,
    /// When it was measured.
    pub at: SystemTime,
}

impl Distribution {
    /// How many values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.count).sum()
    }

    /// What they add up to.
    pub fn sum(&self) -> f64 {
        self.buckets.iter().map(|bucket| bucket.sum).sum()
    }

    /// The value that this share (0 to 1) of all does not exceed, as far as buckets can tell:
    /// nothing if there is no value.
    ///
    /// Values are taken to lie evenly within a bucket, as in Prometheus' `histogram_quantile`; of
    /// those beyond the last bound, all at their mean.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = share.clamp(0.0, 1.0) * count as f64;
        let mut below = 0.0;
        for (at, bucket) in self.buckets.iter().enumerate().filter(|(_, bucket)| bucket.count > 0) {
            let within = bucket.count as f64;
            if below + within >= rank {
                let Some(upper) = self.bounds.bounds().get(at).copied() else {
                    return Some(bucket.mean());
                };
                let lower = match at.checked_sub(1) {
                    Some(before) => self.bounds.bounds().get(before).copied().unwrap_or(upper),
                    None => upper.min(0.0),
                };
                return Some(lower + (upper - lower) * (rank - below) / within);
            }
            below += within;
        }
        None
    }

    fn since(&mut self, before: &Self) {
        for (now, before) in self.buckets.iter_mut().zip(&before.buckets) {
            now.count = now.count.saturating_sub(before.count);
            now.sum -= before.sum;
        }
    }
}

impl Bucket {
    /// The mean of its values: zero if there is none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }
}

impl Snapshot {
    /// What has been counted since an earlier snapshot of the same registry.
    ///
    /// Levels and gauges stay as they are: they are not sums.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut delta = Self { since: before.at, ..self.clone() };
        let mut known = before.families.iter().peekable();
        for family in &mut delta.families {
            // Families are in the order of their names and series in that of their coming, and
            // none ever goes, so both lists are walked once.
            while known.next_if(|known| known.name < family.name).is_some() {}
            let Some(known) = known.next_if(|known| known.name == family.name) else { continue };
            for (now, before) in family.series.iter_mut().zip(&known.series) {
                match (&mut now.value, &before.value) {
                    (Value::Count(now), Value::Count(before)) => *now = now.saturating_sub(*before),
                    (Value::Histogram(now), Value::Histogram(before)) => now.since(before),
                    _ => {}
                }
            }
        }
        delta
    }

    /// The metric of this name.
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|family| &*family.name == name)
    }
}

impl Series {
    /// The value of this label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(counts: &[u64]) -> Distribution {
        let bucket =
            |count: &u64| Bucket { count: *count, sum: *count as f64 * 30.0, exemplar: None };
        Distribution {
            bounds: Buckets::new([10.0, 20.0]).unwrap(),
            buckets: counts.iter().map(bucket).collect(),
        }
    }

    #[test]
    fn a_quantile_lies_evenly_within_its_bucket() {
        let distribution = distribution(&[10, 10, 5]);
        assert_eq!(distribution.quantile(0.2), Some(5.0));
        assert_eq!(distribution.quantile(0.6), Some(15.0));
        assert_eq!(distribution.quantile(0.99), Some(30.0), "the mean of what exceeds all bounds");
        assert_eq!(distribution.quantile(0.0), Some(0.0));
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(distribution(&[0, 0, 0]).quantile(0.5), None);
    }
}
