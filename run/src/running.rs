use crate::{
    Ended, Reason, Signal, Stopped,
    ended::BoxError,
    group::{Name, nobody},
};
use std::{any::Any, collections::HashMap, io, time::Duration};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::timeout,
};

pub(crate) type Observe = Box<dyn FnMut(&Ended) + Send>;

/// How long an aborted actor may take until it is let go: it ends where it next waits.
const ABORTING: Duration = Duration::from_secs(1);

/// The actors that run, and what has ended so far.
pub(crate) struct Running {
    tasks: JoinSet<Finish>,
    names: HashMap<Id, Name>,
    /// Waits for a signal, until the stop begins.
    signals: Option<AbortHandle>,
    ended: Vec<Ended>,
    observe: Observe,
    deadline: Duration,
}

/// Starts the task of an actor or a step.
pub(crate) type Work = Box<dyn FnOnce(&mut JoinSet<Finish>) -> AbortHandle + Send>;

/// What the task of an actor or a step returns.
pub(crate) enum Finish {
    Returned(Result<(), BoxError>),
    Signalled(Signal),
}

impl Running {
    pub(crate) fn new(observe: Observe, deadline: Duration) -> Self {
        Self {
            tasks: JoinSet::new(),
            names: HashMap::new(),
            signals: None,
            ended: Vec::new(),
            observe,
            deadline,
        }
    }

    pub(crate) fn spawn(&mut self, name: Name, actor: Work) {
        let task = actor(&mut self.tasks);
        self.names.insert(task.id(), name);
    }

    /// Makes an actor that ends with the first signal.
    pub(crate) fn watch(&mut self, signals: io::Result<mpsc::Receiver<Signal>>) {
        let task = self.tasks.spawn(async {
            match signals {
                Err(error) => Finish::Returned(Err(error.into())),
                Ok(mut signals) => match signals.recv().await {
                    Some(signal) => Finish::Signalled(signal),
                    None => Finish::Returned(Ok(())),
                },
            }
        });
        self.names.insert(task.id(), "signals".into());
        self.signals = Some(task);
    }

    /// Waits for the first end. From then on nobody waits for a signal.
    pub(crate) async fn first(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(joined) => self.joined(joined),
            None => self.end(nobody()),
        }
        if let Some(signals) = self.signals.take() {
            self.names.remove(&signals.id());
            signals.abort();
        }
    }

    /// Waits for all that still run.
    pub(crate) async fn all(&mut self) {
        while let Some(joined) = self.tasks.join_next_with_id().await {
            self.joined(joined);
        }
    }

    /// Ends those that still run, by force.
    pub(crate) async fn abort(&mut self) {
        self.tasks.abort_all();
        let _ = timeout(ABORTING, self.all()).await;
        // What blocks its thread can't be ended; it is named and left behind.
        self.tasks.detach_all();
        for (_, actor) in std::mem::take(&mut self.names) {
            self.end(Ended { actor, reason: Reason::Aborted(self.deadline) });
        }
    }

    /// Does a step of the stop.
    pub(crate) async fn step(&mut self, actor: Name, step: Work, limit: Duration) {
        let mut task = JoinSet::new();
        step(&mut task);
        let reason = match timeout(limit, task.join_next()).await {
            Ok(Some(joined)) => reason(joined, limit),
            Ok(None) => Reason::Completed,
            Err(_) => Reason::Aborted(limit),
        };
        self.end(Ended { actor, reason });
    }

    fn joined(&mut self, joined: Result<(Id, Finish), JoinError>) {
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        // The one who waits for signals has no name any more when it has been stopped.
        let Some(actor) = self.names.remove(&id) else { return };
        let reason = reason(joined.map(|(_, finish)| finish), self.deadline);
        self.end(Ended { actor, reason });
    }

    fn end(&mut self, ended: Ended) {
        (self.observe)(&ended);
        self.ended.push(ended);
    }

    pub(crate) fn stopped(self) -> Stopped {
        let mut ended = self.ended.into_iter();
        Stopped { first: ended.next().unwrap_or_else(nobody), rest: ended.collect() }
    }
}

fn reason(joined: Result<Finish, JoinError>, limit: Duration) -> Reason {
    match joined.map_err(JoinError::try_into_panic) {
        Ok(Finish::Returned(Ok(()))) => Reason::Completed,
        Ok(Finish::Returned(Err(error))) => Reason::Failed(error),
        Ok(Finish::Signalled(signal)) => Reason::Signalled(signal),
        Err(Ok(payload)) => Reason::Panicked(text(&*payload)),
        Err(Err(_)) => Reason::Aborted(limit),
    }
}

/// What a panic said.
fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}
