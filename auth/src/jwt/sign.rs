use super::{Algorithm, BadKey, der};
use crate::Credentials;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use purlin_endpoint::{Call, Context, Error, Intercept, InterceptLayer};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{
        self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, RsaEncoding,
    },
};
use serde::Serialize;
use std::{fmt, sync::Arc};

/// A key that tokens are signed with. Clones share it, and it never shows.
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    id: Option<String>,
    secret: Arc<Secret>,
    random: SystemRandom,
}

enum Secret {
    Hmac(hmac::Key),
    Rsa(Box<rsa::KeyPair>, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// A secret that is shared with who verifies, for one of the HMAC algorithms.
    ///
    /// # Errors
    ///
    /// If the algorithm is another, or the secret is shorter than its hash.
    pub fn secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, BadKey> {
        let key = Self::guessable_secret(algorithm, secret)?;
        match &*key.secret {
            Secret::Hmac(hash)
                if secret.len() < hash.algorithm().digest_algorithm().output_len() =>
            {
                Err(BadKey::Invalid("the secret is shorter than its hash"))
            }
            _ => Ok(key),
        }
    }

    /// A secret of any length, which may be so short that it can be guessed.
    ///
    /// # Errors
    ///
    /// If the algorithm is none of HMAC.
    pub fn guessable_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, BadKey> {
        let hash = match algorithm {
            Algorithm::Hs256 => hmac::HMAC_SHA256,
            Algorithm::Hs384 => hmac::HMAC_SHA384,
            Algorithm::Hs512 => hmac::HMAC_SHA512,
            _ => return Err(BadKey::Invalid("a secret is for the HMAC algorithms")),
        };
        Ok(Self::of(algorithm, Secret::Hmac(hmac::Key::new(hash, secret))))
    }

    /// A private key in PEM: `PRIVATE KEY` (PKCS #8), or `RSA PRIVATE KEY` (PKCS #1).
    ///
    /// # Errors
    ///
    /// If it is none, or is not of the algorithm's kind, or too weak.
    pub fn pem(algorithm: Algorithm, pem: &str) -> Result<Self, BadKey> {
        let rejected = |_| BadKey::Invalid("it is not a private key of the algorithm's kind");
        let secret = match der::pem(pem) {
            Some(("PRIVATE KEY", der)) => der,
            Some(("RSA PRIVATE KEY", der)) => {
                let key = rsa::KeyPair::from_der(&der).map_err(rejected)?;
                return Self::rsa(algorithm, key);
            }
            _ => return Err(BadKey::Invalid("it is not a private key in PEM")),
        };
        let random = SystemRandom::new();
        let secret = match algorithm {
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &secret, &random)
                    .map(Secret::Ecdsa)
            }
            Algorithm::Es384 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &secret, &random)
                    .map(Secret::Ecdsa)
            }
            Algorithm::EdDsa => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(&secret).map(Secret::Ed25519)
            }
            _ => {
                let key = rsa::KeyPair::from_pkcs8(&secret).map_err(rejected)?;
                return Self::rsa(algorithm, key);
            }
        };
        Ok(Self::of(algorithm, secret.map_err(rejected)?))
    }

    fn rsa(algorithm: Algorithm, key: rsa::KeyPair) -> Result<Self, BadKey> {
        let padding: &'static dyn RsaEncoding = match algorithm {
            Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
            Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
            Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
            Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
            Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
            Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
            _ => return Err(BadKey::Invalid("it is an RSA key, and the algorithm is another")),
        };
        Ok(Self::of(algorithm, Secret::Rsa(Box::new(key), padding)))
    }

    fn of(algorithm: Algorithm, secret: Secret) -> Self {
        Self { algorithm, id: None, secret: Arc::new(secret), random: SystemRandom::new() }
    }

    /// Names the key in the tokens that it signs: `kid`.
    #[must_use]
    pub fn id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// Signs claims, which are an object as JSON. The token's members stand in the order in which
    /// they are serialized, and those of its header are `alg`, `kid`, `typ`.
    ///
    /// # Errors
    ///
    /// If the claims can't be serialized.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        self.sign_as("JWT", claims)
    }

    /// Signs claims in a token of another type than `JWT`.
    ///
    /// # Errors
    ///
    /// As [`sign`](Self::sign).
    pub fn sign_as(&self, kind: &str, claims: &impl Serialize) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Header<'a> {
            alg: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            kid: Option<&'a str>,
            typ: &'a str,
        }
        let header = Header { alg: self.algorithm.as_str(), kid: self.id.as_deref(), typ: kind };
        let mut token = String::new();
        let header = serde_json::to_vec(&header).map_err(Error::internal)?;
        URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        let claims = serde_json::to_vec(claims).map_err(Error::internal)?;
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    fn signature(&self, signed: &[u8]) -> Result<Vec<u8>, Error> {
        // ring says no more than that it failed, which only its random numbers can make it do.
        let failed = |_| Error::internal("the token could not be signed");
        Ok(match &*self.secret {
            Secret::Hmac(key) => hmac::sign(key, signed).as_ref().to_vec(),
            Secret::Rsa(key, padding) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*padding, &self.random, signed, &mut signature).map_err(failed)?;
                signature
            }
            Secret::Ecdsa(key) => key.sign(&self.random, signed).map_err(failed)?.as_ref().to_vec(),
            Secret::Ed25519(key) => key.sign(signed).as_ref().to_vec(),
        })
    }

    /// A layer for clients that gives each call a token with the claims that this makes for it.
    ///
    /// The token goes out where the client's `before` is [`inject`](crate::inject). A call whose
    /// claims can't be signed fails as `INTERNAL`.
    pub fn layer<F, C>(self, claims: F) -> SignLayer<F>
    where
        F: Fn(&Context) -> C + Send + Sync + 'static,
        C: Serialize,
    {
        InterceptLayer::new(Sign { key: self, claims })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Signs a token for each call: what [`SigningKey::layer`] makes.
pub type SignLayer<F> = InterceptLayer<Sign<F>>;

/// How a call gets its token.
#[derive(Debug)]
pub struct Sign<F> {
    key: SigningKey,
    claims: F,
}

impl<F, C, Req> Intercept<Req> for Sign<F>
where
    F: Fn(&Context) -> C,
    C: Serialize,
    Req: Call,
{
    type Guard = ();
    type Refusal = Error;

    fn before(self: &Arc<Self>, request: &mut Req) -> Result<(), Error> {
        let token = self.key.sign(&(self.claims)(request.context()))?;
        let context = request.context_mut();
        *context = std::mem::take(context).with(Credentials::bearer(&token));
        Ok(())
    }
}
