//! The logger, its formats, its bridges, and the layer.

#[cfg(all(feature = "log", feature = "tracing"))]
mod bridges;
mod conformance;
mod escaping;
mod go_kit;
mod handle;
mod hostile;
mod layer;
mod logger;
mod queue;
mod said;
mod secrets;
#[cfg(feature = "serde")]
mod serde;
mod streams;

use std::{
    io,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A writer that keeps what is written, one entry for each call of `write`.
#[derive(Clone, Default)]
struct Writes(Arc<Mutex<Vec<String>>>);

impl Writes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// The only line there is, without its line break.
    fn line(&self) -> String {
        let mut writes = self.take();
        assert_eq!(writes.len(), 1, "{writes:?}");
        let line = writes.remove(0);
        line.strip_suffix('\n').expect("a line ends with a line break").to_owned()
    }

    /// All that was written so far as lines, each with its line break.
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().concat().split_inclusive('\n').map(str::to_owned).collect()
    }

    /// A writer to the same place that fails so many times first.
    fn failing(&self, times: usize) -> impl io::Write + Send + use<> {
        Failing(self.clone(), times)
    }
}

struct Failing(Writes, usize);

impl io::Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.1.checked_sub(1) {
            Some(left) => {
                self.1 = left;
                Err(io::ErrorKind::StorageFull.into())
            }
            None => self.0.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Holds up a writer until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<Held>, Condvar)>);

#[derive(Default)]
struct Held {
    reached: bool,
    open: bool,
}

impl Gate {
    fn open(&self) {
        self.change(|held| held.open = true);
    }

    /// Waits until the writer waits.
    fn reached(&self) {
        self.wait(|held| held.reached);
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn wait(&self, done: impl Fn(&Held) -> bool) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |held| !done(held)).unwrap());
    }

    /// A writer that writes there when the gate is open.
    fn before(&self, writes: &Writes) -> impl io::Write + Send + use<> {
        Gated(self.clone(), writes.clone())
    }
}

struct Gated(Gate, Writes);

impl io::Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.change(|held| held.reached = true);
        self.0.wait(|held| held.open);
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Write for Writes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The clock of all tests stands here.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(1_795_262_400_000_042)
}

const NOON: &str = "2026-11-21T12:00:00.000042Z";
