//! What is found at the very moment at which something else happens.

use purlin_endpoint::{Code, Error};
use purlin_sd::{Discovery, EmptyAnswer, Found, Instance, Source};
use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};
use tokio::time::sleep;

const HOLD: Duration = Duration::from_secs(5);

/// Finds another set each time, and fails at once.
struct Breaks(u32);

impl Source for Breaks {
    async fn follow(&mut self, found: &Found) -> Result<Infallible, Error> {
        self.0 += 1;
        found.set(vec![Instance::new(self.0.to_string())]);
        Err(Error::of(Code::Aborted))
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_found_right_before_a_failure_is_served_and_the_failure_said() {
    let mut instancer = Discovery::new().start(Breaks(0)).unwrap();
    for id in ["1", "2"] {
        let snapshot = instancer.changed().await;
        assert_eq!(snapshot.instances()[0].id, id);
        assert_eq!(snapshot.error().unwrap().code(), Code::Aborted);
    }
}

/// Takes back that there is nobody, right when that would be believed.
struct InTime;

impl Source for InTime {
    async fn follow(&mut self, found: &Found) -> Result<Infallible, Error> {
        let set = || vec![Instance::new("a")];
        found.set(set());
        // sleeps: time is paused; what was told is heard.
        sleep(Duration::from_secs(1)).await;
        found.set(Vec::new());
        // sleeps: time is paused.
        sleep(HOLD).await;
        found.set(set());
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_that_is_taken_back_in_time_was_never_served() {
    let discovery = Discovery::new().empty(EmptyAnswer::Hold(HOLD));
    let mut instancer = discovery.start(InTime).unwrap();
    let first = instancer.known().await;
    // sleeps: time is paused.
    sleep(4 * HOLD).await;
    // Had there been none in between, the same set would have been made anew.
    assert!(Arc::ptr_eq(first.instances(), instancer.snapshot().instances()));
}
