//! The compact form: a header, a payload and a signature, each in base64url.

use super::{
    Algorithm, Refused,
    json::{self, Members, Text},
};
use base64::{DecodeSliceError, Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::{Error as _, MapAccess};
use std::borrow::Cow;

/// Longer tokens are not looked at.
pub(crate) const LONGEST: usize = 8 * 1024;

/// The longest header, and the longest signature, which is one of RSA with 8192 bits.
const PART: usize = 1024;

/// A token that has the form of one; nothing in it is known to be true.
pub(crate) struct Compact<'t> {
    /// What the signature is about.
    pub(crate) signed: &'t [u8],
    pub(crate) header: &'t str,
    payload: &'t str,
    signature: &'t str,
}

impl<'t> Compact<'t> {
    /// Cuts a token into its parts.
    pub(crate) fn cut(token: &'t str) -> Result<Self, Refused> {
        if token.len() > LONGEST {
            return Err(Refused::malformed("form", &"it is too long"));
        }
        // A fourth part makes no payload: base64url has no dots.
        let parts = token.rsplit_once('.').and_then(|(signed, signature)| {
            let (header, payload) = signed.split_once('.')?;
            Some(Self { signed: signed.as_bytes(), header, payload, signature })
        });
        parts.ok_or_else(|| Refused::malformed("form", &"it has not three parts"))
    }

    pub(crate) fn header<'b>(&self, buffer: &'b mut Buffer) -> Result<Header<'b>, Refused> {
        Header::read(buffer.decode("header", self.header)?)
    }

    pub(crate) fn payload(&self) -> Result<Vec<u8>, Refused> {
        URL_SAFE_NO_PAD.decode(self.payload).map_err(|why| Refused::malformed("payload", &why))
    }

    /// The payload as a text, which claims are.
    pub(crate) fn claims(&self) -> Result<String, Refused> {
        String::from_utf8(self.payload()?).map_err(|why| Refused::malformed("claims", &why))
    }

    pub(crate) fn signature<'b>(&self, buffer: &'b mut Buffer) -> Result<&'b [u8], Refused> {
        buffer.decode("signature", self.signature)
    }
}

/// Room for a header or a signature.
pub(crate) struct Buffer([u8; PART]);

impl Buffer {
    pub(crate) fn new() -> Self {
        Self([0; PART])
    }

    fn decode(&mut self, part: &str, encoded: &str) -> Result<&[u8], Refused> {
        // The check spares the engine's own estimate, which asks for room that is not needed.
        if encoded.len() > PART * 4 / 3 + 1 {
            return Err(Refused::malformed(part, &"it is too long"));
        }
        match URL_SAFE_NO_PAD.decode_slice(encoded, &mut self.0) {
            Ok(length) => Ok(&self.0[..length]),
            Err(DecodeSliceError::DecodeError(why)) => Err(Refused::malformed(part, &why)),
            Err(why) => Err(Refused::malformed(part, &why)),
        }
    }
}

/// What a header says that concerns us.
#[derive(Default)]
pub(crate) struct Header<'a> {
    algorithm: Option<Cow<'a, str>>,
    pub(crate) key: Option<Cow<'a, str>>,
    pub(crate) kind: Option<Cow<'a, str>>,
}

impl<'a> Header<'a> {
    fn read(text: &'a [u8]) -> Result<Self, Refused> {
        let text = str::from_utf8(text).map_err(|why| Refused::malformed("header", &why))?;
        let mut header = Self::default();
        json::read(text, &mut header).map_err(|why| Refused::malformed("header", &why))?;
        Ok(header)
    }

    pub(crate) fn algorithm(&self) -> Result<Algorithm, Refused> {
        let name = self.algorithm.as_deref();
        let name = name.ok_or_else(|| Refused::malformed("header", &"it names no algorithm"))?;
        name.parse().map_err(|_| Refused::Algorithm(name.to_owned()))
    }
}

impl<'de> Members<'de> for Header<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "alg" => json::once(&mut self.algorithm, map.next_value::<Text<'_>>()?.0),
            "kid" => json::once(&mut self.key, map.next_value::<Text<'_>>()?.0),
            "typ" => json::once(&mut self.kind, map.next_value::<Text<'_>>()?.0),
            // Whoever sends a token does not choose the key, nor what the token means.
            "jku" | "x5u" | "jwk" | "x5c" => Err(A::Error::custom("it brings its own key")),
            "crit" | "b64" | "enc" | "zip" => Err(A::Error::custom("it asks for an extension")),
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_brings_a_key_or_an_extension_is_refused() {
        for name in ["jku", "x5u", "jwk", "x5c", "crit", "b64", "enc", "zip"] {
            for value in ["null", "[]", "false", "\"https://a\""] {
                let header = format!(r#"{{"alg":"ES256","{name}":{value}}}"#);
                assert!(Header::read(header.as_bytes()).is_err(), "{header}");
            }
        }
        assert!(Header::read(br#"{"alg":"ES256","x5t":"abc","cty":"a","mine":{"a":[1]}}"#).is_ok());
    }

    #[test]
    fn a_part_is_base64url_in_its_one_spelling() {
        let mut buffer = Buffer::new();
        assert_eq!(buffer.decode("part", "_-8"), Ok(&[0xff, 0xef][..]));
        for wrong in ["_-8=", "/+8", "_-9", "_- 8", "_-8\n", "A", "é"] {
            assert!(buffer.decode("part", wrong).is_err(), "{wrong}");
        }
        let longest = URL_SAFE_NO_PAD.encode([7; PART]);
        assert_eq!(buffer.decode("part", &longest).map(<[u8]>::len), Ok(PART));
        let longer = URL_SAFE_NO_PAD.encode([7; PART + 1]);
        assert!(buffer.decode("part", &longer).is_err());
    }
}
