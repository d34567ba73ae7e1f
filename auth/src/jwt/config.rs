use super::{Algorithm, Keys, Verifier};
use purlin_endpoint::Invalid;
use std::time::Duration;

/// Which tokens are accepted.
///
/// Algorithms, issuer and audience have no default; what else there is has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, default))]
pub struct Jwt {
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) issuer: String,
    pub(crate) any_issuer: bool,
    pub(crate) audiences: Vec<String>,
    pub(crate) any_audience: bool,
    pub(crate) unexpiring: bool,
    #[cfg_attr(feature = "serde", serde(with = "purlin_endpoint::duration"))]
    pub(crate) leeway: Duration,
    pub(crate) token_type: Option<String>,
    pub(crate) remembered: usize,
}

impl Jwt {
    /// Accepts tokens with one of these algorithms, of this issuer, for this audience.
    pub fn new(
        algorithms: impl IntoIterator<Item = Algorithm>,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Self {
        Self {
            algorithms: algorithms.into_iter().collect(),
            issuer: issuer.into(),
            audiences: vec![audience.into()],
            ..Self::default()
        }
    }

    /// Accepts tokens for this audience too.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Accepts tokens of anybody who has a key, also those that name no issuer.
    #[must_use]
    pub fn any_issuer(self) -> Self {
        Self { any_issuer: true, ..self }
    }

    /// Accepts tokens that are meant for others, also those that name no audience: whoever they are
    /// shown to can use them here.
    #[must_use]
    pub fn any_audience(self) -> Self {
        Self { any_audience: true, ..self }
    }

    /// Accepts tokens without an end. One that names its end is refused after it all the same.
    #[must_use]
    pub fn unexpiring(self) -> Self {
        Self { unexpiring: true, ..self }
    }

    /// How far the issuer's clock may be off: 0 unless set, 60 s at most.
    #[must_use]
    pub fn leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }
    }

    /// Accepts only tokens that say that they are of this type, such as `at+jwt` of
    /// [RFC 9068](https://www.rfc-editor.org/rfc/rfc9068). Unless set, `JWT`, `at+jwt` and no type
    /// are accepted.
    #[must_use]
    pub fn token_type(self, kind: impl Into<String>) -> Self {
        Self { token_type: Some(kind.into()), ..self }
    }

    /// Remembers so many verified tokens, and does not verify their signatures again until they end
    /// or the keys change. None unless set.
    #[must_use]
    pub fn remembered(self, tokens: usize) -> Self {
        Self { remembered: tokens, ..self }
    }

    /// Verifies with these keys, and reads the claims into this type.
    ///
    /// # Errors
    ///
    /// If there is no algorithm, issuer or audience, or the leeway is more than 60 s.
    pub fn verifier<T>(self, keys: impl Into<Keys>) -> Result<Verifier<T>, Invalid> {
        self.check()?;
        Ok(Verifier::new(self, keys.into()))
    }

    fn check(&self) -> Result<(), Invalid> {
        if self.algorithms.is_empty() {
            return Err(Invalid { field: "algorithms", why: "must be at least one" });
        }
        if self.issuer.is_empty() && !self.any_issuer {
            return Err(Invalid { field: "issuer", why: "must be named" });
        }
        if !self.any_audience
            && (self.audiences.is_empty() || self.audiences.contains(&String::new()))
        {
            return Err(Invalid { field: "audiences", why: "must be named" });
        }
        if self.leeway > Duration::from_secs(60) {
            return Err(Invalid { field: "leeway", why: "must be 60 s at most" });
        }
        Ok(())
    }

    /// Whether a token of this type is accepted.
    pub(crate) fn accepts_type(&self, kind: Option<&str>) -> bool {
        // A media type may leave out what all media types of tokens begin with.
        let kind = kind.map(|kind| match kind.split_at_checked("application/".len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
            _ => kind,
        });
        match (&self.token_type, kind) {
            (Some(only), Some(kind)) => only.eq_ignore_ascii_case(kind),
            (Some(_), None) => false,
            (None, Some(kind)) => {
                ["JWT", "at+jwt"].iter().any(|known| known.eq_ignore_ascii_case(kind))
            }
            (None, None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::Key;

    #[test]
    fn a_verifier_must_be_told_what_to_accept() {
        let good = || Jwt::new([Algorithm::Es256], "https://a", "b");
        let secret = || Key::guessable_secret(b"a");
        let field = |jwt: Jwt| jwt.verifier::<()>(secret()).err().map(|invalid| invalid.field);
        assert_eq!(field(good()), None);
        assert_eq!(field(Jwt::default()), Some("algorithms"));
        assert_eq!(field(Jwt::new([], "https://a", "b")), Some("algorithms"));
        assert_eq!(field(Jwt::new([Algorithm::Es256], "", "b")), Some("issuer"));
        assert_eq!(field(Jwt::new([Algorithm::Es256], "", "b").any_issuer()), None);
        assert_eq!(field(Jwt::new([Algorithm::Es256], "a", "")), Some("audiences"));
        assert_eq!(field(Jwt::new([Algorithm::Es256], "a", "").any_audience()), None);
        assert_eq!(field(good().leeway(Duration::from_secs(60))), None);
        assert_eq!(field(good().leeway(Duration::from_millis(60_001))), Some("leeway"));
    }

    #[test]
    fn a_type_is_compared_as_a_media_type() {
        let any = Jwt::default();
        for kind in [None, Some("JWT"), Some("jwt"), Some("at+jwt"), Some("application/AT+JWT")] {
            assert!(any.accepts_type(kind), "{kind:?}");
        }
        for kind in ["logout+jwt", "", "JWE", "application/", "xapplication/jwt"] {
            assert!(!any.accepts_type(Some(kind)), "{kind}");
        }
        let only = Jwt::default().token_type("at+jwt");
        assert!(only.accepts_type(Some("application/at+jwt")));
        assert!(!only.accepts_type(Some("JWT")) && !only.accepts_type(None));
    }
}
