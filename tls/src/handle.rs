use crate::{Certificate, TlsError, material::Material, store::Store};
use purlin_endpoint::{Inspect, quote_json};
use std::{
    fmt::{self, Write as _},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Which certificates are in use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// Those that are shown to the other side, without their chains.
    pub certificates: Vec<Certificate>,
    /// Since when they are in use.
    pub since: SystemTime,
    /// How often they, or whom they are checked against, have been replaced.
    pub generation: u64,
    /// Why what is in the files now is not used, if it is not.
    pub failure: Option<Failure>,
}

/// Why what is in the files is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Since when nothing in them could be used.
    pub since: SystemTime,
    /// What is wrong with them now.
    pub why: String,
}

/// Reads the state of an acceptor or a connector, and has it read its files.
#[derive(Clone)]
pub struct Handle {
    name: &'static str,
    store: Arc<dyn Reload>,
}

trait Reload: Send + Sync {
    fn reload(&self) -> Result<bool, TlsError>;
    fn state(&self) -> State;
}

impl<M: Material> Reload for Store<M> {
    fn reload(&self) -> Result<bool, TlsError> {
        Store::reload(self)
    }

    fn state(&self) -> State {
        Store::state(self)
    }
}

impl Handle {
    pub(crate) fn new<M: Material>(name: &'static str, store: Arc<Store<M>>) -> Self {
        Self { name, store }
    }

    /// Which certificates are in use.
    pub fn state(&self) -> State {
        self.store.state()
    }

    /// Reads the files now; if they have changed, they are in use when this returns `true`.
    ///
    /// It waits for the disk.
    ///
    /// # Errors
    ///
    /// If they have changed and can't be used. The old ones stay in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        self.store.reload()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Shows its [`State`] as one JSON object, with times in seconds since 1970.
impl Inspect for Handle {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn snapshot(&self) -> String {
        let State { certificates, since, generation, failure } = self.state();
        let mut json = format!(r#"{{"since":{},"generation":{generation},"#, seconds(since));
        json += r#""certificates":["#;
        for (index, certificate) in certificates.iter().enumerate() {
            json += if index == 0 { r#"{"names":["# } else { r#",{"names":["# };
            let Certificate { identity, serial, not_before, not_after } = certificate;
            for (index, name) in identity.uris().iter().chain(identity.dns_names()).enumerate() {
                json += if index == 0 { "" } else { "," };
                quote_json(&mut json, name);
            }
            // Writing to a string can't fail.
            let _ = write!(
                json,
                r#"],"serial":"{serial}","not_before":{},"not_after":{}}}"#,
                seconds(*not_before),
                seconds(*not_after)
            );
        }
        json += r#"],"failure":"#;
        match failure {
            None => json += "null}",
            Some(Failure { since, why }) => {
                let _ = write!(json, r#"{{"since":{},"why":"#, seconds(since));
                quote_json(&mut json, &why);
                json += "}}";
            }
        }
        json
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
