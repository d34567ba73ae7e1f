//! Taking instances out for a while that fail more than others.

use purlin_endpoint::Invalid;
use std::time::Duration;
use tokio::time::Instant;

/// When an instance is taken out, and for how long.
///
/// It is taken out at once after so many failures in a row, or at the end of an interval in which
/// its calls succeeded far less often than those of the others; for longer each time. It keeps its
/// connection. The algorithm and the defaults are those of
/// [Envoy](https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier) and
/// [gRPC's A50](https://github.com/grpc/proposal/blob/master/A50-xds-outlier-detection.md).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ejection {
    pub(crate) consecutive: u32,
    pub(crate) interval: Duration,
    pub(crate) base: Duration,
    pub(crate) longest: Duration,
    pub(crate) share: f64,
    pub(crate) deviations: f64,
    pub(crate) failures: f64,
}

/// How many instances must have had enough calls before they are compared.
const INSTANCES: usize = 5;
/// How many calls are enough to compare by the rate of success.
const SUCCESS_CALLS: u32 = 100;
/// How many calls are enough to judge by the share of failures.
const FAILURE_CALLS: u32 = 50;

impl Default for Ejection {
    fn default() -> Self {
        Self {
            consecutive: 5,
            interval: Duration::from_secs(10),
            base: Duration::from_secs(30),
            longest: Duration::from_secs(300),
            share: 0.1,
            deviations: 1.9,
            failures: 0.85,
        }
    }
}

impl Ejection {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// After so many failures in a row: 5 unless set.
    #[must_use]
    pub fn consecutive(self, consecutive: u32) -> Self {
        Self { consecutive, ..self }
    }

    /// How often instances are compared: every 10 s unless set.
    #[must_use]
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// For how long the first time, and so much longer each further time: 30 s unless set.
    #[must_use]
    pub fn base(self, base: Duration) -> Self {
        Self { base, ..self }
    }

    /// For how long at most: 300 s unless set.
    #[must_use]
    pub fn longest(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// No further ones once this share of all is out: 0.1 unless set. One can always be out.
    #[must_use]
    pub fn share(self, share: f64) -> Self {
        Self { share, ..self }
    }

    /// When its rate of success is so many standard deviations below the mean: 1.9 unless set. It
    /// takes five instances with 100 calls in the interval each.
    #[must_use]
    pub fn deviations(self, deviations: f64) -> Self {
        Self { deviations, ..self }
    }

    /// When more than this share of its calls failed: 0.85 unless set. It takes five instances
    /// with 50 calls in the interval each.
    #[must_use]
    pub fn failures(self, failures: f64) -> Self {
        Self { failures, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let wrong = |field, why| Err(Invalid { field, why });
        if self.consecutive == 0 {
            return wrong("consecutive", "must be at least one");
        }
        if self.interval.is_zero() || self.base.is_zero() {
            return wrong("interval", "and base must be more than zero");
        }
        if !(0.0..=1.0).contains(&self.share) {
            return wrong("share", "must be a number from 0 to 1");
        }
        if !(self.deviations.is_finite() && self.deviations > 0.0) {
            return wrong("deviations", "must be a positive number");
        }
        if !(0.0..=1.0).contains(&self.failures) {
            return wrong("failures", "must be a number from 0 to 1");
        }
        Ok(())
    }

    /// How long an instance stays out that was taken out so many times.
    fn duration(&self, times: u32) -> Duration {
        self.base.saturating_mul(times).min(self.longest.max(self.base))
    }
}

/// What is remembered of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Record {
    /// Since when it is out.
    out: Option<Instant>,
    /// How many times it was taken out, less the clean intervals since.
    times: u32,
}

impl Record {
    /// Whether it is out.
    pub fn is_out(&self) -> bool {
        self.out.is_some()
    }

    /// When it comes back.
    pub fn back(&self, ejection: &Ejection) -> Option<Instant> {
        Some(self.out? + ejection.duration(self.times))
    }
}

/// How an instance's calls ended in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that succeeded, and those that failed by their caller's fault.
    pub successes: u32,
    /// Calls that failed by the instance's fault.
    pub failures: u32,
}

impl Tally {
    fn calls(self) -> u32 {
        self.successes.saturating_add(self.failures)
    }

    /// What was counted since, by counters that wrap.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            successes: self.successes.wrapping_sub(before.successes),
            failures: self.failures.wrapping_sub(before.failures),
        }
    }

    fn success_rate(self) -> f64 {
        f64::from(self.successes) / f64::from(self.calls())
    }
}

