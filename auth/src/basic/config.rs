use super::{Users, Verifier};
use purlin_endpoint::Invalid;
use std::time::Duration;

/// How users prove who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct Basic {
    pub(crate) realm: String,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub(crate) remembered: Duration,
}

impl Basic {
    /// In this realm, which is a name that callers are shown.
    pub fn new(realm: impl Into<String>) -> Self {
        Self { realm: realm.into(), ..Self::default() }
    }

    /// Does not ask for a user's password again for so long, if it is the same: not at all unless
    /// set, and 5 minutes at most.
    ///
    /// A good hash takes milliseconds for each call. What is remembered is no password but its HMAC
    /// with a key that only this process has. A user who is gone, or has another password, is let in
    /// with the old one for so long.
    #[must_use]
    pub fn remembered(self, period: Duration) -> Self {
        Self { remembered: period, ..self }
    }

    /// Asks these users.
    ///
    /// # Errors
    ///
    /// If the realm is empty or no header can hold it, or a password is remembered for too long.
    pub fn verifier<U: Users>(self, users: U) -> Result<Verifier<U>, Invalid> {
        if self.realm.is_empty() || !self.realm.chars().all(|char| matches!(char, ' '..='~')) {
            return Err(Invalid { field: "realm", why: "must be a name in visible ASCII" });
        }
        if self.remembered > Duration::from_secs(300) {
            return Err(Invalid { field: "remembered", why: "must be 5 minutes at most" });
        }
        Ok(Verifier::new(&self, users))
    }
}
