use crate::{Calls, MILLI, settle};
use purlin_concurrency::{ConcurrencyLimit, Shed};
use purlin_endpoint::{
    Context,
    Criticality::{Critical, CriticalPlus, Sheddable, SheddablePlus},
};
use tokio::time::{Instant, advance};

#[tokio::test(start_paused = true)]
async fn those_who_wait_get_in_in_the_order_of_coming() {
    let calls = Calls::new(ConcurrencyLimit::new(1).queue(2));
    let [first, second, third] = calls.many().await;
    assert_eq!(calls.counts(), (1, 2));
    first.finish().await;
    assert_eq!(calls.counts(), (1, 1));
    // The third is not asked before the second is done.
    second.finish().await;
    third.finish().await;
    assert_eq!(calls.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_overtake_those_who_wait() {
    let calls = Calls::new(ConcurrencyLimit::new(2).queue(2));
    let [first, second, third] = calls.many().await;
    calls.handle.update(ConcurrencyLimit::new(1).queue(2)).unwrap();
    first.finish().await;
    let late = calls.of(Critical).await;
    assert_eq!(calls.counts(), (1, 2));
    second.finish().await;
    third.finish().await;
    late.finish().await;
}

#[tokio::test(start_paused = true)]
async fn the_newest_goes_first_when_the_queue_stands() {
    let calls = Calls::new(ConcurrencyLimit::new(1).queue(3).patience(1000 * MILLI));
    let [first, old, older] = calls.many().await;
    advance(99 * MILLI).await;
    let new = calls.of(Critical).await;
    advance(MILLI).await;
    first.finish().await;
    new.finish().await;
    older.finish().await;
    old.finish().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_patience() {
    let calls = Calls::new(ConcurrencyLimit::new(1).queue(1).patience(30 * MILLI));
    let [held, waiting] = calls.many().await;
    let start = Instant::now();
    assert_eq!(waiting.refused().await, Shed::Waited);
    assert_eq!(start.elapsed(), 30 * MILLI);
    assert_eq!(calls.counts(), (1, 0));
    assert_eq!(calls.handle.shed(Critical), 1);
    held.finish().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_the_deadline() {
    let calls = Calls::new(ConcurrencyLimit::new(1).queue(1));
    let [_held] = calls.many().await;
    let start = Instant::now();
    let waiting = calls.make(Context::new().with_timeout(20 * MILLI)).await;
    assert_eq!(waiting.refused().await, Shed::Expired);
    assert_eq!(start.elapsed(), 20 * MILLI);
    let expired = calls.make(Context::new().with_deadline(Instant::now())).await;
    assert_eq!(expired.refused().await, Shed::Expired);
    assert_eq!(start.elapsed(), 20 * MILLI, "it was refused at once");
}

#[tokio::test(start_paused = true)]
async fn a_permit_passes_by_those_whose_time_is_over() {
    let calls = Calls::new(ConcurrencyLimit::new(1).queue(2));
    let [held] = calls.many().await;
    let expiring = calls.make(Context::new().with_timeout(10 * MILLI)).await;
    let [patient] = calls.many().await;
    // Nobody is polled while the clock is moved like this, so the first is still in the queue.
    held.finish.send(()).unwrap();
    advance(10 * MILLI).await;
    settle().await;
    assert_eq!(calls.counts(), (1, 0));
    assert_eq!(expiring.refused().await, Shed::Expired);
    patient.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_the_equally_critical() {
    let calls = Calls::new(ConcurrencyLimit::new(1).queue(1));
    let [_held, _waiting, refused] = calls.many().await;
    assert_eq!(refused.refused().await, Shed::Full);
    assert_eq!(calls.of(Sheddable).await.refused().await, Shed::Full);
    assert_eq!([Sheddable, Critical].map(|level| calls.handle.shed(level)), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_more_critical_takes_the_place_of_the_least() {
    let calls = Calls::new(ConcurrencyLimit::new(1).queue(2));
    let [held] = calls.many().await;
    let (batch, later) = (calls.of(SheddablePlus).await, calls.of(Sheddable).await);
    let critical = calls.of(Critical).await;
    assert_eq!(later.refused().await, Shed::Displaced);
    let incident = calls.of(CriticalPlus).await;
    assert_eq!(batch.refused().await, Shed::Displaced);
    assert_eq!(calls.of(Critical).await.refused().await, Shed::Full);
    // The more critical is also first to get in.
    held.finish().await;
    incident.finish().await;
    critical.finish().await;
    let shed = [Sheddable, SheddablePlus, Critical, CriticalPlus].map(|l| calls.handle.shed(l));
    assert_eq!(shed, [1, 1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_last_slots_are_kept_from_those_that_can_be_shed() {
    let calls = Calls::new(ConcurrencyLimit::new(4));
    let first = calls.of(Sheddable).await;
    let second = calls.of(Sheddable).await;
    assert_eq!(calls.of(Sheddable).await.refused().await, Shed::Full);
    let _third = calls.of(SheddablePlus).await;
    assert_eq!(calls.of(SheddablePlus).await.refused().await, Shed::Full);
    let _fourth = calls.of(Critical).await;
    assert_eq!(calls.of(CriticalPlus).await.refused().await, Shed::Full);
    // Their share is one of all that is in flight, and not of their own.
    first.finish().await;
    second.finish().await;
    assert_eq!(calls.counts(), (2, 0));
    assert_eq!(calls.of(Sheddable).await.refused().await, Shed::Full);
}

#[tokio::test(start_paused = true)]
async fn a_critical_call_does_not_queue_behind_those_kept_from_the_last_slots() {
    let calls = Calls::new(ConcurrencyLimit::new(2).queue(2));
    let running = calls.of(Sheddable).await;
    let waiting = calls.of(Sheddable).await;
    assert_eq!(calls.counts(), (1, 1));
    let critical = calls.of(Critical).await;
    assert_eq!(calls.counts(), (2, 1));
    critical.finish().await;
    assert_eq!(calls.counts(), (1, 1));
    running.finish().await;
    waiting.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_leaves_the_queue() {
    let calls = Calls::new(ConcurrencyLimit::new(1).queue(2));
    let [held, gone, waiting] = calls.many().await;
    gone.drop().await;
    assert_eq!(calls.counts(), (1, 1));
    held.finish().await;
    waiting.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_permit_granted_to_a_call_that_is_dropped_goes_to_the_next() {
    let calls = Calls::new(ConcurrencyLimit::new(1).queue(2));
    let [held, gone, waiting] = calls.many().await;
    // Granted and aborted before it is polled again.
    held.outcome.abort();
    gone.outcome.abort();
    settle().await;
    assert_eq!(calls.counts(), (1, 0));
    waiting.finish().await;
    assert_eq!(calls.counts(), (0, 0));
}
