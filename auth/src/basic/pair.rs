use super::Refused;
use crate::Credentials;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Longer credentials are not looked at.
const LONGEST: usize = 4 * 1024;

impl Credentials {
    /// A user and a password, by [RFC 7617](https://www.rfc-editor.org/rfc/rfc7617). The user's name
    /// has no colon.
    pub fn basic(user: &str, password: &str) -> Self {
        Self::new(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }
}

/// A user and a password.
pub(crate) struct Pair {
    text: String,
    colon: usize,
}

impl Pair {
    /// Reads what a caller has shown.
    pub(crate) fn read(credentials: Option<&Credentials>) -> Result<Self, Refused> {
        let encoded = credentials.and_then(|shown| shown.after("basic")).ok_or(Refused::Missing)?;
        if encoded.len() > LONGEST {
            return Err(Refused::Malformed("it is too long"));
        }
        let bytes = STANDARD.decode(encoded).map_err(|_| Refused::Malformed("it is not base64"))?;
        let text = String::from_utf8(bytes).map_err(|_| Refused::Malformed("it is not UTF-8"))?;
        if text.chars().any(char::is_control) {
            return Err(Refused::Malformed("it holds control characters"));
        }
        let colon = text.find(':').ok_or(Refused::Malformed("it has no colon"))?;
        Ok(Self { text, colon })
    }

    pub(crate) fn user(&self) -> &str {
        &self.text[..self.colon]
    }

    pub(crate) fn password(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// Both, in their one spelling.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}
