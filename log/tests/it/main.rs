//! The logger, its formats, and the layer.

mod conformance;
mod escaping;
mod layer;
mod logger;

use std::{
    io,
    sync::{Arc, Mutex},
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
