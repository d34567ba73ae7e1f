use crate::Level;
use purlin_endpoint::Invalid;
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};
use tokio::time::Instant;

/// How many lines are written of those that repeat themselves.
///
/// Lines are alike if they have the same message and level; a call's line also has its method and
/// code compared. In each interval the first so many of a kind are written, and then one of so many.
/// How many were not is said in a line of its own when the interval is over and another line comes,
/// and at a [flush](crate::Logger::flush).
///
/// ```
/// use purlin_log::{Logger, Sampling};
///
/// let log = Logger::logfmt(std::io::stderr()).sampling(Sampling::first(10).each(100))?;
/// (0..500).for_each(|_| log.info("again").send());
/// assert_eq!(log.handle().suppressed(), 486);
/// # Ok::<_, purlin_endpoint::Invalid>(())
/// ```
///
/// A thousand kinds are told apart in an interval; all others count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct Sampling {
    first: u64,
    each: u64,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    interval: Duration,
}

/// The first hundred of a kind in each second, and then one of a hundred.
impl Default for Sampling {
    fn default() -> Self {
        Self { first: 100, each: 100, interval: Duration::from_secs(1) }
    }
}

impl Sampling {
    /// Writes this many of a kind in each interval, and none after them.
    pub fn first(first: u64) -> Self {
        Self { first, each: 0, ..Self::default() }
    }

    /// Writes one of this many of those that come after the first; none of them if it is zero.
    #[must_use]
    pub const fn each(self, each: u64) -> Self {
        Self { each, ..self }
    }

    /// Begins anew after this long.
    #[must_use]
    pub const fn interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if self.first == 0 {
            return Err(Invalid { field: "first", why: "must be at least one" });
        }
        if self.interval.is_zero() {
            return Err(Invalid { field: "interval", why: "must be more than zero" });
        }
        Ok(())
    }

    /// Whether the line is written that comes as number `seen` of its kind.
    fn writes(&self, seen: u64) -> bool {
        match seen.checked_sub(self.first) {
            None | Some(0) => true,
            Some(after) => self.each > 0 && after % self.each == 0,
        }
    }
}

/// Counts lines, each in an interval that all kinds share.
pub(crate) struct Sampler {
    config: Sampling,
    /// When this interval is over; `None` before the first line.
    ends: Option<Instant>,
    kinds: HashMap<u64, Kind>,
    /// So that nobody can send messages that are taken for each other.
    hasher: RandomState,
}

/// Lines that are alike.
struct Kind {
    level: Level,
    text: String,
    seen: u64,
    suppressed: u64,
}

/// What was not written of a kind.
#[derive(Debug, PartialEq)]
pub(crate) struct Suppressed {
    pub(crate) level: Level,
    /// The message, and what else is compared.
    pub(crate) text: String,
    pub(crate) lines: u64,
}

/// How many kinds are told apart.
const KINDS: usize = 1000;

/// How much of a message is kept, in bytes.
const KEPT: usize = 256;

/// What all kinds are called that are not told apart.
const OTHERS: &[&str] = &["(others)"];

impl Sampler {
    pub(crate) fn new(config: Sampling) -> Self {
        Self { config, ends: None, kinds: HashMap::new(), hasher: RandomState::new() }
    }

    /// Whether this line is written. If an interval is over, what was not written in it is told.
    pub(crate) fn admit(
        &mut self,
        level: Level,
        kind: &[&str],
        now: Instant,
    ) -> (bool, Vec<Suppressed>) {
        let told = if self.ends.is_some_and(|ends| now < ends) {
            Vec::new()
        } else {
            self.ends = now.checked_add(self.config.interval);
            self.take()
        };
        let mut key = self.hasher.hash_one((level, kind));
        let mut text = kind;
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&key) {
            (key, text) = (self.hasher.hash_one((level, OTHERS)), OTHERS);
        }
        let kind = self.kinds.entry(key).or_insert_with(|| Kind::new(level, text));
        kind.seen += 1;
        let written = self.config.writes(kind.seen);
        kind.suppressed += u64::from(!written);
        (written, told)
    }

    /// Takes out what was not written, and begins anew.
    pub(crate) fn take(&mut self) -> Vec<Suppressed> {
        let kinds = self.kinds.drain().map(|(_, kind)| kind);
        kinds
            .filter(|kind| kind.suppressed > 0)
            .map(|Kind { level, text, suppressed, .. }| Suppressed {
                level,
                text,
                lines: suppressed,
            })
            .collect()
    }
}

impl Kind {
    fn new(level: Level, text: &[&str]) -> Self {
        let mut text = text.join(" ");
        text.truncate(text.floor_char_boundary(KEPT));
        Self { level, text, seen: 0, suppressed: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sampler(first: u64, each: u64) -> Sampler {
        Sampler::new(Sampling::first(first).each(each).interval(SECOND))
    }

    /// Which of so many lines of a kind are written, by their number.
    fn written(sampler: &mut Sampler, lines: u64, now: Instant) -> Vec<u64> {
        (1..=lines).filter(|_| sampler.admit(Level::Info, &["again"], now).0).collect()
    }

    #[test]
    fn the_first_so_many_are_written_and_then_one_of_so_many() {
        let now = Instant::now();
        assert_eq!(written(&mut sampler(3, 10), 35, now), [1, 2, 3, 13, 23, 33]);
        assert_eq!(written(&mut sampler(2, 0), 35, now), [1, 2]);
    }

    #[test]
    fn what_was_not_written_is_told_when_the_interval_is_over() {
        let (now, mut sampler) = (Instant::now(), sampler(1, 0));
        written(&mut sampler, 5, now);
        let (admitted, told) = sampler.admit(Level::Info, &["other"], now + SECOND);
        assert!(admitted);
        assert_eq!(told, [Suppressed { level: Level::Info, text: "again".into(), lines: 4 }]);
        assert_eq!(written(&mut sampler, 5, now + SECOND), [1], "the count begins anew");
    }

    #[test]
    fn lines_of_another_level_or_message_are_another_kind() {
        let (now, mut sampler) = (Instant::now(), sampler(1, 0));
        assert!(sampler.admit(Level::Info, &["a", "b"], now).0);
        assert!(sampler.admit(Level::Warn, &["a", "b"], now).0);
        assert!(sampler.admit(Level::Info, &["a", "c"], now).0);
        assert!(sampler.admit(Level::Info, &["ab"], now).0);
        assert!(!sampler.admit(Level::Info, &["a", "b"], now).0);
    }

    #[test]
    fn whatever_is_sent_the_table_is_bounded() {
        let (now, mut sampler) = (Instant::now(), sampler(1, 0));
        let long = "é".repeat(KEPT);
        let written = (0..100_000)
            .filter(|n| sampler.admit(Level::Info, &[&format!("{n} {long}")], now).0)
            .count();
        assert_eq!(written, KINDS + 1, "all others are one kind");
        assert_eq!(sampler.kinds.len(), KINDS + 1);
        assert!(sampler.kinds.values().all(|kind| kind.text.len() <= KEPT));
        let told = sampler.take();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].text.as_str(), told[0].lines), ("(others)", 100_000 - 1001));
    }

    #[test]
    fn a_mistake_names_its_field() {
        assert_eq!(Sampling::first(0).check().unwrap_err().field, "first");
        let never = Sampling::default().interval(Duration::ZERO);
        assert_eq!(never.check().unwrap_err().field, "interval");
    }
}
