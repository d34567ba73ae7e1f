use super::*;

const MILLI: Duration = Duration::from_millis(1);

/// A service with so many workers, each as fast, and as many callers as the limit lets in.
struct Served {
    adaptive: Adaptive,
    now: Instant,
}

impl Served {
    fn new(config: AdaptiveLimit) -> Self {
        Self { adaptive: Adaptive::new(config, None), now: Instant::now() }
    }

    /// Lets as many in as the limit allows, but not more than come, for that long. What exceeds
    /// the workers waits for its turn, and takes as much longer.
    fn run(&mut self, seconds: f64, workers: u32, service: Duration, come: u32) -> &mut Self {
        let until = self.now + Duration::from_secs_f64(seconds);
        while self.now < until {
            let in_flight = self.adaptive.limit().min(come);
            let took = service.mul_f64((f64::from(in_flight) / f64::from(workers)).max(1.0));
            self.now += took / in_flight;
            self.adaptive.sample(&Sample { at: self.now, took: Some(took) }, in_flight);
        }
        self
    }

    fn limit(&self) -> f64 {
        self.adaptive.limit
    }
}

fn gradient() -> AdaptiveLimit {
    AdaptiveLimit::gradient().min(1)
}

const MANY: u32 = 100_000;

#[test]
fn the_gradient_finds_what_the_service_can_do_and_stays_there() {
    let mut served = Served::new(gradient());
    // At 1.5 times its latency a service with 20 workers has 30 in flight, and 4 may wait.
    for minute in 1..=10 {
        let limit = served.run(60.0, 20, 20 * MILLI, MANY).limit();
        assert!((30.0..40.0).contains(&limit), "{limit} after {minute} minutes");
    }
}

#[test]
fn a_gradient_that_started_in_overload_finds_its_way_down() {
    let mut served = Served::new(gradient().initial(150));
    let limit = served.run(120.0, 20, 20 * MILLI, MANY).limit();
    assert!((30.0..40.0).contains(&limit), "{limit}");
}

#[test]
fn a_service_that_has_become_slower_for_good_is_not_throttled_for_good() {
    let mut served = Served::new(gradient());
    served.run(10.0, 20, 20 * MILLI, MANY);
    let limit = served.run(30.0, 20, 80 * MILLI, MANY).limit();
    assert!((25.0..40.0).contains(&limit), "{limit}");
}

#[test]
fn half_of_the_workers_get_half_of_the_calls() {
    let mut served = Served::new(gradient());
    served.run(10.0, 20, 20 * MILLI, MANY);
    let limit = served.run(60.0, 10, 20 * MILLI, MANY).limit();
    assert!((15.0..22.0).contains(&limit), "{limit}");
}

#[test]
fn the_gradient_grows_only_while_half_of_the_limit_is_used() {
    let mut served = Served::new(gradient());
    let limit = served.run(60.0, 1000, 20 * MILLI, 40).limit();
    assert!((80.0..82.0).contains(&limit), "{limit}");
    let most = served.run(600.0, 1000, 20 * MILLI, MANY).limit();
    assert_eq!(most, 200.0, "it never exceeds its maximum");
}

#[test]
fn a_healthy_service_at_its_maximum_is_never_looked_into() {
    let mut served = Served::new(gradient().initial(50).max(50));
    served.run(1.0, 1000, 20 * MILLI, 5);
    for _ in 0..100 {
        served.run(1.0, 1000, 20 * MILLI, MANY);
        assert_eq!(served.adaptive.gradient.look, Look::No);
    }
}

#[test]
fn aimd_grows_by_one_in_a_window_and_shrinks_by_a_tenth() {
    let mut served = Served::new(AdaptiveLimit::aimd());
    // Calls of 10 ms, ten in each window of 100 ms and one that opens it.
    let windows = |served: &mut Served, count, took: Option<Duration>| {
        for _ in 0..count * 11 {
            served.now += 10 * MILLI;
            served.adaptive.sample(&Sample { at: served.now, took }, 20);
        }
        served.limit()
    };
    assert_eq!(windows(&mut served, 5, Some(10 * MILLI)), 25.0);
    assert_eq!(windows(&mut served, 1, None), 22.5);
    assert_eq!(windows(&mut served, 1, Some(6000 * MILLI)), 20.25);
    assert_eq!(windows(&mut served, 99, None), 20.0, "it never falls below its minimum");
    assert_eq!(windows(&mut served, 300, Some(10 * MILLI)), 41.0, "half of it must be in use");
}

#[test]
fn a_window_with_a_drop_shrinks_the_gradient_whatever_the_latency() {
    let mut served = Served::new(gradient().initial(100));
    for _ in 0..11 {
        served.now += 10 * MILLI;
        served.adaptive.sample(&Sample { at: served.now, took: None }, 100);
    }
    assert_eq!(served.limit(), 90.8);
}

#[test]
fn another_configuration_keeps_what_was_learned() {
    let mut served = Served::new(gradient());
    let limit = served.run(10.0, 20, 20 * MILLI, MANY).limit();
    let kept = Adaptive::new(gradient().initial(5).slow(MILLI), Some(&served.adaptive));
    assert_eq!(kept.limit, limit);
    let bounded = Adaptive::new(gradient().initial(10).max(10), Some(&served.adaptive));
    assert_eq!(bounded.limit, 10.0);
}
