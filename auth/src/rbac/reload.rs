use super::{Handle, InvalidPolicy, Policy};
use std::{convert::Infallible, fs, path::PathBuf, time::Duration};
use tokio::{task::spawn_blocking, time::sleep};

/// How often the file is read.
const INTERVAL: Duration = Duration::from_secs(1);

impl Handle {
    /// Takes the policy of a JSON file whenever it has changed: a future for whoever owns the
    /// process's tasks.
    ///
    /// The file is read once a second, so it may be written in any way, replaced, or mounted from
    /// elsewhere. One that can't be read, or makes no sense, leaves the policy that counts; `tell`
    /// hears of each change: `None` if it was taken, or why it was not.
    pub async fn follow(
        self,
        path: impl Into<PathBuf>,
        tell: impl Fn(Option<&InvalidPolicy>),
    ) -> Infallible {
        let path = path.into();
        let mut known = None;
        loop {
            let found = read(path.clone()).await;
            if known.as_ref() != Some(&found) {
                let taken = match &found {
                    Ok(json) => Policy::parse(json).and_then(|policy| self.update(policy)),
                    Err(why) => Err(InvalidPolicy(why.clone())),
                };
                let taken =
                    taken.map_err(|why| InvalidPolicy(format!("{}: {why}", path.display())));
                self.trouble(taken.as_ref().err().map(ToString::to_string));
                // What was read first is what the process has begun with, unless it is broken.
                if known.is_some() || taken.is_err() {
                    tell(taken.as_ref().err());
                }
                known = Some(found);
            }
            sleep(INTERVAL).await;
        }
    }
}

/// The file's text, read off the threads that poll.
async fn read(path: PathBuf) -> Result<String, String> {
    let read = spawn_blocking(move || fs::read_to_string(path).map_err(|error| error.to_string()));
    read.await.unwrap_or_else(|error| Err(error.to_string()))
}
