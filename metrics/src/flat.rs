//! Metrics as names and numbers, for whatever has no labels or no histograms.

use crate::{Distribution, Labels, Series, Snapshot, Value};

/// The quantiles that are told of a histogram, as Go kit's backends do.
pub(crate) const QUANTILES: [(&str, f64); 4] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];

/// All numbers of a snapshot, each under its path: the name, and the name and value of each label.
/// Quantiles are those of what was counted recently: the same snapshot, since an earlier one.
pub(crate) fn numbers(total: &Snapshot, recent: &Snapshot) -> Vec<(String, f64)> {
    let mut numbers = Vec::new();
    pairs(total, recent, |name, series, recent| {
        let path = path(name, &series.labels);
        match &series.value {
            Value::Count(count) => numbers.push((path, *count as f64)),
            Value::Number(number) => numbers.push((path, *number)),
            Value::Histogram(counted) => {
                numbers.push((format!("{path}.count"), counted.count() as f64));
                numbers.push((format!("{path}.sum"), counted.sum()));
                let quantiles = quantiles(recent).map(|(q, value)| (format!("{path}.{q}"), value));
                numbers.extend(quantiles);
            }
        }
    });
    numbers
}

/// Each series, beside itself as it was counted recently.
pub(crate) fn pairs(
    total: &Snapshot,
    recent: &Snapshot,
    mut each: impl FnMut(&str, &Series, &Series),
) {
    for (family, recent) in total.families.iter().zip(&recent.families) {
        for (series, recent) in family.series.iter().zip(&recent.series) {
            each(&family.name, series, recent);
        }
    }
}

pub(crate) fn quantiles(series: &Series) -> impl Iterator<Item = (&'static str, f64)> {
    let counted: Option<&Distribution> = match &series.value {
        Value::Histogram(counted) => Some(counted),
        _ => None,
    };
    QUANTILES.into_iter().filter_map(move |(name, share)| Some((name, counted?.quantile(share)?)))
}

/// The name, then each label's name and value, with dots between them.
pub(crate) fn path(name: &str, labels: &Labels) -> String {
    let mut path: String = name.chars().map(|c| if c == '.' { c } else { plain(c) }).collect();
    for (name, value) in labels.iter() {
        for part in [name, value] {
            path.push('.');
            path.extend(part.chars().map(plain));
        }
    }
    path
}

fn plain(c: char) -> char {
    if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }
}
