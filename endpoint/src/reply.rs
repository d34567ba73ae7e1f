use crate::Carrier;
use std::sync::{Arc, Mutex, PoisonError};

/// A write-only place for a response's headers and trailers.
///
/// A server's transport makes one for each call; a handler or a layer writes into it by way of
/// [`Context::reply`](crate::Context::reply).
#[derive(Clone, Default)]
pub struct Reply(Option<Arc<Mutex<ReplyParts>>>);

/// What was written into a [`Reply`], in its order.
#[derive(Debug, Default)]
pub struct ReplyParts {
    /// Headers, each a lower-case name and a value.
    pub headers: Vec<(String, String)>,
    /// Trailers, each a lower-case name and a value.
    pub trailers: Vec<(String, String)>,
}

impl Reply {
    /// Where no transport listens.
    pub(crate) const NOWHERE: Self = Self(None);

    /// A place that its transport will read.
    pub fn open() -> Self {
        Self(Some(Arc::default()))
    }

    fn write(&self, write: impl FnOnce(&mut ReplyParts)) {
        if let Some(parts) = &self.0 {
            write(&mut parts.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Adds a header, behind others of its name. It must be written before the response begins.
    pub fn header(&self, name: &str, value: impl Into<String>) {
        self.write(|parts| parts.headers.push((name.to_ascii_lowercase(), value.into())));
    }

    /// Adds a trailer, behind others of its name.
    pub fn trailer(&self, name: &str, value: impl Into<String>) {
        self.write(|parts| parts.trailers.push((name.to_ascii_lowercase(), value.into())));
    }

    /// Takes what was written so far. This is for transports.
    pub fn take(&self) -> ReplyParts {
        let mut taken = ReplyParts::default();
        self.write(|parts| taken = std::mem::take(parts));
        taken
    }
}

/// Writes headers: so what [`Carrier`]s inject can go into a response too.
impl Carrier for ReplyParts {
    fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    fn get_all<'a>(&'a self, name: &str) -> Vec<&'a str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value).collect()
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| known != name);
    }
}
