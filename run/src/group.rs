use crate::{
    Ended, Outcome, Reason, Signal, Stop, Stopped,
    running::{Finish, Observe, Running, Work},
    signal::{self, Second},
};
use std::{borrow::Cow, fmt, future::Future, process, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::timeout};

pub(crate) type Name = Cow<'static, str>;
type Start = Box<dyn FnOnce(Stop) -> Work + Send>;

/// Actors that start together and stop in order: see the [crate](crate) for the order.
pub struct Group {
    actors: Vec<(Name, Start)>,
    started: Vec<Box<dyn FnOnce() + Send>>,
    before: Vec<(Name, Work)>,
    after: Vec<(Name, Work)>,
    signals: Option<Second>,
    observe: Observe,
    drain_delay: Duration,
    deadline: Duration,
    step_limit: Duration,
}

impl Group {
    /// A group of nobody.
    pub fn new() -> Self {
        Self {
            actors: Vec::new(),
            started: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            signals: None,
            observe: Box::new(|_| {}),
            drain_delay: Duration::ZERO,
            deadline: Duration::from_secs(15),
            step_limit: Duration::from_secs(5),
        }
    }

    /// Adds an actor: a function from its [`Stop`] to the future that it is.
    #[must_use]
    pub fn actor<F, Fut>(mut self, name: impl Into<Cow<'static, str>>, start: F) -> Self
    where
        F: FnOnce(Stop) -> Fut + Send + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let start: Start = Box::new(|stop| work(async { start(stop).await }));
        self.actors.push((name.into(), start));
        self
    }

    /// Stops at SIGINT and SIGTERM.
    ///
    /// A second signal means that the operator will not wait: the process exits at once, with the
    /// code 130 or 143, unless [`on_second_signal`](Self::on_second_signal) says otherwise.
    #[must_use]
    pub fn signals(self) -> Self {
        self.on_second_signal(|signal| process::exit(signal.exit_code()))
    }

    /// Stops at SIGINT and SIGTERM, and does this at each signal after the first.
    #[must_use]
    pub fn on_second_signal(self, second: impl Fn(Signal) + Send + Sync + 'static) -> Self {
        Self { signals: Some(Arc::new(second)), ..self }
    }

    /// Does this right before the actors start, when signals are listened to already: whoever is told
    /// of the start here may send one at once.
    #[must_use]
    pub fn on_start(mut self, started: impl FnOnce() + Send + 'static) -> Self {
        self.started.push(Box::new(started));
        self
    }

    /// Adds a step that is done when the stop begins, before the actors are told.
    ///
    /// It may take the [`step_limit`](Self::step_limit).
    #[must_use]
    pub fn on_stop<Fut>(mut self, name: impl Into<Cow<'static, str>>, step: Fut) -> Self
    where
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.before.push((name.into(), work(step)));
        self
    }

    /// Adds a step that is done when all actors have ended.
    ///
    /// It may take the [`step_limit`](Self::step_limit).
    #[must_use]
    pub fn flush<Fut>(mut self, name: impl Into<Cow<'static, str>>, step: Fut) -> Self
    where
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        self.after.push((name.into(), work(step)));
        self
    }

    /// Waits this long, after the steps of [`on_stop`](Self::on_stop), before the actors are told:
    /// until others have learned that no more calls should come. None by default.
    #[must_use]
    pub fn drain_delay(self, delay: Duration) -> Self {
        Self { drain_delay: delay, ..self }
    }

    /// How long the actors may take once they are told to stop: 15 s by default.
    ///
    /// With the drain delay and the steps it should stay below what the orchestrator grants, which
    /// is 30 s in Kubernetes by default.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// How long each step of the stop may take: 5 s by default.
    #[must_use]
    pub fn step_limit(self, limit: Duration) -> Self {
        Self { step_limit: limit, ..self }
    }

    /// Calls this whenever an actor or a step has ended, for the log.
    #[must_use]
    pub fn observe(self, observe: impl FnMut(&Ended) + Send + 'static) -> Self {
        Self { observe: Box::new(observe), ..self }
    }

    /// Runs until the first actor ends, and then stops all.
    ///
    /// A group of nobody ends at once.
    pub async fn run(self) -> Stopped {
        let (tell, told) = watch::channel(false);
        let mut running = Running::new(self.observe, self.deadline);
        // Signals are listened to before anything starts, so that none comes too early.
        let mut watchers = JoinSet::new();
        if let Some(second) = &self.signals {
            running.watch(signal::watch(&mut watchers, second));
        }
        for started in self.started {
            started();
        }
        for (name, start) in self.actors {
            running.spawn(name, start(Stop::new(told.clone())));
        }
        running.first().await;
        for (name, step) in self.before {
            running.step(name, step, self.step_limit).await;
        }
        // Whoever ends early is not waited for; if all have, there is nothing to wait for.
        let _ = timeout(self.drain_delay, running.all()).await;
        tell.send_replace(true);
        if timeout(self.deadline, running.all()).await.is_err() {
            running.abort().await;
        }
        for (name, step) in self.after {
            running.step(name, step, self.step_limit).await;
        }
        watchers.shutdown().await;
        running.stopped()
    }
}

impl Default for Group {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.actors.iter().map(|(name, _)| name).collect();
        f.debug_struct("Group").field("actors", &names).finish_non_exhaustive()
    }
}

/// What starts a future in a task of its own, where a panic is only that task's.
fn work<Fut>(future: Fut) -> Work
where
    Fut: Future<Output: Outcome> + Send + 'static,
{
    Box::new(|tasks| tasks.spawn(async { Finish::Returned(future.await.into_result()) }))
}

/// What stands in a report for a group without actors.
pub(crate) fn nobody() -> Ended {
    Ended { actor: "nobody".into(), reason: Reason::Completed }
}
