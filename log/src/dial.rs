//! The level that is written, and for how long.

use crate::Level;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;

/// The level above all others, where nothing is written.
pub(crate) const OFF: u8 = Level::Error as u8 + 1;

/// The least level that is written, as all threads share it: one word, so that it changes at once.
///
/// Where a level holds for a time only, the clock is read for each line; nothing else waits for it.
#[derive(Debug)]
pub(crate) struct Dial {
    setting: AtomicU64,
    origin: Instant,
}

/// What a [`Dial`] is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) least: u8,
    /// What comes when the time is over.
    pub(crate) afterwards: u8,
    /// When that is, in milliseconds after the dial's origin: zero if never.
    until: u64,
}

impl Setting {
    const fn of(least: u8) -> Self {
        Self { least, afterwards: least, until: 0 }
    }

    /// The setting as it is so many milliseconds after the origin.
    fn at(self, now: u64) -> Self {
        if self.until != 0 && self.until <= now { Self::of(self.afterwards) } else { self }
    }

    /// Another level for so many milliseconds, and then what would have been without it.
    fn interrupted(self, least: u8, now: u64, millis: u64) -> Self {
        let afterwards = self.at(now).afterwards;
        let until = now.saturating_add(millis).clamp(1, u64::MAX >> 16);
        Self { least, afterwards, until }
    }

    fn pack(self) -> u64 {
        self.until << 16 | u64::from(self.afterwards) << 8 | u64::from(self.least)
    }

    fn unpack(word: u64) -> Self {
        Self { least: word as u8, afterwards: (word >> 8) as u8, until: word >> 16 }
    }
}

impl Dial {
    pub(crate) fn new(least: u8) -> Self {
        Self { setting: AtomicU64::new(Setting::of(least).pack()), origin: Instant::now() }
    }

    /// The least level that is written just now.
    #[inline]
    pub(crate) fn least(&self) -> u8 {
        let setting = Setting::unpack(self.setting.load(Relaxed));
        if setting.until == 0 { setting.least } else { self.now().least }
    }

    pub(crate) fn set(&self, least: u8) {
        self.setting.store(Setting::of(least).pack(), Relaxed);
    }

    pub(crate) fn set_for(&self, least: u8, time: Duration) {
        let now = self.millis();
        // Up to a millisecond longer rather than not at all.
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let interrupted = |word| Some(Setting::unpack(word).interrupted(least, now, millis).pack());
        // It never declines.
        let _ = self.setting.fetch_update(Relaxed, Relaxed, interrupted);
    }

    /// What it is set to just now.
    pub(crate) fn now(&self) -> Setting {
        let word = self.setting.load(Relaxed);
        let setting = Setting::unpack(word).at(self.millis());
        if setting.pack() != word {
            // It is over for good. Whoever has set another one meanwhile is right.
            let _ = self.setting.compare_exchange(word, setting.pack(), Relaxed, Relaxed);
        }
        setting
    }

    /// How long the level holds, if only for a time.
    pub(crate) fn left(&self) -> Option<Duration> {
        let (now, setting) = (self.millis(), Setting::unpack(self.setting.load(Relaxed)));
        (setting.until > now).then(|| Duration::from_millis(setting.until - now))
    }

    fn millis(&self) -> u64 {
        let since = Instant::now().saturating_duration_since(self.origin);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_for_a_time_gives_way_to_the_one_before_it() {
        let setting = Setting::of(1).interrupted(0, 100, 50);
        assert_eq!((setting.at(149).least, setting.at(150)), (0, Setting::of(1)));
    }

    #[test]
    fn a_second_level_for_a_time_replaces_the_first_and_not_what_comes_after_it() {
        let first = Setting::of(1).interrupted(0, 100, 50);
        assert_eq!(first.interrupted(3, 120, 10).at(130), Setting::of(1));
        assert_eq!(first.interrupted(3, 200, 10).at(210), Setting::of(1));
    }

    #[test]
    fn a_setting_is_one_word() {
        for setting in [Setting::of(OFF), Setting::of(1).interrupted(0, u64::MAX, u64::MAX)] {
            assert_eq!(Setting::unpack(setting.pack()), setting);
        }
    }
}
