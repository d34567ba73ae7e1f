use crate::{
    Buckets, Registry,
    cell::{self, Level, Seen},
    recorder::Global,
    registry::labels,
};
use metrics::{Gauge, Key, Label, Level as Loudness, Metadata, Recorder, Unit};
use std::{any::Any, sync::Arc, time::Duration};

/// Where a layer counts: in a registry, and in a recorder of somebody else if it was given one.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) registry: Registry,
    foreign: Option<Arc<dyn Recorder + Send + Sync>>,
}

/// The two metrics of a layer.
#[derive(Clone, Copy)]
pub(crate) struct Names {
    pub(crate) duration: &'static str,
    pub(crate) active: &'static str,
    pub(crate) about_duration: &'static str,
    pub(crate) about_active: &'static str,
}

/// Calls in flight.
pub(crate) struct Active {
    own: Arc<Level>,
    foreign: Option<Gauge>,
}

/// How long calls took.
pub(crate) struct Histogram {
    own: Arc<cell::Histogram>,
    foreign: Option<metrics::Histogram>,
}

pub(crate) type Pairs = Vec<(String, String)>;

static METADATA: Metadata<'static> =
    Metadata::new("purlin_metrics", Loudness::INFO, Some("purlin_metrics"));

impl Sink {
    /// What is recorded in a registry of ours is recorded there and nowhere else. For any other
    /// recorder a registry is kept beside it, which a handle can read.
    pub(crate) fn new<R: Recorder + Send + Sync + 'static>(recorder: R) -> Self {
        match (&recorder as &dyn Any).downcast_ref::<Registry>() {
            Some(registry) => Self { registry: registry.clone(), foreign: None },
            None => Self { registry: Registry::new(), foreign: Some(Arc::new(recorder)) },
        }
    }

    pub(crate) fn global() -> Self {
        Self::new(Global)
    }

    pub(crate) fn active(&self, names: &Names, pairs: &Pairs, unit: &str) -> Active {
        let own = self.registry.level(names.active, own(pairs));
        self.registry.describe(names.active, unit, names.about_active);
        let foreign = self.foreign.as_ref().map(|recorder| {
            let (name, about) = (names.active.into(), names.about_active.into());
            recorder.describe_gauge(name, Some(Unit::Count), about);
            recorder.register_gauge(&key(names.active, pairs), &METADATA)
        });
        // Where the name is taken by another kind of metric, nobody reads what is counted here.
        Active { own: own.unwrap_or_default(), foreign }
    }

    pub(crate) fn durations(&self, names: &Names, pairs: &Pairs, buckets: &Buckets) -> Histogram {
        let own = self.registry.durations(names.duration, own(pairs), buckets);
        let detached = || Arc::new(cell::Histogram::durations(buckets.clone()));
        self.registry.describe(names.duration, "s", names.about_duration);
        let foreign = self.foreign.as_ref().map(|recorder| {
            let (name, about) = (names.duration.into(), names.about_duration.into());
            recorder.describe_histogram(name, Some(Unit::Seconds), about);
            recorder.register_histogram(&key(names.duration, pairs), &METADATA)
        });
        Histogram { own: own.unwrap_or_else(detached), foreign }
    }
}

fn own(pairs: &Pairs) -> crate::Labels {
    labels(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

fn key(name: &'static str, pairs: &Pairs) -> Key {
    let labels = pairs.iter().map(|(name, value)| Label::new(name.clone(), value.clone()));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

impl Active {
    #[inline]
    pub(crate) fn begin(&self) {
        self.own.add(1);
        if let Some(gauge) = &self.foreign {
            gauge.increment(1.0);
        }
    }

    #[inline]
    pub(crate) fn end(&self) {
        self.own.add(-1);
        if let Some(gauge) = &self.foreign {
            gauge.decrement(1.0);
        }
    }
}

impl Histogram {
    #[inline]
    pub(crate) fn record(&self, took: Duration, seen: Option<Seen>) {
        self.own.record_duration(took, seen);
        if let Some(histogram) = &self.foreign {
            histogram.record(took.as_secs_f64());
        }
    }
}