/// Takes an instance out, unless too many are; says whether it did.
pub fn eject(ejection: &Ejection, records: &mut [Record], index: usize, now: Instant) -> bool {
    let out = records.iter().filter(|record| record.is_out()).count();
    let enough = out > 0 && out as f64 >= ejection.share * records.len() as f64;
    match records.get_mut(index) {
        Some(record) if !enough && !record.is_out() => {
            *record = Record { out: Some(now), times: record.times.saturating_add(1) };
            true
        }
        _ => false,
    }
}

/// Lets those back whose time is over; says whether there were any.
pub fn readmit(ejection: &Ejection, records: &mut [Record], now: Instant) -> bool {
    let mut any = false;
    for record in records {
        if record.back(ejection).is_some_and(|back| back <= now) {
            record.out = None;
            any = true;
        }
    }
    any
}

/// Ends an interval: compares instances by how their calls ended in it.
///
/// `tallies` are those of the same instances as `records`.
pub fn sweep(ejection: &Ejection, records: &mut [Record], tallies: &[Tally], now: Instant) {
    for record in records.iter_mut().filter(|record| !record.is_out()) {
        record.times = record.times.saturating_sub(1);
    }
    let enough = |calls| move |(_, tally): &(usize, &Tally)| tally.calls() >= calls;
    let compared: Vec<_> = tallies.iter().enumerate().filter(enough(SUCCESS_CALLS)).collect();
    if compared.len() >= INSTANCES {
        let count = compared.len() as f64;
        let rates = || compared.iter().map(|(_, tally)| tally.success_rate());
        let mean = rates().sum::<f64>() / count;
        let variance = rates().map(|rate| (rate - mean).powi(2)).sum::<f64>() / count;
        let least = mean - variance.sqrt() * ejection.deviations;
        for (index, tally) in &compared {
            if tally.success_rate() < least {
                eject(ejection, records, *index, now);
            }
        }
    }
    let judged: Vec<_> = tallies.iter().enumerate().filter(enough(FAILURE_CALLS)).collect();
    if judged.len() >= INSTANCES {
        for (index, tally) in judged {
            if 1.0 - tally.success_rate() > ejection.failures {
                eject(ejection, records, index, now);
            }
        }
    }
    readmit(ejection, records, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn tallies(successes: &[u32]) -> Vec<Tally> {
        successes.iter().map(|&successes| Tally { successes, failures: 100 - successes }).collect()
    }

    fn out(records: &[Record]) -> Vec<usize> {
        (0..records.len()).filter(|index| records[*index].is_out()).collect()
    }

    #[test]
    fn one_can_always_be_out_and_no_more_than_the_share() {
        let (ejection, now) = (Ejection::default(), Instant::now());
        let mut two = [Record::default(); 2];
        assert!(eject(&ejection, &mut two, 0, now));
        assert!(!eject(&ejection, &mut two, 0, now), "one that is out is not taken out again");
        assert!(!eject(&ejection, &mut two, 1, now));
        let mut thirty = [Record::default(); 30];
        let ejected = (0..30).filter(|index| eject(&ejection, &mut thirty, *index, now)).count();
        assert_eq!(ejected, 3);
    }

    #[test]
    fn each_time_lasts_longer_up_to_the_longest_and_clean_intervals_are_forgiven() {
        let (ejection, mut now) = (Ejection::default(), Instant::now());
        let mut records = [Record::default()];
        for expected in [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300] {
            assert!(eject(&ejection, &mut records, 0, now));
            assert_eq!(records[0].back(&ejection), Some(now + expected * SECOND));
            assert!(!readmit(&ejection, &mut records, now + (expected - 1) * SECOND));
            now += expected * SECOND;
            assert!(readmit(&ejection, &mut records, now));
        }
        for _ in 0..10 {
            sweep(&ejection, &mut records, &[Tally::default()], now);
        }
        assert!(eject(&ejection, &mut records, 0, now));
        assert_eq!(records[0].back(&ejection), Some(now + 60 * SECOND));
    }

    #[test]
    fn one_that_succeeds_far_less_often_than_the_others_is_taken_out() {
        let (ejection, now) = (Ejection::default(), Instant::now());
        let mut records = [Record::default(); 5];
        sweep(&ejection, &mut records, &tallies(&[100, 100, 100, 100, 50]), now);
        assert_eq!(out(&records), [4]);
    }

    #[test]
    fn where_all_fail_alike_none_is_an_outlier() {
        let (ejection, now) = (Ejection::default().failures(1.0), Instant::now());
        let mut records = [Record::default(); 6];
        sweep(&ejection, &mut records, &tallies(&[50; 6]), now);
        assert!(out(&records).is_empty());
    }

    #[test]
    fn too_few_calls_or_instances_say_nothing() {
        let (ejection, now) = (Ejection::default(), Instant::now());
        let mut four = [Record::default(); 4];
        sweep(&ejection, &mut four, &tallies(&[100, 100, 100, 0]), now);
        assert!(out(&four).is_empty());
        let mut five = [Record::default(); 5];
        let mut quiet = tallies(&[100, 100, 100, 100, 0]);
        quiet[4] = Tally { successes: 0, failures: 49 };
        sweep(&ejection, &mut five, &quiet, now);
        assert!(out(&five).is_empty());
    }

    #[test]
    fn one_that_nearly_always_fails_is_taken_out_however_the_others_do() {
        let (ejection, now) = (Ejection::default().share(1.0), Instant::now());
        let mut records = [Record::default(); 6];
        sweep(&ejection, &mut records, &tallies(&[14, 14, 15, 14, 14, 14]), now);
        // 86 % is more than the 85 % that are allowed, and 85 % is not.
        assert_eq!(out(&records), [0, 1, 3, 4, 5]);
    }

    /// The same rules, written as A50 and Envoy's page say them, one after the other.
    fn reference(
        ejection: &Ejection,
        records: &[Record],
        tallies: &[Tally],
        now: Instant,
    ) -> Vec<Record> {
        let mut records = records.to_vec();
        for record in &mut records {
            if record.out.is_none() && record.times > 0 {
                record.times -= 1;
            }
        }
        let percent_out = |records: &[Record]| {
            100.0 * records.iter().filter(|record| record.out.is_some()).count() as f64
                / records.len() as f64
        };
        let mut take_out = |index: usize| {
            let none_out = records.iter().all(|record| record.out.is_none());
            let full = percent_out(&records) >= 100.0 * ejection.share && !none_out;
            if !full && records[index].out.is_none() {
                records[index].out = Some(now);
                records[index].times += 1;
            }
        };
        let rate = |tally: &Tally| f64::from(tally.successes) / f64::from(tally.calls());
        let rates: Vec<f64> = tallies.iter().filter(|it| it.calls() >= 100).map(rate).collect();
        if rates.len() >= 5 {
            let mean = rates.iter().sum::<f64>() / rates.len() as f64;
            let spread = rates.iter().map(|it| (it - mean) * (it - mean)).sum::<f64>();
            let deviation = (spread / rates.len() as f64).sqrt();
            for (index, tally) in tallies.iter().enumerate() {
                if tally.calls() >= 100 && rate(tally) < mean - deviation * ejection.deviations {
                    take_out(index);
                }
            }
        }
        if tallies.iter().filter(|tally| tally.calls() >= 50).count() >= 5 {
            for (index, tally) in tallies.iter().enumerate() {
                if tally.calls() >= 50 && 1.0 - rate(tally) > ejection.failures {
                    take_out(index);
                }
            }
        }
        for record in &mut records {
            if let Some(since) = record.out {
                let time = ejection.base * record.times;
                if now >= since + time.min(ejection.base.max(ejection.longest)) {
                    record.out = None;
                }
            }
        }
        records
    }

    #[test]
    fn ten_thousand_histories_agree_with_the_rules_read_one_by_one() {
        let mut random = fastrand::Rng::with_seed(50);
        let mut taken_out = 0;
        for _ in 0..10_000 {
            let ejection = Ejection::default().share([0.1, 0.3, 1.0][random.usize(..3)]);
            let mut records = vec![Record::default(); random.usize(1..20)];
            let mut now = Instant::now();
            for _ in 0..random.usize(1..12) {
                let bad = random.f64();
                let tallies: Vec<Tally> = records
                    .iter()
                    .map(|_| {
                        let calls = random.u32(..250);
                        let failing = if random.f64() < bad { random.f64() } else { 0.02 };
                        let failures = (f64::from(calls) * failing) as u32;
                        Tally { successes: calls - failures, failures }
                    })
                    .collect();
                now += ejection.interval;
                let expected = reference(&ejection, &records, &tallies, now);
                sweep(&ejection, &mut records, &tallies, now);
                assert_eq!(records, expected);
                taken_out += out(&records).len();
            }
        }
        assert!(taken_out > 10_000, "the histories have something to find");
    }
}
