use super::*;
use proptest::{collection::vec, prelude::*};

const SECOND: u64 = 1_000_000_000;

fn terms(calls: f64, burst: u32) -> Terms {
    Terms::of(&RateLimit::per_second(calls).burst(burst))
}

#[test]
fn a_burst_passes_and_the_next_call_is_told_when_to_come_back() {
    let (bucket, terms) = (Bucket::default(), terms(1.0, 2));
    assert!(bucket.take(&terms, 0, 0).is_ok());
    assert!(bucket.take(&terms, 0, 0).is_ok());
    assert_eq!(bucket.take(&terms, 0, 0), Err(SECOND));
    assert_eq!(bucket.take(&terms, SECOND / 4, 0), Err(3 * SECOND / 4));
    assert!(bucket.take(&terms, SECOND, 0).is_ok());
}

#[test]
fn a_refused_call_takes_no_token() {
    let (bucket, terms) = (Bucket::default(), terms(1.0, 1));
    assert!(bucket.take(&terms, 0, 0).is_ok());
    for _ in 0..100 {
        assert_eq!(bucket.take(&terms, 0, 0), Err(SECOND));
    }
    assert!(bucket.take(&terms, SECOND, 0).is_ok());
}

#[test]
fn waiting_calls_have_their_turns_one_after_the_other() {
    let (bucket, terms) = (Bucket::default(), terms(1.0, 1));
    let waits = [0, 0, 0, 0].map(|now| bucket.take(&terms, now, 2 * SECOND).map(|t| t.wait));
    assert_eq!(waits, [Ok(0), Ok(SECOND), Ok(2 * SECOND), Err(3 * SECOND)]);
}

#[test]
fn the_last_of_those_who_wait_gives_its_token_back_and_an_earlier_one_loses_it() {
    let (bucket, terms) = (Bucket::default(), terms(1.0, 1));
    let take = || bucket.take(&terms, 0, 9 * SECOND);
    assert_eq!(take().unwrap().wait, 0);
    let (first, second) = (take().unwrap(), take().unwrap());
    bucket.give_back(first);
    assert_eq!(take().unwrap().wait, 3 * SECOND, "the second has been told when it comes");
    let last = take().unwrap();
    bucket.give_back(last);
    assert_eq!(take().unwrap().wait, last.wait);
    assert_eq!(second.wait, 2 * SECOND);
}

#[test]
fn other_terms_leave_taken_what_was_taken() {
    let (slow, fast) = (terms(1.0, 4), terms(100.0, 4));
    for (old, new) in [(&slow, &fast), (&fast, &slow)] {
        let bucket = Bucket::default();
        let now = 60 * SECOND;
        for _ in 0..3 {
            assert!(bucket.take(old, now, 0).is_ok());
        }
        bucket.change(old, new, now);
        assert_eq!(bucket.tokens(new, now), 1);
        assert!(bucket.take(new, now, 0).is_ok());
        assert_eq!(bucket.take(new, now, 0), Err(new.interval));
    }
}

#[test]
fn a_smaller_burst_leaves_an_empty_bucket_and_no_debt() {
    let (old, new) = (terms(1.0, 100), terms(1.0, 1));
    let bucket = Bucket::default();
    while bucket.take(&old, 0, 0).is_ok() {}
    bucket.change(&old, &new, 0);
    assert_eq!(bucket.take(&new, 0, 0), Err(SECOND));
    // The same for one that such a change has missed.
    let bucket = Bucket::default();
    while bucket.take(&old, 0, 0).is_ok() {}
    bucket.settle(&new, 0);
    assert_eq!(bucket.take(&new, 0, 0), Err(SECOND));
}

#[test]
fn a_full_bucket_stays_full_under_other_terms() {
    let bucket = Bucket::default();
    bucket.change(&terms(1.0, 1), &terms(5.0, 3), 7 * SECOND);
    assert_eq!(bucket.tokens(&terms(5.0, 3), 7 * SECOND), 3);
    assert!(bucket.is_full(7 * SECOND));
}

#[test]
fn no_extreme_overflows() {
    let limit = RateLimit::new(1, CENTURY / 2).patience(Duration::MAX);
    let (terms, bucket) = (Terms::of(&limit), Bucket::default());
    for now in [u64::MAX, 0, u64::MAX - 1] {
        let _ = bucket.take(&terms, now, u64::MAX);
        bucket.settle(&terms, now);
        bucket.change(&terms, &terms, now);
        assert!(bucket.tokens(&terms, now) <= 1);
    }
}

/// Whether some window of a period holds more of these instants than this.
fn exceeds(admitted: &mut [u64], period: u64, most: usize) -> bool {
    admitted.sort_unstable();
    admitted.windows(most + 1).any(|window| window[most] - window[0] <= period)
}

/// A token bucket as one thinks of it: so much time has been saved up, and a call spends some.
struct Savings {
    saved: u64,
    last: u64,
}

impl Savings {
    fn take(&mut self, terms: &Terms, now: u64) -> bool {
        self.saved = (self.saved + (now - self.last)).min(terms.slack + terms.interval);
        self.last = now;
        let admitted = self.saved >= terms.interval;
        self.saved -= if admitted { terms.interval } else { 0 };
        admitted
    }
}

