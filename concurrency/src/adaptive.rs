//! How a limit finds itself: pure functions of what is seen of calls.

use crate::{AdaptiveLimit, config::Algorithm};
use std::{mem, time::Duration};
use tokio::time::Instant;

/// How a call went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// When it ended.
    pub(crate) at: Instant,
    /// How long it took; `None` if it was dropped.
    pub(crate) took: Option<Duration>,
}

/// A window is at least so long, and at least two latencies but not longer than the second.
const WINDOW: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// A window has at least so many calls.
const CALLS: u32 = 10;

/// A limit, and what it has seen.
#[derive(Clone, Debug)]
pub(crate) struct Adaptive {
    config: AdaptiveLimit,
    limit: f64,
    window: Window,
    shortest: Duration,
    gradient: Gradient,
}

impl Adaptive {
    /// Starts where another has got to.
    pub(crate) fn new(config: AdaptiveLimit, before: Option<&Self>) -> Self {
        let limit = before.map_or(f64::from(config.initial), |before| before.limit);
        Self {
            config,
            limit: limit.clamp(f64::from(config.min), f64::from(config.max)),
            window: Window::default(),
            shortest: before.map_or(WINDOW.0, |before| before.shortest),
            gradient: before.map_or_else(Gradient::default, |before| before.gradient),
        }
    }

    /// How many may be in flight just now.
    pub(crate) fn limit(&self) -> u32 {
        let limit = match self.gradient.look {
            Look::No => self.limit,
            // Half of what the limit lets in beyond the few that may wait: less than 1.5 times what
            // is in flight when nobody waits lets in.
            _ => (self.limit - QUEUE) / 2.0,
        };
        (limit as u32).max(1)
    }

    /// Takes a sample in, and says whether the limit may be another now.
    pub(crate) fn sample(&mut self, sample: &Sample, in_flight: u32) -> bool {
        self.window.add(sample, in_flight, self.config.slow);
        if !self.window.is_over(sample.at, self.shortest) {
            return false;
        }
        let window = mem::take(&mut self.window);
        let mean = window.mean();
        if let Some(mean) = mean {
            self.shortest = (Duration::try_from_secs_f64(2.0 * mean).unwrap_or(WINDOW.1))
                .clamp(WINDOW.0, WINDOW.1);
        }
        let loaded = f64::from(window.most_in_flight) * 2.0 >= self.limit;
        let limit = match self.config.algorithm {
            Algorithm::Gradient => {
                self.gradient.step(self.limit, mean, window.dropped, loaded, sample.at)
            }
            Algorithm::Aimd => aimd(self.limit, window.dropped, loaded),
        };
        self.limit = limit.clamp(f64::from(self.config.min), f64::from(self.config.max));
        true
    }
}

fn aimd(limit: f64, dropped: bool, loaded: bool) -> f64 {
    match (dropped, loaded) {
        (true, _) => limit * 0.9,
        (false, true) => limit + 1.0,
        (false, false) => limit,
    }
}

/// What came in since the last step.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since: Option<Instant>,
    calls: u32,
    answered: u32,
    took: Duration,
    dropped: bool,
    most_in_flight: u32,
}

impl Window {
    fn add(&mut self, sample: &Sample, in_flight: u32, slow: Duration) {
        self.since.get_or_insert(sample.at);
        self.calls = self.calls.saturating_add(1);
        self.most_in_flight = self.most_in_flight.max(in_flight);
        match sample.took {
            Some(took) => {
                self.answered = self.answered.saturating_add(1);
                self.took = self.took.saturating_add(took);
                self.dropped |= took > slow;
            }
            None => self.dropped = true,
        }
    }

    fn is_over(&self, now: Instant, shortest: Duration) -> bool {
        let lasted = self.since.is_some_and(|since| now.duration_since(since) >= shortest);
        lasted && self.calls >= CALLS
    }

    /// The mean latency in seconds, if anything was answered.
    fn mean(&self) -> Option<f64> {
        (self.answered > 0).then(|| self.took.as_secs_f64() / f64::from(self.answered))
    }
}

/// So many calls may wait in the service before the limit shrinks.
const QUEUE: f64 = 4.0;
/// The way to the new limit that one step goes.
const SMOOTHING: f64 = 0.2;
/// Latency may rise by so much before the limit shrinks.
const TOLERANCE: f64 = 1.5;
/// How long the limit may have its own effect on latency before it looks what that is without.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Gradient2, with a long-term latency that is free of the queue that the limit makes.
#[derive(Clone, Copy, Debug, Default)]
struct Gradient {
    long: Average,
    /// When the long-term latency was last known to be without load, or else the start.
    known: Option<Instant>,
    /// Whether it ever was: a limit may have started in overload.
    sure: bool,
    look: Look,
}

/// Whether the limit is lowered to see what latency is without load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Look {
    #[default]
    No,
    /// What waits must be served first.
    Draining,
    Measuring,
}

impl Gradient {
    fn step(
        &mut self,
        limit: f64,
        short: Option<f64>,
        dropped: bool,
        loaded: bool,
        now: Instant,
    ) -> f64 {
        match self.look {
            Look::No => {}
            Look::Draining => {
                self.look = Look::Measuring;
                return limit;
            }
            Look::Measuring => {
                self.look = Look::No;
                if let Some(short) = short {
                    self.long = Average::of(short);
                    (self.known, self.sure) = (Some(now), true);
                }
                return limit;
            }
        }
        let gradient = match short {
            Some(short) if !dropped => self.learn(short, loaded, now),
            _ => 0.5,
        };
        // What is not used can't be judged.
        if self.look != Look::No || !(loaded || dropped) {
            return limit;
        }
        limit + SMOOTHING * (limit * gradient + QUEUE - limit)
    }

    /// Compares with the long-term latency, and learns where the limit has no part in it.
    fn learn(&mut self, short: f64, loaded: bool, now: Instant) -> f64 {
        let known = *self.known.get_or_insert(now);
        if !loaded {
            (self.known, self.sure) = (Some(now), true);
        }
        let tolerated = self.long.warming() || short <= TOLERANCE * self.long.value;
        if !loaded || tolerated {
            self.long.add(short);
        }
        let doubtful = loaded && !(tolerated && self.sure);
        if doubtful && now.saturating_duration_since(known) >= LOOK_EVERY {
            self.look = Look::Draining;
        }
        if self.long.value > 2.0 * short {
            // It has become faster than averaging would notice for a long time.
            self.long.value *= 0.95;
        }
        (TOLERANCE * self.long.value / short).clamp(0.5, 1.0)
    }
}

/// An average of the last windows: plain over the first ten, then exponential over about 600.
#[derive(Clone, Copy, Debug, Default)]
struct Average {
    value: f64,
    seen: f64,
}

impl Average {
    const WARM: f64 = 10.0;
    const WINDOWS: f64 = 600.0;

    fn of(value: f64) -> Self {
        Self { value, seen: Self::WARM }
    }

    fn warming(&self) -> bool {
        self.seen < Self::WARM
    }

    fn add(&mut self, value: f64) {
        let weight = if self.warming() {
            self.seen += 1.0;
            1.0 / self.seen
        } else {
            2.0 / (Self::WINDOWS + 1.0)
        };
        self.value += weight * (value - self.value);
    }
}

#[cfg(test)]
mod tests;
