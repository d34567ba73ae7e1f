use crate::{Level, Logger, Sampling, dial::OFF};
use purlin_endpoint::{Inspect, Invalid};
use std::{fmt, fmt::Write as _, time::Duration};

/// Reads and changes what a [`Logger`], and all that share its writer, write while they run.
///
/// ```
/// use purlin_log::{Level, Logger};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let log = Logger::logfmt(std::io::stderr());
/// log.handle().set_level_for(Level::Debug, Duration::from_secs(600));
/// assert!(log.enabled(Level::Debug));
///
/// tokio::time::advance(Duration::from_secs(601)).await;
/// assert!(!log.enabled(Level::Debug));
/// # }
/// ```
///
/// It shows itself as `log`: the level, what comes after it and in how many milliseconds, and how
/// many lines were dropped and suppressed.
#[derive(Clone)]
pub struct Handle(pub(crate) Logger);

impl Handle {
    /// The least level that is written just now: `None` if none is.
    pub fn level(&self) -> Option<Level> {
        named(self.0.shared.dial.now().least)
    }

    /// Changes the level, from the next line on.
    pub fn set_level(&self, level: Level) {
        self.0.set_level(level);
    }

    /// Changes the level for so long; then it is what it was before.
    ///
    /// Nothing waits for that: each line looks at the clock until then.
    pub fn set_level_for(&self, level: Level, time: Duration) {
        self.0.shared.dial.set_for(level as u8, time);
    }

    /// For how much longer the level holds, if only for a time.
    pub fn expires(&self) -> Option<Duration> {
        self.0.shared.dial.left()
    }

    /// Samples lines by this from now on, or writes all of them. What was suppressed so far is said.
    ///
    /// # Errors
    ///
    /// If no line would be written, or an interval is empty.
    pub fn sample(&self, sampling: Option<Sampling>) -> Result<(), Invalid> {
        self.0.sample(sampling)
    }

    /// How many lines could not be written since the start.
    pub fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    /// How many lines were not written since the start because they repeated others.
    pub fn suppressed(&self) -> u64 {
        self.0.shared.suppressed()
    }
}

fn named(least: u8) -> Option<Level> {
    [Level::Debug, Level::Info, Level::Warn, Level::Error]
        .into_iter()
        .find(|level| *level as u8 == least)
}

impl Inspect for Handle {
    fn name(&self) -> String {
        "log".to_owned()
    }

    fn snapshot(&self) -> String {
        let setting = self.0.shared.dial.now();
        let level =
            |least| if least == OFF { "off" } else { named(least).map_or("", Level::as_str) };
        let mut out = format!("{{\"level\":\"{}\"", level(setting.least));
        if let Some(left) = self.expires() {
            let (after, left) = (level(setting.afterwards), left.as_millis());
            // A string takes whatever is written.
            let _ = write!(out, ",\"afterwards\":\"{after}\",\"expires_ms\":{left}");
        }
        let (format, dropped) = (self.0.shared.format, self.dropped());
        let suppressed = self.suppressed();
        let _ = write!(
            out,
            ",\"format\":\"{format}\",\"dropped\":{dropped},\"suppressed\":{suppressed}}}"
        );
        out
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.snapshot()).finish()
    }
}