/// A million arrivals in CI, a hundred million when there is time.
fn arrivals() -> u64 {
    if std::env::var_os("PURLIN_SOAK").is_some() { 100_000_000 } else { 1_000_000 }
}

#[test]
fn no_window_of_random_arrivals_holds_more_than_the_limit_and_the_burst() {
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..arrivals() / 20_000 {
        let (calls, burst) = (random.u32(1..200), random.u32(1..50));
        let terms = terms(calls.into(), burst);
        let (bucket, mut now, mut admitted) = (Bucket::default(), 0, Vec::new());
        for _ in 0..20_000 {
            // Crowds, quiet times, and all rates about the limit.
            now += match random.u32(0..100) {
                0 => random.u64(0..3 * SECOND),
                1..60 => 0,
                _ => random.u64(0..2 * terms.interval),
            };
            // With a clock that jumps, in every other round.
            let jump = if round % 2 == 0 { 0 } else { random.u64(0..2 * SECOND) };
            let shown = now.saturating_sub(jump);
            if bucket.take(&terms, shown, 0).is_ok() {
                admitted.push(shown);
            }
        }
        let most = (calls + burst) as usize;
        assert!(!exceeds(&mut admitted, SECOND, most), "{terms:?}, round {round}");
        assert!(admitted.len() > most, "{terms:?}: this was no test");
    }
}

#[test]
fn a_bucket_admits_exactly_whom_a_counted_one_would() {
    let mut random = fastrand::Rng::with_seed(6);
    for _ in 0..arrivals() / 20_000 {
        let terms = terms(random.f64() * 1000.0 + 0.01, random.u32(1..20));
        let mut model = Savings { saved: terms.slack + terms.interval, last: 0 };
        let (bucket, mut now) = (Bucket::default(), 0);
        for _ in 0..20_000 {
            now += random.u64(0..2 * terms.interval) * random.u64(0..2);
            let expected = model.take(&terms, now);
            assert_eq!(bucket.take(&terms, now, 0).is_ok(), expected, "{terms:?} at {now}");
            assert_eq!(bucket.tokens(&terms, now), model.saved / terms.interval);
        }
    }
}

#[test]
fn the_rate_in_the_long_run_is_what_was_asked_for() {
    for calls in [0.3, 1.0, 3.0, 7.0, 99.9, 333.3, 10_007.0, 999_983.0] {
        let (bucket, terms) = (Bucket::default(), terms(calls, 5));
        let (mut now, mut admitted) = (0, 0_u32);
        // There is always somebody who wants in.
        while admitted < 100_000 {
            match bucket.take(&terms, now, 0) {
                Ok(_) => admitted += 1,
                Err(wait) => now += wait,
            }
        }
        let rate = f64::from(admitted - 5) / (now as f64 / SECOND as f64);
        assert!((0.999..=1.0).contains(&(rate / calls)), "{rate} for {calls}");
    }
}

#[test]
fn threads_share_one_limit() {
    let (bucket, terms, clock) = (Bucket::default(), terms(1000.0, 10), AtomicU64::new(0));
    let caller = |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut admitted = Vec::new();
        for _ in 0..50_000 {
            // Each has read the clock and may be overtaken before it asks.
            let now = clock.fetch_add(random.u64(0..100_000), Relaxed);
            if bucket.take(&terms, now, 0).is_ok() {
                admitted.push(now);
            }
        }
        admitted
    };
    let mut admitted: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || caller(seed))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let end = clock.load(Relaxed);
    assert!(admitted.len() as u64 > end / terms.interval * 9 / 10, "{}", admitted.len());
    assert!(!exceeds(&mut admitted, SECOND, 1010));
}

proptest! {
    #[test]
    fn any_limit_holds_for_any_clock_and_patience(
        calls in 1_u32..100,
        period in 1_u64..100_000,
        burst in 1_u32..20,
        arrivals in vec((0_u64..300_000, 0_u64..100_000), 1..500),
    ) {
        let limit = RateLimit::new(calls, Duration::from_nanos(period)).burst(burst);
        let (terms, bucket) = (Terms::of(&limit), Bucket::default());
        let admit = |&(now, patience)| Some(now + bucket.take(&terms, now, patience).ok()?.wait);
        let mut admitted: Vec<u64> = arrivals.iter().filter_map(admit).collect();
        prop_assert!(!exceeds(&mut admitted, period, (calls + burst) as usize));
    }

    #[test]
    fn who_comes_when_told_is_admitted(
        calls in 0.001_f64..1e6,
        burst in 1_u32..20,
        arrivals in vec(0_u64..SECOND, 1..100),
    ) {
        let (terms, bucket) = (terms(calls, burst), Bucket::default());
        let mut now = 0;
        for after in arrivals {
            now += after;
            if let Err(wait) = bucket.take(&terms, now, 0) {
                prop_assert!(bucket.take(&terms, now + wait - 1, 0).is_err());
                now += wait;
                prop_assert!(bucket.take(&terms, now, 0).is_ok());
            }
        }
    }
}
