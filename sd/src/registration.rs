use crate::{Instance, discovery::Owned};
use purlin_endpoint::{Backoff, Code, Error, Invalid};
use std::{convert::Infallible, fmt, future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::{oneshot, watch},
    time::{sleep, timeout},
};

/// A registry, as one who serves sees it: what each backend implements.
pub trait Registry: Send + 'static {
    /// Registers the instance and keeps it registered.
    ///
    /// It says on `standing` each time that the registry has confirmed it, and goes on for as long
    /// as that lasts. When it returns, it is called again after a pause, for ever: it must then
    /// register anew, whatever the registry remembers. Dropped at any point, it must leave nothing
    /// but the registration.
    ///
    /// # Errors
    ///
    /// Why the instance is not registered any more.
    fn keep(
        &mut self,
        instance: &Instance,
        standing: &Standing,
    ) -> impl Future<Output = Result<Infallible, Error>> + Send;

    /// Takes the registration back. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// Why it may still be there.
    fn withdraw(&mut self, instance: &Instance) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Where a [`Registry`] says that the instance is registered.
#[derive(Debug)]
pub struct Standing(watch::Sender<State>);

impl Standing {
    /// The registry has confirmed the registration.
    pub fn registered(&self) {
        self.0.send_if_modified(|state| {
            let changed = !state.is_registered();
            *state = State::Registered;
            changed
        });
    }
}

/// What is known of a registration.
#[derive(Clone, Debug, Default)]
pub enum State {
    /// Not confirmed yet.
    #[default]
    Pending,
    /// It stands.
    Registered,
    /// It was lost, or could not be made, for this reason, and is being made again.
    Lost(Arc<Error>),
}

impl State {
    /// Whether it stands.
    pub fn is_registered(&self) -> bool {
        matches!(self, Self::Registered)
    }
}

/// How an instance is registered.
///
/// A registration that is lost is made again after 0.5 s, then up to 0.8 s, each ± 20 %, for ever:
/// so it is back within a second of when its registry is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Registrar {
    backoff: Backoff,
    patience: Duration,
}

impl Default for Registrar {
    fn default() -> Self {
        let backoff = Backoff::new(Duration::from_millis(500)).longest(Duration::from_millis(800));
        Self { backoff, patience: Duration::from_secs(3) }
    }
}

impl Registrar {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long to wait before a registration that was lost is made again.
    #[must_use]
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// How long to try to take a registration back when the process stops: 3 s unless set.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Starts to register an instance. It must be called within a tokio runtime, after the
    /// instance has begun to listen, and does not wait: [`Registration::registered`] does.
    ///
    /// # Errors
    ///
    /// If the backoff makes no sense.
    pub fn start(
        self,
        registry: impl Registry,
        instance: Instance,
    ) -> Result<Registration, Invalid> {
        self.backoff.check()?;
        let (standing, state) = watch::channel(State::default());
        let (stop, stopped) = oneshot::channel();
        let (withdrawn, end) = oneshot::channel();
        let task = tokio::spawn(async move {
            let standing = Standing(standing);
            let mut registry = registry;
            tokio::select! {
                biased;
                // An owner who is gone without a word takes nothing back: this task is aborted.
                Ok(()) = stopped => {}
                never = self.supervise(&mut registry, &instance, &standing) => match never {},
            }
            // Nobody may be left to hear of it.
            let _ = withdrawn.send(self.withdraw(&mut registry, &instance).await);
        });
        Ok(Registration { state, stop, end, _task: Owned::new(task) })
    }

    async fn supervise(
        self,
        registry: &mut impl Registry,
        instance: &Instance,
        standing: &Standing,
    ) -> Infallible {
        let mut failures = 0;
        loop {
            let Err(lost) = registry.keep(instance, standing).await;
            if standing.0.borrow().is_registered() {
                failures = 0;
            }
            standing.0.send_replace(State::Lost(Arc::new(lost)));
            sleep(self.backoff.wait(failures, fastrand::f64())).await;
            failures = failures.saturating_add(1);
        }
    }

    async fn withdraw(
        self,
        registry: &mut impl Registry,
        instance: &Instance,
    ) -> Result<(), Error> {
        let mut last = None;
        let trying = async {
            while let Err(error) = registry.withdraw(instance).await {
                last = Some(error);
                sleep(self.backoff.wait(0, fastrand::f64())).await;
            }
        };
        match timeout(self.patience, trying).await {
            Ok(()) => Ok(()),
            Err(_) => Err(last.unwrap_or_else(|| {
                Error::new(Code::DeadlineExceeded, "the registry did not answer in time")
            })),
        }
    }
}

/// An instance that is registered for as long as this is held.
///
/// Dropped without [`deregister`](Self::deregister), it stops keeping the registration, which its
/// registry then drops when its time is over.
pub struct Registration {
    state: watch::Receiver<State>,
    stop: oneshot::Sender<()>,
    end: oneshot::Receiver<Result<(), Error>>,
    _task: Owned,
}

impl Registration {
    /// What is known of it now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// A watch of what is known of it: for readiness, or a line in the log.
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until it stands.
    pub async fn registered(&self) {
        let mut state = self.state.clone();
        if state.wait_for(State::is_registered).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Takes it back: before the process stops to accept calls, so that nobody is sent to it.
    ///
    /// # Errors
    ///
    /// If the registry could not be told within the patience. It then drops the registration when
    /// its time is over.
    pub async fn deregister(self) -> Result<(), Error> {
        // The task waits for this message; if it has panicked, the answer below tells.
        let _ = self.stop.send(());
        self.end.await.unwrap_or_else(|_| {
            Err(Error::internal("the task that kept the registration has panicked"))
        })
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}
