//! What this crate has to do with the crate `metrics`.

use crate::{
    Labels, Registry,
    cell::{Count, Histogram as Cells, Value},
    registry::labels,
};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use std::{fmt, sync::Arc};

impl Recorder for Registry {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(name.as_str(), unit.map_or("", ucum), &text);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(name.as_str(), unit.map_or("", ucum), &text);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe(name.as_str(), unit.map_or("", ucum), &text);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.count(key.name(), of(key)).map_or_else(Counter::noop, Counter::from_arc)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.gauge(key.name(), of(key)).map_or_else(Gauge::noop, Gauge::from_arc)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.numbers(key.name(), of(key)).map_or_else(Histogram::noop, Histogram::from_arc)
    }
}

fn of(key: &Key) -> Labels {
    labels(key.labels().map(|label| (label.key(), label.value())))
}

fn ucum(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "1",
        Unit::Percent => "%",
        Unit::Seconds => "s",
        Unit::Milliseconds => "ms",
        Unit::Microseconds => "us",
        Unit::Nanoseconds => "ns",
        Unit::Bytes => "By",
        Unit::Kibibytes => "KiBy",
        Unit::Mebibytes => "MiBy",
        Unit::Gibibytes => "GiBy",
        Unit::Tebibytes => "TiBy",
        _ => "",
    }
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.add(value);
    }

    fn absolute(&self, value: u64) {
        self.raise(value);
    }
}

impl GaugeFn for Value {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        Value::set(self, value);
    }
}

impl HistogramFn for Cells {
    fn record(&self, value: f64) {
        Cells::record(self, value);
    }
}

/// Records into several recorders: each gets all of it.
///
/// ```
/// use metrics::with_local_recorder;
/// use purlin_metrics::{Fanout, Registry, Value};
///
/// let (one, other) = (Registry::new(), Registry::new());
/// let both = Fanout::new().and(one.clone()).and(other.clone());
/// with_local_recorder(&both, || metrics::counter!("jobs").increment(3));
/// for registry in [one, other] {
///     assert_eq!(registry.snapshot().families[0].series[0].value, Value::Count(3));
/// }
/// ```
#[derive(Clone, Default)]
pub struct Fanout(Vec<Arc<dyn Recorder + Send + Sync>>);

impl Fanout {
    /// Records nowhere yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records here as well.
    #[must_use]
    pub fn and(mut self, recorder: impl Recorder + Send + Sync + 'static) -> Self {
        self.0.push(Arc::new(recorder));
        self
    }
}

impl fmt::Debug for Fanout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fanout").field("recorders", &self.0.len()).finish()
    }
}

/// The same handle of each recorder.
struct Each<T>(Vec<T>);

impl Recorder for Fanout {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        for recorder in &self.0 {
            recorder.describe_counter(name.clone(), unit, text.clone());
        }
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        for recorder in &self.0 {
            recorder.describe_gauge(name.clone(), unit, text.clone());
        }
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        for recorder in &self.0 {
            recorder.describe_histogram(name.clone(), unit, text.clone());
        }
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let each = self.0.iter().map(|recorder| recorder.register_counter(key, metadata));
        Counter::from_arc(Arc::new(Each(each.collect())))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let each = self.0.iter().map(|recorder| recorder.register_gauge(key, metadata));
        Gauge::from_arc(Arc::new(Each(each.collect())))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let each = self.0.iter().map(|recorder| recorder.register_histogram(key, metadata));
        Histogram::from_arc(Arc::new(Each(each.collect())))
    }
}

impl CounterFn for Each<Counter> {
    fn increment(&self, value: u64) {
        self.0.iter().for_each(|counter| counter.increment(value));
    }

    fn absolute(&self, value: u64) {
        self.0.iter().for_each(|counter| counter.absolute(value));
    }
}

impl GaugeFn for Each<Gauge> {
    fn increment(&self, value: f64) {
        self.0.iter().for_each(|gauge| gauge.increment(value));
    }

    fn decrement(&self, value: f64) {
        self.0.iter().for_each(|gauge| gauge.decrement(value));
    }

    fn set(&self, value: f64) {
        self.0.iter().for_each(|gauge| gauge.set(value));
    }
}

impl HistogramFn for Each<Histogram> {
    fn record(&self, value: f64) {
        self.0.iter().for_each(|histogram| histogram.record(value));
    }
}

/// Whatever recorder the process has installed when a series is first counted.
pub(crate) struct Global;

macro_rules! delegate {
    ($($describe:ident, $register:ident -> $handle:ident;)*) => {
        impl Recorder for Global {
            $(
                fn $describe(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
                    metrics::with_recorder(|recorder| recorder.$describe(name, unit, text));
                }

                fn $register(&self, key: &Key, metadata: &Metadata<'_>) -> $handle {
                    metrics::with_recorder(|recorder| recorder.$register(key, metadata))
                }
            )*
        }
    };
}

delegate! {
    describe_counter, register_counter -> Counter;
    describe_gauge, register_gauge -> Gauge;
    describe_histogram, register_histogram -> Histogram;
}
