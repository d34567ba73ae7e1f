//! As much of PEM and DER as a public key needs.

use super::{BadKey, algorithm::Unsupported, key::Material};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// The label of the first section of a text in PEM, and the section's bytes, by
/// [RFC 7468](https://www.rfc-editor.org/rfc/rfc7468).
pub(crate) fn pem(text: &str) -> Option<(&str, Vec<u8>)> {
    let (_, text) = text.split_once("-----BEGIN ")?;
    let (label, text) = text.split_once("-----")?;
    let (encoded, end) = text.split_once("-----END ")?;
    end.strip_prefix(label)?.strip_prefix("-----")?;
    let encoded: String = encoded.split_ascii_whitespace().collect();
    Some((label, STANDARD.decode(encoded).ok()?))
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// What is inside a `SubjectPublicKeyInfo`, by [RFC 5280](https://www.rfc-editor.org/rfc/rfc5280).
pub(crate) fn public_key(der: &[u8]) -> Result<Material, BadKey> {
    let (kind, curve, key) = parts(der).ok_or(BadKey::Invalid("it is not a public key in DER"))?;
    match (kind, curve) {
        ([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], _) => rsa(key),
        (
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
            Some([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
        ) => Material::p256(key),
        ([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01], Some([0x2b, 0x81, 0x04, 0x00, 0x22])) => {
            Material::p384(key)
        }
        ([0x2b, 0x65, 0x70], None) => Material::ed25519(key),
        _ => Err(BadKey::Unsupported(Unsupported("the kind or curve of the key".into()))),
    }
}

/// The key's algorithm, its curve, and its own bytes.
type Parts<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

fn parts(der: &[u8]) -> Option<Parts<'_>> {
    let info = whole(der, SEQUENCE)?;
    let (algorithm, info) = take(info, SEQUENCE)?;
    // The first byte says how many bits of the last one are not used.
    let key = whole(info, BIT_STRING)?.strip_prefix(&[0])?;
    let (kind, parameters) = take(algorithm, OBJECT)?;
    Some((kind, whole(parameters, OBJECT), key))
}

/// An `RSAPublicKey`, by [RFC 8017](https://www.rfc-editor.org/rfc/rfc8017).
pub(crate) fn rsa(der: &[u8]) -> Result<Material, BadKey> {
    let numbers = || {
        let (modulus, rest) = take(whole(der, SEQUENCE)?, INTEGER)?;
        let exponent = whole(rest, INTEGER)?;
        // A zero in front only says that the number is not negative.
        let positive = |number: &'_ [u8]| match number {
            [0, rest @ ..] => rest.to_vec(),
            number => number.to_vec(),
        };
        Some((positive(modulus), positive(exponent)))
    };
    let (modulus, exponent) = numbers().ok_or(BadKey::Invalid("it is not an RSA key in DER"))?;
    Material::rsa(modulus, exponent)
}

/// The content of the one value that is there.
fn whole(der: &[u8], tag: u8) -> Option<&[u8]> {
    take(der, tag).and_then(|(content, rest)| rest.is_empty().then_some(content))
}

/// The content of the first value, and what comes after it.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (length, rest) = match rest {
        [short @ 0..=0x7f, rest @ ..] => (usize::from(*short), rest),
        [0x81, length @ 0x80..=0xff, rest @ ..] => (usize::from(*length), rest),
        [0x82, high @ 1..=0xff, low, rest @ ..] => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    if first != tag || rest.len() < length {
        return None;
    }
    Some(rest.split_at(length))
}
