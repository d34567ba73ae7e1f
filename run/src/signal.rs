use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{sync::mpsc, task::JoinSet};

/// A wish of the operator's that the process end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: what an orchestrator sends first.
    Terminate,
}

impl Signal {
    /// The exit code of a process that the signal ended: 130 or 143.
    pub const fn exit_code(self) -> i32 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// What is done at a second signal.
pub(crate) type Second = Arc<dyn Fn(Signal) + Send + Sync>;

/// Hands the first signal on, and does `second` at each that follows, for as long as the tasks in
/// the set run. From when this returns, no signal ends the process by itself.
#[cfg(unix)]
pub(crate) fn watch(
    tasks: &mut JoinSet<()>,
    second: &Second,
) -> io::Result<mpsc::Receiver<Signal>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (first, received) = mpsc::channel(1);
    let seen = Arc::new(AtomicBool::new(false));
    for (kind, name) in
        [(SignalKind::interrupt(), Signal::Interrupt), (SignalKind::terminate(), Signal::Terminate)]
    {
        let mut signals = signal(kind)?;
        let (first, seen, second) = (first.clone(), seen.clone(), second.clone());
        tasks.spawn(async move {
            while signals.recv().await.is_some() {
                tell(name, &first, &seen, &second);
            }
        });
    }
    Ok(received)
}

/// Where there are no Unix signals, Ctrl-C is the one there is.
#[cfg(not(unix))]
pub(crate) fn watch(
    tasks: &mut JoinSet<()>,
    second: &Second,
) -> io::Result<mpsc::Receiver<Signal>> {
    let (first, received) = mpsc::channel(1);
    let (seen, second) = (AtomicBool::new(false), second.clone());
    tasks.spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            tell(Signal::Interrupt, &first, &seen, &second);
        }
    });
    Ok(received)
}

fn tell(signal: Signal, first: &mpsc::Sender<Signal>, seen: &AtomicBool, second: &Second) {
    if seen.swap(true, Ordering::Relaxed) {
        second(signal);
    } else {
        // If nobody listens any more, the group is stopping already.
        let _ = first.try_send(signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn the_first_signal_is_handed_on_and_each_further_one_acted_on() {
        let acted = Arc::new(Mutex::new(Vec::new()));
        let log = acted.clone();
        let second: Second = Arc::new(move |signal| log.lock().unwrap().push(signal));
        let (first, mut received) = mpsc::channel(1);
        let seen = AtomicBool::new(false);
        for signal in [Signal::Terminate, Signal::Interrupt, Signal::Terminate] {
            tell(signal, &first, &seen, &second);
        }
        assert_eq!(received.try_recv(), Ok(Signal::Terminate));
        assert!(received.try_recv().is_err());
        assert_eq!(*acted.lock().unwrap(), [Signal::Interrupt, Signal::Terminate]);
    }
}
