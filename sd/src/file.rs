use crate::{Found, Instance, Registry, Source, Standing};
use purlin_endpoint::{Code, Error};
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{task::spawn_blocking, time::sleep};

/// A registry that is a JSON file: services by name, each a list of instances.
///
/// ```json
/// {"greeter": [{"address": "10.0.0.7:9110"}, {"address": "10.0.0.8:9110", "weight": 2}]}
/// ```
///
/// An entry has the fields of [`Instance`], of which only `address` must be there, and may have
/// `expires_at_ms`, milliseconds since 1970 after which it doesn't count. The file is read once a
/// second, so it may be written in any way, replaced, or mounted from elsewhere; one that can't be
/// read, or makes no sense, leaves the last good set.
///
/// Who registers here writes an entry that expires after 15 s, and writes it anew every 5 s; a
/// file beside it, with `.lock` after its name, keeps two writers apart. This is for the processes
/// of one machine, such as a developer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    path: PathBuf,
}

const INTERVAL: Duration = Duration::from_secs(1);
const TIME_TO_LIVE: Duration = Duration::from_secs(15);

impl File {
    /// A registry in the file at this path, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Follows the instances of a service.
    pub fn source(&self, service: impl Into<String>) -> FileSource {
        FileSource { file: self.clone(), service: service.into() }
    }

    /// Registers instances of a service.
    pub fn registry(&self, service: impl Into<String>) -> FileRegistry {
        FileRegistry { file: self.clone(), service: service.into() }
    }
}

/// Follows one service in a [`File`].
#[derive(Debug)]
pub struct FileSource {
    file: File,
    service: String,
}

impl Source for FileSource {
    async fn follow(&mut self, found: &Found) -> Result<Infallible, Error> {
        loop {
            let (path, service) = (self.file.path.clone(), self.service.clone());
            found.set(blocking(move || Content::read(&path)?.alive(&path, &service)).await?);
            sleep(INTERVAL).await;
        }
    }
}

/// Registers instances of one service in a [`File`].
#[derive(Debug)]
pub struct FileRegistry {
    file: File,
    service: String,
}

impl FileRegistry {
    async fn write(&self, instance: &Instance, alive: bool) -> Result<(), Error> {
        let (path, service, instance) =
            (self.file.path.clone(), self.service.clone(), instance.clone());
        blocking(move || {
            let _lock = lock(&path).map_err(|error| failed(&path, error))?;
            let mut content = Content::read_or_new(&path)?;
            content.forget_expired();
            content.put(&service, &instance, alive)?;
            content.write(&path).map_err(|error| failed(&path, error))
        })
        .await
    }
}

impl Registry for FileRegistry {
    async fn keep(
        &mut self,
        instance: &Instance,
        standing: &Standing,
    ) -> Result<Infallible, Error> {
        let mut since = TIME_TO_LIVE;
        loop {
            // It is looked for once a second, as one that was deleted by hand must come back.
            let (path, service) = (self.file.path.clone(), self.service.clone());
            let alive = blocking(move || Content::read_or_new(&path)?.alive(&path, &service));
            let there = alive.await?.contains(instance);
            if !there || since >= TIME_TO_LIVE / 3 {
                self.write(instance, true).await?;
                since = Duration::ZERO;
            }
            standing.registered();
            sleep(INTERVAL).await;
            since += INTERVAL;
        }
    }

    async fn withdraw(&mut self, instance: &Instance) -> Result<(), Error> {
        self.write(instance, false).await
    }
}

/// What the file holds. Services and members that are not ours are kept as they are.
struct Content(BTreeMap<String, Vec<Map<String, Value>>>);

const EXPIRES: &str = "expires_at_ms";

impl Content {
    fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read(path).map_err(|error| failed(path, error))?;
        serde_json::from_slice(&text).map(Self).map_err(|error| failed(path, error))
    }

    fn read_or_new(path: &Path) -> Result<Self, Error> {
        if path.exists() { Self::read(path) } else { Ok(Self(BTreeMap::new())) }
    }

    /// The instances of a service whose time is not over.
    fn alive(self, path: &Path, service: &str) -> Result<Vec<Instance>, Error> {
        let Self(mut services) = self;
        let entries = services.remove(service).unwrap_or_default();
        let now = now_ms();
        let alive = entries.into_iter().filter(|entry| !has_expired(entry, now));
        alive
            .map(|mut entry| {
                entry.remove(EXPIRES);
                serde_json::from_value(Value::Object(entry)).map_err(|error| {
                    failed(path, io::Error::other(format!("an instance of {service}: {error}")))
                })
            })
            .collect()
    }

    fn forget_expired(&mut self) {
        let now = now_ms();
        self.0.values_mut().for_each(|entries| entries.retain(|entry| !has_expired(entry, now)));
    }

    fn put(&mut self, service: &str, instance: &Instance, alive: bool) -> Result<(), Error> {
        let entries = self.0.entry(service.to_owned()).or_default();
        entries.retain(|entry| entry.get("id") != Some(&Value::from(instance.id.as_str())));
        if alive {
            let Value::Object(mut entry) =
                serde_json::to_value(instance).map_err(Error::internal)?
            else {
                return Err(Error::internal("an instance is a JSON object"));
            };
            let time_to_live = u64::try_from(TIME_TO_LIVE.as_millis()).unwrap_or(u64::MAX);
            entry.insert(EXPIRES.into(), (now_ms() + time_to_live).into());
            entries.push(entry);
        }
        Ok(())
    }

    /// Whoever reads sees the old file or the new one, whole.
    fn write(&self, path: &Path) -> io::Result<()> {
        let new = beside(path, ".new");
        fs::write(&new, serde_json::to_vec_pretty(&self.0)?)?;
        fs::rename(new, path)
    }
}

fn has_expired(entry: &Map<String, Value>, now: u64) -> bool {
    entry.get(EXPIRES).and_then(Value::as_u64).is_some_and(|expires| expires <= now)
}

/// Processes that register in one file compare their clocks, so this one can't be paused.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn lock(path: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new().create(true).append(true).open(beside(path, ".lock"))?;
    file.lock()?;
    Ok(file)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(path: &Path, error: impl Into<purlin_endpoint::BoxError>) -> Error {
    let error = error.into();
    Error::new(Code::Unavailable, format!("{}: {error}", path.display())).caused_by(error)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(Error::internal(error)))
}
