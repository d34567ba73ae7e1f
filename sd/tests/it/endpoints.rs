//! Go kit's scenarios of the endpoint cache, and what ours does beyond them.

use purlin_endpoint::{Code, Error};
use purlin_sd::{Discovery, EmptyAnswer, Endpoints, Found, Instance, Instancer, Source};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::sleep};

/// A source that does what the test says.
struct Told(mpsc::Receiver<Result<Vec<Instance>, Error>>);

impl Source for Told {
    async fn follow(&mut self, found: &Found) -> Result<Infallible, Error> {
        loop {
            match self.0.recv().await {
                Some(Ok(set)) => found.set(set),
                Some(Err(error)) => return Err(error),
                None => std::future::pending().await,
            }
        }
    }
}

/// Counts how many of it live.
struct Alive(Arc<AtomicUsize>, String);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

struct Test {
    tell: mpsc::Sender<Result<Vec<Instance>, Error>>,
    endpoints: Endpoints<Alive>,
    alive: Arc<AtomicUsize>,
    made: Arc<AtomicUsize>,
}

impl Test {
    fn new(discovery: Discovery) -> Self {
        let (tell, told) = mpsc::channel(8);
        let (alive, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (living, making) = (alive.clone(), made.clone());
        let instancer = discovery.start(Told(told)).unwrap();
        let endpoints = Endpoints::new(instancer, move |instance| {
            living.fetch_add(1, Relaxed);
            making.fetch_add(1, Relaxed);
            Ok(Alive(living.clone(), instance.address.clone()))
        });
        Self { tell, endpoints, alive, made }
    }

    async fn tell(&self, told: Result<&[&str], Error>) {
        let told = told.map(|set| set.iter().map(|address| Instance::new(*address)).collect());
        self.tell.send(told).await.unwrap();
        settle().await;
    }

    fn members(&self) -> Vec<String> {
        self.endpoints.members().iter().map(|member| member.endpoint().1.clone()).collect()
    }

    fn alive(&self) -> usize {
        self.alive.load(Relaxed)
    }
}

/// Lets the tasks do what they have to do: time is paused.
async fn settle() {
    // sleeps: time is paused, so this only yields until everything is idle.
    sleep(Duration::from_millis(1)).await;
}

fn believing() -> Discovery {
    Discovery::new().empty(EmptyAnswer::Believe)
}

#[tokio::test(start_paused = true)]
async fn ec_1_to_5_members_follow_the_set() {
    let test = Test::new(believing());
    test.tell(Ok(&["a", "b"])).await;
    assert_eq!((test.members(), test.alive()), (vec!["a".into(), "b".into()], 2));
    test.tell(Ok(&["b", "a"])).await;
    assert_eq!(test.made.load(Relaxed), 2, "an equal set makes nothing new");
    test.tell(Err(Error::of(Code::Unavailable))).await;
    assert_eq!(test.alive(), 2, "a failure takes nothing away");
    // sleeps: time is paused; the source is followed again after its backoff.
    sleep(Duration::from_secs(2)).await;
    test.tell(Ok(&["a"])).await;
    assert_eq!((test.members(), test.alive()), (vec!["a".into()], 1));
    test.tell(Ok(&[])).await;
    assert_eq!((test.members().len(), test.alive()), (0, 0));
    assert_eq!(test.made.load(Relaxed), 2, "one that stays is never made anew");
}

#[tokio::test(start_paused = true)]
async fn ec_6_with_an_expiry_the_members_go_when_the_source_fails_for_long() {
    let test = Test::new(believing().expiry(Duration::from_millis(100)));
    test.tell(Ok(&["a"])).await;
    test.tell(Err(Error::of(Code::Aborted))).await;
    assert_eq!(test.alive(), 1);
    // sleeps: time is paused.
    sleep(Duration::from_millis(150)).await;
    let members = test.endpoints.members();
    assert_eq!((members.len(), test.alive()), (0, 0));
    assert_eq!(members.snapshot().error().unwrap().code(), Code::Aborted);
}

#[tokio::test(start_paused = true)]
async fn ec_7_a_factory_that_fails_is_tried_again_and_keeps_nobody_else_away() {
    let instancer = Instancer::fixed([Instance::new("foo:1234"), Instance::new("bar:5678")]);
    let mut failures = 3;
    let endpoints = Endpoints::new(instancer, move |instance| {
        if instance.address == "foo:1234" && failures > 0 {
            failures -= 1;
            // Go kit tries again at the next update only; a panic counts as a failure here.
            assert!(failures != 1, "the factory panics");
            return Err(Error::of(Code::Unavailable));
        }
        Ok(())
    });
    let members = endpoints.members();
    assert_eq!((members.len(), members.failed().len()), (1, 1));
    assert_eq!(members.failed()[0].1.code(), Code::Unavailable);
    // sleeps: time is paused; it is tried after about 1, 1.6 and 2.6 s.
    sleep(Duration::from_secs(10)).await;
    assert_eq!(endpoints.members().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_removed_member_lives_until_its_last_call_has_ended() {
    let test = Test::new(believing());
    test.tell(Ok(&["a"])).await;
    let in_flight = test.endpoints.members()[0].endpoint().clone();
    test.tell(Ok(&[])).await;
    assert_eq!((test.members().len(), test.alive()), (0, 1));
    drop(in_flight);
    assert_eq!(test.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_anew_of_an_instance_leaves_its_endpoint() {
    let test = Test::new(believing());
    test.tell(Ok(&["a"])).await;
    let key = test.endpoints.members()[0].key();
    let heavier = Instance { weight: 7, ..Instance::new("a") };
    test.tell.send(Ok(vec![heavier])).await.unwrap();
    settle().await;
    let members = test.endpoints.members();
    assert_eq!((members[0].key(), members[0].instance().weight), (key, 7));
    assert_eq!(test.made.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn en_1_closed_endpoints_let_go_of_everything() {
    let test = Test::new(believing());
    test.tell(Ok(&["a", "b"])).await;
    let Test { tell, endpoints, alive, .. } = test;
    drop(endpoints);
    settle().await;
    assert_eq!(alive.load(Relaxed), 0);
    // The source is gone with its last watcher, and a sender hears of it instead of blocking.
    assert!(tell.send(Ok(Vec::new())).await.is_err());
}
