//! Keys of issuers, and tokens of our own, by [OpenID Connect](https://openid.net/specs/openid-connect-discovery-1_0.html)
//! and [OAuth 2.0](https://www.rfc-editor.org/rfc/rfc6749).
//!
//! An [`Issuer`] fetches the keys that an issuer publishes, and [`ClientCredentials`] a token that a
//! client shows. Each has one task, which asks again before what it has is old, keeps what it has
//! when there is no answer, and ends with the last of those who use it. However many calls miss
//! something, it is asked for once.

mod exchange;
mod fresh;
mod issuer;
mod tokens;

pub use issuer::Issuer;
pub use tokens::{ClientCredentials, Tokens};
