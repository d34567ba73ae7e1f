use super::{Basic, pair::Pair, remembered::Remembered};
use crate::{Authenticate, Authenticating, Credentials, Principal, Unauthenticated, quoted};
use futures_util::FutureExt as _;
use purlin_endpoint::{BoxError, Context, Inspect, quote_json};
use std::{error, fmt, future::Future, sync::Arc};
use tokio::time::Instant;

/// Those who know the users' passwords.
pub trait Users: Send + Sync + 'static {
    /// Who the user is, if that is the password; `None` if it is not, or there is no such user.
    ///
    /// It takes as long in both cases, and does not hold up the async threads.
    ///
    /// # Errors
    ///
    /// If that can't be found out just now. The call is refused as `UNAVAILABLE` then.
    fn verify(
        &self,
        user: &str,
        password: &str,
    ) -> impl Future<Output = Result<Option<Principal>, BoxError>> + Send;
}

/// Finds out whether users are who they say.
///
/// Its challenge is `Basic realm="…", charset="UTF-8"`.
pub struct Verifier<U> {
    realm: String,
    challenge: String,
    users: U,
    remembered: Option<Remembered>,
}

impl<U> Verifier<U> {
    pub(crate) fn new(config: &Basic, users: U) -> Self {
        let challenge = format!("Basic realm={}, charset=\"UTF-8\"", quoted(&config.realm));
        let (realm, remembered) = (config.realm.clone(), Remembered::new(config.remembered));
        Self { realm, challenge, users, remembered }
    }

    fn refuse(&self, why: Refused) -> Unauthenticated {
        Unauthenticated::new(self.challenge.clone(), why)
    }
}

impl<U: Users> Authenticate for Verifier<U> {
    fn authenticate(self: &Arc<Self>, context: Context) -> Authenticating {
        let pair = match Pair::read(context.get::<Credentials>()) {
            Ok(pair) => pair,
            Err(why) => return Authenticating::Now(Err(self.refuse(why))),
        };
        let remembered = self.remembered.as_ref();
        if let Some(principal) = remembered.and_then(|known| known.get(&pair, Instant::now())) {
            return Authenticating::Now(Ok(context.with(principal)));
        }
        let verifier = self.clone();
        let verified = async move {
            match verifier.users.verify(pair.user(), pair.password()).await {
                Ok(Some(principal)) => {
                    if let Some(remembered) = &verifier.remembered {
                        remembered.put(&pair, principal.clone(), Instant::now());
                    }
                    Ok(context.with(principal))
                }
                Ok(None) => Err(verifier.refuse(Refused::Wrong { user: pair.user().to_owned() })),
                Err(why) => Err(Unauthenticated::undecided(why)),
            }
        };
        Authenticating::Later(verified.boxed())
    }
}

/// Shows the realm, and how many passwords are remembered, if any may be.
impl<U: Send + Sync> Inspect for Verifier<U> {
    fn name(&self) -> String {
        "basic".to_owned()
    }

    fn snapshot(&self) -> String {
        let mut json = String::from(r#"{"realm":"#);
        quote_json(&mut json, &self.realm);
        let remembered = self.remembered.as_ref().map(|known| known.count().to_string());
        json + r#","remembered":"# + remembered.as_deref().unwrap_or("null") + "}"
    }
}

impl<U: fmt::Debug> fmt::Debug for Verifier<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("challenge", &self.challenge)
            .field("users", &self.users)
            .finish_non_exhaustive()
    }
}

/// Why a caller was not let in. It is for the log; the caller is told nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// There are no credentials, or several, or they are of another scheme.
    Missing,
    /// They are no user and password.
    Malformed(&'static str),
    /// There is no such user, or that is not the password.
    Wrong {
        /// Who the caller says it is.
        user: String,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is not one user with a password"),
            Self::Malformed(why) => write!(f, "the user and password are malformed: {why}"),
            Self::Wrong { user } => write!(f, "the user {user:?} or its password is wrong"),
        }
    }
}

impl error::Error for Refused {}
