//! Tokens: who issued them, for whom, and until when.
//!
//! A [`Verifier`] is told its algorithms, the issuer and the audience, and checks a token in this
//! order: its size and form, its header, its claims, its signature. Nothing in a token chooses where
//! a key comes from, and nothing is computed with a token that could not be let in anyway.
//!
//! A token is a JWS in compact form by [RFC 7515](https://www.rfc-editor.org/rfc/rfc7515) whose
//! payload is claims by [RFC 7519](https://www.rfc-editor.org/rfc/rfc7519), and the checks are those
//! of [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725). The cryptography is ring's. Stricter than
//! the standards:
//!
//! - A token is at most 8 KiB long, its header 1 KiB, and neither is nested deeper than 16 levels.
//! - A member that comes twice, at any depth, is refused, and so are `crit`, `b64`, `jku`, `x5u`,
//!   `jwk` and `x5c` in a header.
//! - `exp`, `nbf` and `iat` are whole seconds before the year 10000.
//! - Without a `kid`, a token is checked against a key only if no other fits its algorithm.
//! - RSA keys have at least 2048 bits, and secrets are at least as long as their hash.

mod algorithm;
mod cache;
mod claims;
mod compact;
mod config;
mod der;
mod json;
mod jwk;
mod key;
mod keys;
mod refused;
mod roca;
mod sign;
#[cfg(test)]
mod vectors;
mod verify;

pub use algorithm::{Algorithm, Unsupported};
pub use claims::Claims;
pub use config::Jwt;
pub use key::{BadKey, Key};
#[cfg(feature = "oidc")]
pub(crate) use keys::Missing;
pub use keys::{KeySet, Keys};
pub use refused::Refused;
pub use sign::{Sign, SignLayer, SigningKey};
pub use verify::{Verified, Verifier};
