use crate::{
    Buckets, Distribution, Family, Kind, Labels, Series, Snapshot, Value,
    cell::{self, Clock, Count, Histogram, Level},
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::SystemTime,
};

/// Where metrics are counted, and read from by whatever shows them.
///
/// It is a [`metrics::Recorder`], so that the macros of that crate can count here too. Its clones
/// are one registry. All that it hands out are atomics; a series that is known is counted without
/// a lock.
///
/// A metric has at most [`series_limit`](Self::series_limit) series, 2,000 unless said otherwise:
/// what comes after that is counted in one more, with the label `otel.metric.overflow="true"`. What
/// is recorded under a name that is a metric of another kind is not counted.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    since: SystemTime,
    series_limit: usize,
    buckets: HashMap<String, Buckets>,
    families: RwLock<BTreeMap<Arc<str>, Known>>,
    descriptions: Mutex<HashMap<String, Described>>,
}

/// What has been said of a metric.
#[derive(Clone)]
struct Described {
    unit: Arc<str>,
    text: Arc<str>,
}

struct Known {
    kind: Kind,
    series: Vec<(Labels, Cell)>,
    /// Where in the list each series stands.
    places: HashMap<Labels, usize>,
}

#[derive(Clone)]
enum Cell {
    Count(Arc<Count>),
    Level(Arc<Level>),
    Gauge(Arc<cell::Value>),
    Histogram(Arc<Histogram>),
}

impl Registry {
    /// A registry without metrics.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            since: SystemTime::now(),
            series_limit: 2000,
            buckets: HashMap::new(),
            families: RwLock::default(),
            descriptions: Mutex::default(),
        }))
    }

    /// A metric has at most so many series. Default: 2,000, as in OpenTelemetry's SDKs.
    #[must_use]
    pub fn series_limit(self, limit: usize) -> Self {
        self.with(|inner| inner.series_limit = limit)
    }

    /// Counts the histogram of this name in these buckets. Default: by OpenTelemetry's advice for
    /// seconds if that is its unit, else from 0 to 10,000.
    #[must_use]
    pub fn buckets(self, name: impl Into<String>, buckets: Buckets) -> Self {
        self.with(|inner| {
            inner.buckets.insert(name.into(), buckets);
        })
    }

    /// The same with other options, and without what has been counted.
    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner {
            since: self.0.since,
            series_limit: self.0.series_limit,
            buckets: self.0.buckets.clone(),
            families: RwLock::default(),
            descriptions: Mutex::new(self.described().clone()),
        };
        change(&mut inner);
        Self(Arc::new(inner))
    }

    fn described(&self) -> std::sync::MutexGuard<'_, HashMap<String, Described>> {
        self.0.descriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what a metric is about, and the unit of its numbers in the notation of UCUM.
    pub fn describe(&self, name: &str, unit: &str, text: &str) {
        let described = Described { unit: unit.into(), text: text.into() };
        self.described().insert(name.to_owned(), described);
    }

    /// A counter that belongs here, `None` if the name is that of another kind of metric.
    pub(crate) fn count(&self, name: &str, labels: Labels) -> Option<Arc<Count>> {
        let new = || Cell::Count(Arc::default());
        let Cell::Count(cell) = self.cell(name, Kind::Counter, labels, new)? else { return None };
        Some(cell)
    }

    pub(crate) fn level(&self, name: &str, labels: Labels) -> Option<Arc<Level>> {
        let new = || Cell::Level(Arc::default());
        let Cell::Level(cell) = self.cell(name, Kind::Level, labels, new)? else { return None };
        Some(cell)
    }

    pub(crate) fn gauge(&self, name: &str, labels: Labels) -> Option<Arc<cell::Value>> {
        let new = || Cell::Gauge(Arc::default());
        let Cell::Gauge(cell) = self.cell(name, Kind::Gauge, labels, new)? else { return None };
        Some(cell)
    }

    /// A histogram of durations in seconds, in these buckets unless the name has others.
    pub(crate) fn durations(
        &self,
        name: &str,
        labels: Labels,
        buckets: &Buckets,
    ) -> Option<Arc<Histogram>> {
        let buckets = self.0.buckets.get(name).unwrap_or(buckets).clone();
        self.histogram(name, labels, || Histogram::durations(buckets))
    }

    /// A histogram of whatever the unit says.
    pub(crate) fn numbers(&self, name: &str, labels: Labels) -> Option<Arc<Histogram>> {
        let seconds = self.described().get(name).is_some_and(|known| &*known.unit == "s");
        let buckets = self.0.buckets.get(name).cloned();
        let default = || if seconds { Buckets::default() } else { Buckets::any() };
        let buckets = buckets.unwrap_or_else(default);
        self.histogram(name, labels, || Histogram::numbers(buckets))
    }

    fn histogram(
        &self,
        name: &str,
        labels: Labels,
        new: impl FnOnce() -> Histogram,
    ) -> Option<Arc<Histogram>> {
        let new = || Cell::Histogram(Arc::new(new()));
        let cell = self.cell(name, Kind::Histogram, labels, new)?;
        let Cell::Histogram(cell) = cell else { return None };
        Some(cell)
    }

    fn cell(
        &self,
        name: &str,
        kind: Kind,
        labels: Labels,
        new: impl FnOnce() -> Cell,
    ) -> Option<Cell> {
        let families = self.0.families.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = families.get(name).and_then(|known| known.get(&labels)) {
            return (cell.kind() == kind).then(|| cell.clone());
        }
        drop(families);
        let mut families = self.0.families.write().unwrap_or_else(PoisonError::into_inner);
        let known = families.entry(name.into()).or_insert_with(|| Known {
            kind,
            series: Vec::new(),
            places: HashMap::new(),
        });
        (known.kind == kind).then(|| known.get_or_add(labels, self.0.series_limit, new))
    }

    /// All metrics as they are now.
    ///
    /// Each number is read by itself, while others change: a call that ends meanwhile may be
    /// counted in one metric and not yet in another.
    pub fn snapshot(&self) -> Snapshot {
        let clock = Clock::now();
        let descriptions = self.described().clone();
        let families = self.0.families.read().unwrap_or_else(PoisonError::into_inner);
        let families = families
            .iter()
            .map(|(name, known)| {
                let described = descriptions.get(&**name);
                Family {
                    name: name.clone(),
                    kind: known.kind,
                    unit: described.map_or_else(|| "".into(), |known| known.unit.clone()),
                    description: described.map_or_else(|| "".into(), |known| known.text.clone()),
                    series: known.read(&clock),
                }
            })
            .collect();
        Snapshot { since: self.0.since, at: clock.wall, families }
    }
}

