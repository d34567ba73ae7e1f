use super::{Algorithm, algorithm::Unsupported, der, jwk};
use ring::{
    hmac,
    signature::{
        self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RsaParameters,
        RsaPublicKeyComponents, UnparsedPublicKey,
    },
};
use std::{error, fmt};
use tokio::time::Instant;

/// A key that tokens are verified with.
///
/// It never shows what it is made of, as that may be a secret.
#[derive(Clone)]
pub struct Key {
    pub(crate) id: Option<String>,
    /// What the key is for, if it says so; else all that its kind can do.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) material: Material,
    /// When it came, if it was fetched.
    pub(crate) since: Option<Instant>,
}

impl Key {
    /// A secret that is shared with the issuer, for the HMAC algorithms whose hash it is as long as.
    ///
    /// # Errors
    ///
    /// If it is shorter than 32 bytes: [RFC 7518](https://www.rfc-editor.org/rfc/rfc7518#section-3.2)
    /// wants it at least as long as the hash.
    pub fn secret(secret: &[u8]) -> Result<Self, BadKey> {
        Material::secret(secret).map(Self::of)
    }

    /// A secret of any length, which may be so short that it can be guessed.
    ///
    /// Whoever has seen one token can try as many secrets as they like; this is for issuers that
    /// can't be changed.
    pub fn guessable_secret(secret: &[u8]) -> Self {
        Self::of(Material::guessable(secret))
    }

    /// A public key in PEM: `PUBLIC KEY` or `RSA PUBLIC KEY`.
    ///
    /// # Errors
    ///
    /// If it is none, is not supported, or is too weak.
    pub fn pem(pem: &str) -> Result<Self, BadKey> {
        match der::pem(pem) {
            Some(("PUBLIC KEY", der)) => der::public_key(&der).map(Self::of),
            Some(("RSA PUBLIC KEY", der)) => der::rsa(&der).map(Self::of),
            _ => Err(BadKey::Invalid("it is not a public key in PEM")),
        }
    }

    /// A key as JSON, by [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517).
    ///
    /// # Errors
    ///
    /// If it is none, is not for signatures, is not supported, or is too weak.
    pub fn jwk(json: &str) -> Result<Self, BadKey> {
        jwk::key(json)
    }

    /// Names the key: tokens that name another one are not verified with it.
    #[must_use]
    pub fn id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    fn of(material: Material) -> Self {
        Self { id: None, algorithm: None, material, since: None }
    }

    /// Whether tokens of this algorithm can be verified with it.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.material.fits(algorithm)
    }

    pub(crate) fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        self.material.verify(algorithm, signed, signature)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a key is made of.
#[derive(Clone)]
pub(crate) enum Material {
    /// For HS256, HS384 and HS512, where the secret is long enough.
    Secret(Box<[Option<hmac::Key>; 3]>),
    Rsa(RsaPublicKeyComponents<Box<[u8]>>),
    P256([u8; 65]),
    P384(Box<[u8; 97]>),
    Ed25519([u8; 32]),
}

impl Material {
    pub(crate) fn secret(secret: &[u8]) -> Result<Self, BadKey> {
        match secret.len() {
            ..32 => Err(BadKey::Invalid("a secret of less than 32 bytes is too short")),
            length => Ok(Self::hmac(secret, |hash| length >= hash)),
        }
    }

    fn guessable(secret: &[u8]) -> Self {
        Self::hmac(secret, |_| true)
    }

    fn hmac(secret: &[u8], enough_for: impl Fn(usize) -> bool) -> Self {
        let hashes = [hmac::HMAC_SHA256, hmac::HMAC_SHA384, hmac::HMAC_SHA512];
        Self::Secret(Box::new(hashes.map(|hash| {
            let length = hash.digest_algorithm().output_len();
            enough_for(length).then(|| hmac::Key::new(hash, secret))
        })))
    }

