//! What is made of files, and made anew when they change.

use crate::{
    Failure, Pem, State, TlsError,
    material::{Contents, Material},
};
use arc_swap::ArcSwap;
use std::{
    future::pending,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::sleep,
};

pub(crate) type Tell = Arc<dyn Fn(Result<&State, &TlsError>) + Send + Sync>;

pub(crate) struct Store<M: Material> {
    material: M,
    current: ArcSwap<M::Made>,
    /// Counts what has been made after the first.
    generation: AtomicU64,
    /// What the current was made of. It is held while files are read and nowhere else, so that
    /// nobody who only looks waits for a disk.
    contents: Mutex<Contents>,
    state: Mutex<State>,
    tell: Mutex<Option<Tell>>,
    /// Changes when the other sides would be judged by something else than they were.
    judged: watch::Sender<()>,
    /// `None` if there is no file to look after.
    watching: OnceLock<Option<Watching>>,
}

/// The task that looks after the files. It goes with the store.
struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each of these is written at once, so a panic leaves nothing half-done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M: Material> Store<M> {
    pub(crate) fn new(material: M) -> Result<Arc<Self>, TlsError> {
        let contents = Contents::read(&material.pems())?;
        let now = SystemTime::now();
        let (made, certificates) = material.make(&contents, now)?;
        let state = State { certificates, since: now, generation: 0, failure: None };
        Ok(Arc::new(Self {
            material,
            current: ArcSwap::from_pointee(made),
            generation: AtomicU64::new(0),
            contents: Mutex::new(contents),
            state: Mutex::new(state),
            tell: Mutex::default(),
            judged: watch::Sender::new(()),
            watching: OnceLock::new(),
        }))
    }

    pub(crate) fn current(&self) -> Arc<M::Made> {
        self.current.load_full()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn state(&self) -> State {
        lock(&self.state).clone()
    }

    pub(crate) fn tell(&self, tell: Tell) {
        *lock(&self.tell) = Some(tell);
    }

    /// Waits until the other sides would be judged by something else than they are now.
    pub(crate) fn judged_anew(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut judged = self.judged.subscribe();
        async move {
            if judged.changed().await.is_err() {
                // With the store, whatever could change it is gone.
                pending::<()>().await;
            }
        }
    }

    /// Has the files watched from now on, in a task of the current runtime.
    pub(crate) fn watch(self: &Arc<Self>) {
        self.watching.get_or_init(|| {
            let any = self.material.pems().iter().any(|pem| matches!(pem, Pem::File(_)));
            let (store, interval) = (Arc::downgrade(self), self.material.interval());
            any.then(|| Watching(tokio::spawn(look_after(store, interval))))
        });
    }

    /// Reads the files; if they have changed and are right, they are used from now on.
    pub(crate) fn reload(&self) -> Result<bool, TlsError> {
        let mut held = lock(&self.contents);
        let now = SystemTime::now();
        let renewed = Contents::read(&self.material.pems()).and_then(|contents| {
            if contents == *held {
                return Ok(None);
            }
            let made = self.material.make(&contents, now)?;
            Ok(Some((contents, made)))
        });
        match renewed {
            Ok(None) => {
                lock(&self.state).failure = None;
                Ok(false)
            }
            Ok(Some((contents, (made, certificates)))) => {
                let same = held.agrees(&contents, &self.material.judged_by());
                *held = contents;
                // First the new, then its number: whoever sees the number gets the new.
                self.current.store(Arc::new(made));
                let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
                if !same {
                    self.judged.send_replace(());
                }
                let state = State { certificates, since: now, generation, failure: None };
                *lock(&self.state) = state.clone();
                // Whoever is told may want to read the files himself.
                drop(held);
                self.say(Ok(&state));
                Ok(true)
            }
            Err(error) => {
                let news = self.note(error.to_string(), now);
                drop(held);
                if news {
                    self.say(Err(&error));
                }
                Err(error)
            }
        }
    }

    /// Keeps why the old ones stay. Whether that is news.
    fn note(&self, why: String, since: SystemTime) -> bool {
        let mut state = lock(&self.state);
        match &mut state.failure {
            Some(failure) if failure.why == why => false,
            Some(failure) => {
                failure.why = why;
                true
            }
            none => {
                *none = Some(Failure { since, why });
                true
            }
        }
    }

    fn say(&self, outcome: Result<&State, &TlsError>) {
        let tell = lock(&self.tell).clone();
        if let Some(tell) = tell {
            tell(outcome);
        }
    }
}

async fn look_after<M: Material>(store: Weak<Store<M>>, interval: Duration) {
    loop {
        sleep(interval).await;
        let Some(store) = store.upgrade() else { return };
        // A disk may be slow, and other tasks must not wait for it. What fails is told by `reload`.
        let _ = spawn_blocking(move || store.reload()).await;
    }
}
