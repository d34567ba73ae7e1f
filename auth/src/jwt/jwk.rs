//! Keys as JSON, by [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517).

use super::{Algorithm, BadKey, Key, algorithm::Unsupported, json, key::Material};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What of a key is read. All else, private parts included, is passed over.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    k: Option<String>,
}

/// What of a set is read: its keys, one by one, since those that are not understood are left out.
#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

impl Jwk {
    fn read(json: &str) -> Result<Self, BadKey> {
        serde_json::from_str(json)
            .map_err(|_| BadKey::Invalid("its members are not those of a key"))
    }

    /// Whether it says nothing else than that it is for verifying signatures.
    fn verifies(&self) -> bool {
        self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
    }
}

/// The keys of a document, or why one of them can't be used.
pub(crate) fn set(json: &str) -> Result<Vec<Result<Key, BadKey>>, BadKey> {
    check(json)?;
    let set: Set<'_> = serde_json::from_str(json)
        .map_err(|_| BadKey::Invalid("the document has no array of keys"))?;
    let keys: Vec<_> = set.keys.into_iter().map(|key| Jwk::read(key.get())).collect();
    // A key that can't be used has a name all the same, by which it could be meant.
    let named = keys.iter().flatten().filter(|key| key.verifies());
    distinct(named.filter_map(|key| key.kid.as_deref()))?;
    Ok(keys.into_iter().map(|key| usable(&key?)).collect())
}

/// One key.
pub(crate) fn key(json: &str) -> Result<Key, BadKey> {
    check(json)?;
    usable(&Jwk::read(json)?)
}

/// Finds out that no name comes twice.
pub(crate) fn distinct<'a>(ids: impl Iterator<Item = &'a str>) -> Result<(), BadKey> {
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(BadKey::Invalid("two keys have the same name"));
    }
    Ok(())
}

fn check(json: &str) -> Result<(), BadKey> {
    json::check(json).map_err(|_| BadKey::Invalid("it is not one JSON object"))
}

fn usable(jwk: &Jwk) -> Result<Key, BadKey> {
    if !jwk.verifies() {
        return Err(BadKey::Invalid("it is not for verifying signatures"));
    }
    let algorithm = match &jwk.alg {
        Some(name) => Some(name.parse::<Algorithm>().map_err(BadKey::Unsupported)?),
        None => None,
    };
    let key = Key { id: jwk.kid.clone(), algorithm, material: material(jwk)?, since: None };
    match algorithm {
        Some(algorithm) if !key.fits(algorithm) => {
            Err(BadKey::Invalid("it does not fit its algorithm"))
        }
        _ => Ok(key),
    }
}

fn material(jwk: &Jwk) -> Result<Material, BadKey> {
    match (&*jwk.kty, jwk.crv.as_deref()) {
        ("oct", _) => Material::secret(&bytes(jwk.k.as_ref())?),
        ("RSA", _) => Material::rsa(bytes(jwk.n.as_ref())?, bytes(jwk.e.as_ref())?),
        ("EC", Some("P-256")) => Material::p256(&point(jwk, 32)?),
        ("EC", Some("P-384")) => Material::p384(&point(jwk, 48)?),
        ("OKP", Some("Ed25519")) => Material::ed25519(&bytes(jwk.x.as_ref())?),
        (kind, curve) => {
            let what = format!("the kind of key {kind} {}", curve.unwrap_or_default());
            Err(BadKey::Unsupported(Unsupported(what.trim_end().to_owned())))
        }
    }
}

fn point(jwk: &Jwk, length: usize) -> Result<Vec<u8>, BadKey> {
    let (x, y) = (bytes(jwk.x.as_ref())?, bytes(jwk.y.as_ref())?);
    if x.len() != length || y.len() != length {
        return Err(BadKey::Invalid("its coordinates have not the length of its curve"));
    }
    Ok([&[4], &x[..], &y].concat())
}

fn bytes(member: Option<&String>) -> Result<Vec<u8>, BadKey> {
    let member = member.ok_or(BadKey::Invalid("a member is missing"))?;
    URL_SAFE_NO_PAD.decode(member).map_err(|_| BadKey::Invalid("a member is not base64url"))
}