    pub(crate) fn rsa(modulus: Vec<u8>, exponent: Vec<u8>) -> Result<Self, BadKey> {
        // 2048 bits, of which the first is set; ring wants no more than 8192.
        match modulus[..] {
            [0x80..=0xff, ..] if (256..=1024).contains(&modulus.len()) => {}
            [1..=0x7f, ..] if (257..=1024).contains(&modulus.len()) => {}
            _ => return Err(BadKey::Invalid("an RSA key has 2048 to 8192 bits")),
        }
        match exponent[..] {
            [0, ..] | [] | [1 | 2] => return Err(BadKey::Invalid("its RSA exponent is too small")),
            [.., last] if last % 2 == 0 => return Err(BadKey::Invalid("its RSA exponent is even")),
            _ => {}
        }
        if super::roca::is_weak(&modulus) {
            return Err(BadKey::Invalid("it comes from a generator that is broken (ROCA)"));
        }
        let (n, e) = (modulus.into(), exponent.into());
        Ok(Self::Rsa(RsaPublicKeyComponents { n, e }))
    }

    pub(crate) fn p256(point: &[u8]) -> Result<Self, BadKey> {
        uncompressed(point).map(Self::P256)
    }

    pub(crate) fn p384(point: &[u8]) -> Result<Self, BadKey> {
        uncompressed(point).map(|point| Self::P384(Box::new(point)))
    }

    pub(crate) fn ed25519(key: &[u8]) -> Result<Self, BadKey> {
        let key = key.try_into().map_err(|_| BadKey::Invalid("an Ed25519 key has 32 bytes"))?;
        Ok(Self::Ed25519(key))
    }

    pub(crate) fn is_secret(&self) -> bool {
        matches!(self, Self::Secret(_))
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        match (self, algorithm) {
            (Self::Secret(_), _) => self.hmac_key(algorithm).is_some(),
            (Self::Rsa(_), _) => rsa_parameters(algorithm).is_some(),
            (Self::P256(_), A::Es256)
            | (Self::P384(_), A::Es384)
            | (Self::Ed25519(_), A::EdDsa) => true,
            _ => false,
        }
    }

    fn hmac_key(&self, algorithm: Algorithm) -> Option<&hmac::Key> {
        let Self::Secret(keys) = self else { return None };
        match algorithm {
            Algorithm::Hs256 => keys[0].as_ref(),
            Algorithm::Hs384 => keys[1].as_ref(),
            Algorithm::Hs512 => keys[2].as_ref(),
            _ => None,
        }
    }

    fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        use Algorithm as A;
        let verified = match (self, algorithm) {
            (Self::Secret(_), _) => {
                self.hmac_key(algorithm).map(|key| hmac::verify(key, signed, signature))
            }
            (Self::Rsa(key), _) => rsa_parameters(algorithm)
                .map(|parameters| key.verify(parameters, signed, signature)),
            (Self::P256(point), A::Es256) => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                Some(key.verify(signed, signature))
            }
            (Self::P384(point), A::Es384) => {
                let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &point[..]);
                Some(key.verify(signed, signature))
            }
            (Self::Ed25519(key), A::EdDsa) => {
                Some(UnparsedPublicKey::new(&ED25519, key).verify(signed, signature))
            }
            _ => None,
        };
        matches!(verified, Some(Ok(())))
    }
}

/// A point on a curve of so many bytes, both coordinates given.
fn uncompressed<const LENGTH: usize>(point: &[u8]) -> Result<[u8; LENGTH], BadKey> {
    match <[u8; LENGTH]>::try_from(point) {
        Ok(point) if point[0] == 4 => Ok(point),
        _ => Err(BadKey::Invalid("it is not a whole point of its curve")),
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

/// A key that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadKey {
    /// Keys of its kind, or with its algorithm, are not supported.
    Unsupported(Unsupported),
    /// It is no key for signatures, or is too weak, for this reason.
    Invalid(&'static str),
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(what) => write!(f, "the key can't be used: {what}"),
            Self::Invalid(why) => write!(f, "the key can't be used: {why}"),
        }
    }
}

impl error::Error for BadKey {}
