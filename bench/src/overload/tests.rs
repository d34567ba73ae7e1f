//! What a limit promises under overload, and that the picture shows it.

use std::sync::LazyLock;

use super::*;

/// All tests look at one simulation: it is the same each time.
static SHOWN: LazyLock<Shown> = LazyLock::new(|| Shown::simulate().unwrap());

const LIMITED: usize = 0;
const BARE: usize = 1;

fn goodputs(which: usize) -> Vec<(f64, f64)> {
    SHOWN.loads.iter().map(|(load, both)| (*load, both[which].goodput(SETTLED))).collect()
}

fn peak(which: usize) -> f64 {
    goodputs(which).iter().map(|(_, goodput)| *goodput).fold(0.0, f64::max)
}

#[test]
fn with_the_limit_goodput_stays_at_ninety_percent_of_its_peak_up_to_ten_times_the_capacity() {
    assert!(peak(LIMITED) > 0.95 * CAPACITY, "{}", peak(LIMITED));
    for (load, goodput) in goodputs(LIMITED) {
        let least = 0.9 * peak(LIMITED).min(load * CAPACITY);
        assert!(goodput >= least, "{goodput} at {load} times the capacity, and not {least}");
    }
}

#[test]
fn with_the_limit_the_latency_of_what_is_let_in_at_most_doubles() {
    let unloaded = SHOWN.loads[0].1[LIMITED].p99(SETTLED).unwrap();
    for (load, both) in &SHOWN.loads {
        let p99 = both[LIMITED].p99(SETTLED).unwrap();
        assert!(p99 <= 2.0 * unloaded, "{p99} ms at {load}, where {unloaded} ms is without load");
    }
}

#[test]
fn without_the_limit_goodput_collapses() {
    for (load, goodput) in goodputs(BARE) {
        assert!(load < 1.5 || goodput < 0.1 * CAPACITY, "{goodput} at {load}");
    }
}

#[test]
fn with_the_limit_goodput_is_back_within_ten_seconds_of_a_loss_of_capacity() {
    let good = &SHOWN.recovery[LIMITED].good;
    let mean = |seconds: std::ops::Range<usize>| {
        let count = seconds.len() as f64;
        f64::from(good[seconds].iter().sum::<u32>()) / count
    };
    let before = mean(SETTLED..HALVED.0);
    assert!(before > 0.95 * LOAD * CAPACITY, "{before}");
    let during = mean(HALVED.0 + 2..HALVED.1);
    assert!(during > 0.4 * CAPACITY, "{during} while half is lost");
    for (second, &good) in good.iter().enumerate().skip(HALVED.1 + 10) {
        assert!(f64::from(good) >= 0.95 * before, "{good} in second {second}, {before} before");
    }
}

#[test]
fn without_the_limit_a_loss_of_capacity_outlasts_itself() {
    let good = &SHOWN.recovery[BARE].good;
    assert!(f64::from(good[HALVED.0 - 1]) > 0.9 * LOAD * CAPACITY);
    assert!(good[RECOVERY - 5..].iter().all(|&good| f64::from(good) < 0.1 * CAPACITY));
}

#[test]
fn the_picture_that_is_shown_is_the_one_that_is_drawn() {
    let committed = include_str!("../../../concurrency/overload.svg");
    assert!(svg::draw(&SHOWN) == committed, "draw it anew: purlin-bench overload");
}

#[test]
fn the_readme_says_what_the_command_prints() {
    let readme = include_str!("../../../concurrency/README.md");
    assert!(readme.contains(&SHOWN.curve().to_string()), "{}", SHOWN.curve());
}
