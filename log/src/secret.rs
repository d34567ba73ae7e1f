use std::fmt;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// A value that is never shown: it displays as `***`, in every field and format.
///
/// ```
/// use purlin_log::Secret;
///
/// let password = Secret::new("swordfish");
/// assert_eq!(format!("{password} {password:?}"), "*** ***");
/// assert_eq!(*password.expose(), "swordfish");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for whoever needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// The last words of the names of fields that are secret wherever they stand.
const NAMES: [&str; 14] = [
    "authorization",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "cookie",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "credential",
    "credentials",
    "jwt",
];

/// Names of secret fields: a key that is one, or ends in one as its last words, is hidden.
#[derive(Clone)]
pub(crate) struct Names {
    names: Vec<Box<str>>,
    /// By the last letter of a name, which letters come before it: most keys end otherwise, and are
    /// not compared with any name. Five bits tell letters apart, whatever their case is.
    endings: [u32; 32],
}

impl Default for Names {
    fn default() -> Self {
        let mut names = Self { names: Vec::new(), endings: [0; 32] };
        NAMES.into_iter().for_each(|name| names.add(name));
        names
    }
}

impl Names {
    pub(crate) fn add(&mut self, name: &str) {
        let (last, before) = match name.as_bytes() {
            [.., before, last] => (last, 1 << (before & 31)),
            // Anything may stand in front of a name of one letter.
            [last] => (last, u32::MAX),
            [] => return,
        };
        self.endings[usize::from(last & 31)] |= before;
        self.names.push(name.into());
    }

    #[inline]
    pub(crate) fn hide(&self, key: &str) -> bool {
        let (last, before) = match key.as_bytes() {
            [.., before, last] => (last, before),
            [last] => (last, &0),
            [] => return false,
        };
        self.endings[usize::from(last & 31)] >> (before & 31) & 1 == 1 && self.has(key.as_bytes())
    }

    #[cold]
    fn has(&self, key: &[u8]) -> bool {
        self.names.iter().any(|name| {
            let Some(at) = key.len().checked_sub(name.len()) else { return false };
            let (before, ending) = key.split_at(at);
            // A word begins after a mark, and in camel case with a capital.
            let word = before.last().is_none_or(|last| {
                !last.is_ascii_alphanumeric()
                    || last.is_ascii_lowercase() && ending[0].is_ascii_uppercase()
            });
            word && ending.iter().zip(name.bytes()).all(|(key, name)| alike(*key, name))
        })
    }
}

/// Whether these are the same letter, or two marks that join words.
fn alike(key: u8, name: u8) -> bool {
    let joins = |byte| matches!(byte, b'-' | b'_' | b'.' | b' ');
    key.eq_ignore_ascii_case(&name) || joins(key) && joins(name)
}

/// A value that is not shown.
pub(crate) fn hidden() -> crate::Value<'static> {
    HIDDEN.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_names_are_known_in_any_case_and_as_the_last_words_of_others() {
        let names = Names::default();
        for key in [
            "password",
            "PASSWORD",
            "db.password",
            "x-auth-token",
            "accessToken",
            "Set-Cookie",
            "proxy-authorization",
            "api-key",
            "X-Api-Key",
            "client_secret",
            "API_KEY",
            "jwt",
        ] {
            assert!(names.hide(key), "{key}");
        }
        for key in [
            "",
            "n",
            "token_count",
            "passwordless",
            "tokens",
            "broken",
            "cookies",
            "method",
            "key",
            "monkey",
            "secretary",
            "mytoken",
        ] {
            assert!(!names.hide(key), "{key}");
        }
    }

    #[test]
    fn names_of_ones_own_are_hidden_too() {
        let mut names = Names::default();
        ["Pin", "k", ""].into_iter().for_each(|name| names.add(name));
        assert!(names.hide("pin") && names.hide("card_PIN") && names.hide("K"));
        assert!(names.hide("a-k") && !names.hide("pink") && !names.hide("spin"));
    }
}