impl Known {
    fn get(&self, labels: &Labels) -> Option<&Cell> {
        let place = self.places.get(labels)?;
        self.series.get(*place).map(|(_, cell)| cell)
    }

    fn get_or_add(&mut self, labels: Labels, limit: usize, new: impl FnOnce() -> Cell) -> Cell {
        let labels = match self.series.len() < limit || self.places.contains_key(&labels) {
            true => labels,
            false => Arc::new([("otel.metric.overflow".to_owned(), "true".to_owned())]),
        };
        if let Some(cell) = self.get(&labels) {
            return cell.clone();
        }
        let cell = new();
        self.places.insert(labels.clone(), self.series.len());
        self.series.push((labels, cell.clone()));
        cell
    }

    fn read(&self, clock: &Clock) -> Vec<Series> {
        let read = |(labels, cell): &(Labels, Cell)| Series {
            labels: labels.clone(),
            value: cell.read(clock),
        };
        self.series.iter().map(read).collect()
    }
}

impl Cell {
    fn kind(&self) -> Kind {
        match self {
            Self::Count(_) => Kind::Counter,
            Self::Level(_) => Kind::Level,
            Self::Gauge(_) => Kind::Gauge,
            Self::Histogram(_) => Kind::Histogram,
        }
    }

    fn read(&self, clock: &Clock) -> Value {
        match self {
            Self::Count(cell) => Value::Count(cell.get()),
            Self::Level(cell) => Value::Number(cell.get()),
            Self::Gauge(cell) => Value::Number(cell.get()),
            Self::Histogram(cell) => Value::Histogram(Distribution {
                bounds: cell.buckets().clone(),
                buckets: cell.read(clock),
            }),
        }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// Labels in the order of their names, each name once: the last value counts.
pub(crate) fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
    let sorted: BTreeMap<&str, &str> = pairs.into_iter().collect();
    sorted.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_in_any_order_are_one_series() {
        let registry = Registry::new();
        registry.count("calls", labels([("a", "1"), ("b", "2")])).unwrap().add(1);
        registry.count("calls", labels([("b", "2"), ("a", "1")])).unwrap().add(2);
        let snapshot = registry.snapshot();
        let [series] = &snapshot.families[0].series[..] else { panic!("{snapshot:?}") };
        assert_eq!(series.value, Value::Count(3));
    }

    #[test]
    fn a_metric_has_no_more_series_than_its_limit_and_one() {
        let registry = Registry::new().series_limit(2);
        for tenant in ["a", "b", "c", "d", "a"] {
            registry.count("calls", labels([("tenant", tenant)])).unwrap().add(1);
        }
        let series = registry.snapshot().families.remove(0).series;
        let counts: Vec<_> = series.iter().map(|series| series.value.clone()).collect();
        assert_eq!(counts, [Value::Count(2), Value::Count(1), Value::Count(2)]);
        assert_eq!(series[2].label("otel.metric.overflow"), Some("true"));
    }

    #[test]
    fn a_name_is_of_one_kind() {
        let registry = Registry::new();
        assert!(registry.count("calls", labels([])).is_some());
        assert!(registry.gauge("calls", labels([])).is_none());
        assert!(registry.gauge("calls", labels([("a", "b")])).is_none());
    }

    #[test]
    fn a_later_snapshot_since_an_earlier_one_has_only_what_came_between() {
        let registry = Registry::new();
        let calls = registry.count("calls", labels([])).unwrap();
        let level = registry.level("level", labels([])).unwrap();
        calls.add(5);
        level.add(5);
        let before = registry.snapshot();
        registry.count("before", labels([])).unwrap().add(7);
        registry.count("calls", labels([("a", "b")])).unwrap().add(3);
        calls.add(2);
        level.add(-1);
        let delta = registry.snapshot().since(&before);
        let values = |name| {
            let series = &delta.family(name).unwrap().series;
            series.iter().map(|series| series.value.clone()).collect::<Vec<_>>()
        };
        assert_eq!(values("calls"), [Value::Count(2), Value::Count(3)]);
        assert_eq!(values("before"), [Value::Count(7)]);
        assert_eq!(values("level"), [Value::Number(4.0)]);
        assert_eq!(delta.since, before.at);
    }
}
