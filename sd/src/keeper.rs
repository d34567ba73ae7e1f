use crate::{Instance, Snapshot};
use purlin_endpoint::Error;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// What an empty answer means when there were instances a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyAnswer {
    /// That there are none.
    Believe,
    /// That the registry may have lost its data: the last instances are served for this long, and
    /// only then is it believed.
    Hold(Duration),
}

/// Decides which set of instances is served, given what a source has found and when it failed.
#[derive(Debug)]
pub(crate) struct Keeper {
    empty: EmptyAnswer,
    expiry: Option<Duration>,
    served: Snapshot,
    /// When an empty answer that is held back will be believed.
    empty_at: Option<Instant>,
    /// When what is served will be dropped, since the source has failed for so long.
    expires_at: Option<Instant>,
}

impl Keeper {
    pub(crate) fn new(empty: EmptyAnswer, expiry: Option<Duration>) -> Self {
        let served = Snapshot::default();
        Self { empty, expiry, served, empty_at: None, expires_at: None }
    }

    /// The source has found this set, or what is left of it for this reason.
    pub(crate) fn found(
        &mut self,
        mut instances: Vec<Instance>,
        left_out: Option<Arc<Error>>,
        now: Instant,
    ) {
        // Equal sets must be equal whatever their order, and an id stands for one instance only.
        instances.sort_unstable();
        instances.dedup_by(|later, earlier| later.id == earlier.id);
        self.expires_at = None;
        self.served.error = left_out;
        if instances.is_empty()
            && !self.served.instances.is_empty()
            && let EmptyAnswer::Hold(hold) = self.empty
        {
            self.empty_at.get_or_insert(now + hold);
            return;
        }
        self.empty_at = None;
        self.serve(instances);
    }

    fn serve(&mut self, instances: Vec<Instance>) {
        // Who compares sets by their pointers need not compare them by their members.
        let same = self.served.instances.iter().map(|known| &**known).eq(&instances);
        if !same {
            self.served.instances = instances.into_iter().map(Arc::new).collect();
        }
        self.served.known = true;
    }

    /// The source has failed: what it found last stands, until it expires.
    pub(crate) fn failed(&mut self, error: Error, now: Instant) {
        self.served.error = Some(Arc::new(error));
        // A held-back answer came from a registry that is in trouble, so it is not believed.
        self.empty_at = None;
        if let Some(expiry) = self.expiry {
            self.expires_at.get_or_insert(now + expiry);
        }
    }

    /// When [`pass`](Self::pass) has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.empty_at.or(self.expires_at)
    }

    /// Time has passed.
    pub(crate) fn pass(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            self.empty_at = None;
            // Without instances there is nothing more that could expire.
            self.expires_at = None;
            if !self.served.instances.is_empty() {
                self.serve(Vec::new());
            }
        }
    }

    pub(crate) fn served(&self) -> &Snapshot {
        &self.served
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_endpoint::Code;

    const SECOND: Duration = Duration::from_secs(1);

    fn set(addresses: &[&str]) -> Vec<Instance> {
        addresses.iter().map(|address| Instance::new(*address)).collect()
    }

    fn served(keeper: &Keeper) -> Vec<&str> {
        keeper.served().instances.iter().map(|instance| instance.address.as_str()).collect()
    }

    #[test]
    fn ic_1_a_set_is_sorted_and_each_id_is_in_it_once() {
        let mut keeper = Keeper::new(EmptyAnswer::Believe, None);
        keeper.found(set(&["y", "x", "y"]), None, Instant::now());
        assert_eq!(served(&keeper), ["x", "y"]);
    }

    #[test]
    fn an_equal_set_is_the_same_set() {
        let mut keeper = Keeper::new(EmptyAnswer::Believe, None);
        keeper.found(set(&["a", "b"]), None, Instant::now());
        let first = keeper.served().instances.clone();
        keeper.found(set(&["b", "a"]), None, Instant::now());
        assert!(Arc::ptr_eq(&first, &keeper.served().instances));
    }

    #[test]
    fn ec_3_a_failure_leaves_the_last_set() {
        let (mut keeper, now) = (Keeper::new(EmptyAnswer::Believe, None), Instant::now());
        keeper.found(set(&["a"]), None, now);
        keeper.failed(Error::of(Code::Unavailable), now);
        keeper.pass(now + 1000 * SECOND);
        assert_eq!(served(&keeper), ["a"]);
        assert_eq!(keeper.served().error().unwrap().code(), Code::Unavailable);
    }

    #[test]
    fn ec_6_with_an_expiry_a_failing_source_serves_its_last_set_for_so_long() {
        let (mut keeper, now) = (Keeper::new(EmptyAnswer::Believe, Some(SECOND)), Instant::now());
        keeper.found(set(&["a"]), None, now);
        keeper.failed(Error::of(Code::Unavailable), now);
        keeper.failed(Error::of(Code::Aborted), now + SECOND / 2);
        keeper.pass(now + SECOND / 2);
        assert_eq!(served(&keeper), ["a"]);
        keeper.pass(now + SECOND);
        assert!(served(&keeper).is_empty());
        // Go kit keeps showing the first error; the latest says more about what to repair.
        assert_eq!(keeper.served().error().unwrap().code(), Code::Aborted);
    }

    #[test]
    fn what_was_left_out_of_a_set_is_said_until_a_whole_one_is_found() {
        let (mut keeper, now) = (Keeper::new(EmptyAnswer::Believe, None), Instant::now());
        keeper.found(set(&["a"]), Some(Arc::new(Error::of(Code::DataLoss))), now);
        assert_eq!(served(&keeper), ["a"]);
        assert_eq!(keeper.served().error().unwrap().code(), Code::DataLoss);
        keeper.found(set(&["a", "b"]), None, now);
        assert!(keeper.served().error().is_none());
    }

    #[test]
    fn an_empty_answer_after_a_full_one_is_held_back_for_a_while() {
        let mut keeper = Keeper::new(EmptyAnswer::Hold(SECOND), None);
        let now = Instant::now();
        keeper.found(set(&["a"]), None, now);
        keeper.found(set(&[]), None, now);
        keeper.found(set(&[]), None, now + SECOND / 2);
        assert_eq!(served(&keeper), ["a"]);
        assert_eq!(keeper.due(), Some(now + SECOND));
        keeper.pass(now + SECOND);
        assert!(served(&keeper).is_empty());
    }

    #[test]
    fn instances_that_come_back_end_the_doubt() {
        let mut keeper = Keeper::new(EmptyAnswer::Hold(SECOND), None);
        let now = Instant::now();
        keeper.found(set(&["a"]), None, now);
        keeper.found(set(&[]), None, now);
        keeper.found(set(&["b"]), None, now);
        keeper.pass(now + 2 * SECOND);
        assert_eq!(served(&keeper), ["b"]);
    }

    #[test]
    fn a_first_answer_that_is_empty_is_believed() {
        let mut keeper = Keeper::new(EmptyAnswer::Hold(SECOND), None);
        assert!(!keeper.served().is_known());
        keeper.found(set(&[]), None, Instant::now());
        assert!(keeper.served().is_known());
    }
}
