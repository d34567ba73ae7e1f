//! Who calls, and may they: chosen by flags, so that a call without any of it is possible too.

use purlin::{
    Context, Inspect,
    auth::{
        Authenticate, Authenticating,
        basic::{self, Basic, Hashes},
        jwt::{self, Algorithm, Jwt},
        oidc::Issuer,
        rbac::{InvalidPolicy, Policy, Rbac, RbacLayer, Role},
    },
    http_client::HttpClient,
    log::Logger,
};
use serde::Deserialize;
use std::{
    error, fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

/// How callers show who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// They need not.
    None,
    /// By a name and a password of a file: `basic:users.txt`.
    Basic(PathBuf),
    /// By a token of an issuer: `jwt:https://issuer.example`.
    Jwt(String),
}

impl FromStr for Auth {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            Some(("basic", file)) if !file.is_empty() => Ok(Self::Basic(file.into())),
            Some(("jwt", issuer)) if !issuer.is_empty() => Ok(Self::Jwt(issuer.to_owned())),
            _ => Err("is none of none, basic:FILE, jwt:ISSUER"),
        }
    }
}

/// What a token says besides what is always checked.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Claims {
    /// The roles of its subject.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// Finds out who calls, in the way that was chosen.
pub enum Verifier {
    /// Nobody is asked.
    None,
    /// A name and a password.
    Basic(Arc<basic::Verifier<Hashes>>),
    /// A token.
    Jwt(Arc<jwt::Verifier<Claims>>),
}

impl Authenticate for Verifier {
    fn authenticate(self: &Arc<Self>, context: Context) -> Authenticating {
        match &**self {
            Self::None => Authenticating::Now(Ok(context)),
            Self::Basic(verifier) => verifier.authenticate(context),
            Self::Jwt(verifier) => verifier.authenticate(context),
        }
    }
}

/// Shows what the chosen one knows.
impl Inspect for Verifier {
    fn name(&self) -> String {
        match self {
            Self::None => "auth".to_owned(),
            Self::Basic(verifier) => verifier.name(),
            Self::Jwt(verifier) => verifier.name(),
        }
    }

    fn snapshot(&self) -> String {
        match self {
            Self::None => "null".to_owned(),
            Self::Basic(verifier) => verifier.snapshot(),
            Self::Jwt(verifier) => verifier.snapshot(),
        }
    }
}

impl Auth {
    /// Makes what finds out who calls. Tokens have to be for this audience; an issuer that can't be
    /// reached is logged.
    ///
    /// # Errors
    ///
    /// If the file of users can't be read, or an issuer makes no sense.
    pub fn verifier(
        &self,
        audience: &str,
        log: &Logger,
    ) -> Result<Verifier, Box<dyn error::Error>> {
        match self {
            Self::None => Ok(Verifier::None),
            Self::Basic(path) => {
                let lines = fs::read_to_string(path).map_err(|why| named(path, &why))?;
                let users = Hashes::parse(&lines).map_err(|why| named(path, &why))?;
                Ok(Verifier::Basic(Arc::new(Basic::new("greeter").verifier(users)?)))
            }
            Self::Jwt(issuer) => {
                let algorithms =
                    [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa];
                let keys = Issuer::new(issuer.as_str());
                let keys = if is_local(issuer) { keys.without_tls() } else { keys };
                let log = log.clone();
                let keys = keys.start(HttpClient::new(), move |error| {
                    log.warn("issuer").field("error", &*format!("{error:#}")).send();
                })?;
                let jwt = Jwt::new(algorithms, issuer.as_str(), audience);
                let verifier = jwt.verifier(keys)?.roles(|claims: &Claims| claims.roles.clone());
                Ok(Verifier::Jwt(Arc::new(verifier)))
            }
        }
    }
}

/// Whether an issuer is on this machine: any other is asked over TLS only.
pub(crate) fn is_local(issuer: &str) -> bool {
    let local = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"];
    local.iter().any(|origin| issuer.starts_with(origin))
}

fn named(path: &Path, why: &dyn error::Error) -> String {
    format!("{}: {why}", path.display())
}

/// Makes the layer that says who may call what: by the policy of a file, or anybody everything.
///
/// # Errors
///
/// If the file can't be read, or its policy makes no sense.
pub fn rules(policy: Option<&Path>) -> Result<RbacLayer, InvalidPolicy> {
    let policy = match policy {
        Some(path) => Policy::read(path)?,
        None => Policy::new().role("all", Role::new().allow("**")).subject("anyone", ["all"]),
    };
    Rbac::new(policy).layer()
}
