use super::{
    Refused,
    json::{self, Members, Seconds, Text, Texts},
};
use serde::de::MapAccess;
use std::{borrow::Cow, ops::Deref, sync::Arc, time::Duration};

/// The claims of a verified token, in a type of the program's own.
///
/// They are in the context of the calls that a [`Verifier`](super::Verifier) has let in:
/// `context.get::<Claims<Mine>>()`. Clones share them.
#[derive(Debug)]
pub struct Claims<T>(pub(crate) Arc<T>);

impl<T> Clone for Claims<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Claims<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The claims that decide whether a token is let in, of the types that RFC 7519 gives them.
#[derive(Default)]
pub(crate) struct Registered<'a> {
    pub(crate) issuer: Option<Cow<'a, str>>,
    pub(crate) subject: Option<Cow<'a, str>>,
    pub(crate) audience: Option<Texts<'a>>,
    pub(crate) expires: Option<u64>,
    pub(crate) not_before: Option<u64>,
    pub(crate) issued: Option<u64>,
    pub(crate) scope: Option<Cow<'a, str>>,
}

impl<'a> Registered<'a> {
    /// Reads them, and finds out whether all claims hold to the rules.
    pub(crate) fn read(payload: &'a str) -> Result<Self, Refused> {
        let mut claims = Self::default();
        json::read(payload, &mut claims).map_err(|why| Refused::malformed("claims", &why))?;
        Ok(claims)
    }

    /// Whether the times say that the token may be used at this time since 1970.
    pub(crate) fn check_times(&self, now: Duration, leeway: Duration) -> Result<(), Refused> {
        if self.expires.is_some_and(|end| now >= Duration::from_secs(end) + leeway) {
            return Err(Refused::Expired);
        }
        let latest = now + leeway;
        if self.not_before.into_iter().chain(self.issued).any(|at| Duration::from_secs(at) > latest)
        {
            return Err(Refused::TooEarly);
        }
        Ok(())
    }
}

impl<'de> Members<'de> for Registered<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "iss" => json::once(&mut self.issuer, map.next_value::<Text<'_>>()?.0),
            "sub" => json::once(&mut self.subject, map.next_value::<Text<'_>>()?.0),
            "aud" => json::once(&mut self.audience, map.next_value()?),
            "exp" => json::once(&mut self.expires, map.next_value::<Seconds>()?.0),
            "nbf" => json::once(&mut self.not_before, map.next_value::<Seconds>()?.0),
            "iat" => json::once(&mut self.issued, map.next_value::<Seconds>()?.0),
            "scope" => json::once(&mut self.scope, map.next_value::<Text<'_>>()?.0),
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn no_claim_comes_twice_in_whatever_spelling_and_of_whatever_value() {
        for name in ["iss", "sub", "aud", "scope", "exp", "nbf", "iat", "mine"] {
            for value in ["\"a\"", "[\"a\"]", "1"] {
                let once = format!(r#""{name}":{value}"#);
                if Registered::read(&format!("{{{once}}}")).is_err() {
                    continue;
                }
                let escaped = format!(r#""\u{:04x}{}":{value}"#, name.as_bytes()[0], &name[1..]);
                for again in [&once, &escaped] {
                    let twice = format!(r#"{{{once},"x":{{"{name}":0}},{again}}}"#);
                    let why = Registered::read(&twice).err().expect("it comes twice");
                    assert!(why.to_string().contains("comes twice"), "{twice}: {why}");
                }
            }
        }
    }

    #[test]
    fn a_claim_of_another_type_is_not_one_that_is_missing() {
        for wrong in [
            r#"{"exp":"1"}"#,
            r#"{"exp":1.5}"#,
            r#"{"exp":-1}"#,
            r#"{"exp":null}"#,
            r#"{"nbf":[1]}"#,
            r#"{"iat":{}}"#,
            r#"{"nbf":true}"#,
            r#"{"iss":1}"#,
            r#"{"sub":null}"#,
            r#"{"aud":1}"#,
            r#"{"aud":["a",1]}"#,
            r#"{"aud":null}"#,
            r#"{"scope":["a"]}"#,
            r#"{"exp":9223372036854775807}"#,
        ] {
            assert!(Registered::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_good_from_its_first_second_until_before_its_last() {
        let claims = Registered::read(r#"{"nbf":100,"iat":90,"exp":200}"#).unwrap();
        let check = |now, leeway| claims.check_times(SECOND * now, SECOND * leeway);
        assert_eq!(check(99, 0), Err(Refused::TooEarly));
        assert_eq!(check(100, 0), Ok(()));
        assert_eq!(check(199, 0), Ok(()));
        assert_eq!(check(200, 0), Err(Refused::Expired));
        assert_eq!((check(40, 60), check(259, 60)), (Ok(()), Ok(())));
        assert_eq!(
            (check(39, 60), check(260, 60)),
            (Err(Refused::TooEarly), Err(Refused::Expired))
        );
    }
}
