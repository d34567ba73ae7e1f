//! Who calls, and whether they may.
//!
//! ```
//! use purlin_auth::{Principal, Scheme};
//! use purlin_endpoint::Context;
//!
//! let ada = Principal::new(Scheme::Jwt, "ada").roles(["admin"]);
//! let context = Context::default().with(ada);
//! assert_eq!(context.get::<Principal>().unwrap().name(), "ada");
//! assert!(context.outgoing().get::<Principal>().is_none());
//! ```
//!
//! A layer that authenticates puts a [`Principal`] into the context, and nothing else does: what a
//! caller says of itself in other headers counts for nothing. Where there are several such layers,
//! the innermost one says who calls, or that it is nobody. A call without proof is refused with
//! [`Unauthenticated`], one that is not permitted with [`Denied`]. Neither tells the caller why, but
//! for the words of the standard; the reason is in the error's sources, for the log.
//!
//! # Features
//!
//! - `basic`: users and passwords, with argon2 hashes.
//! - `jwt`: tokens, verified and signed.
//! - `oidc`: keys of issuers over HTTPS, and tokens of our own.
//! - `rbac`: who may call what, by rules.
//! - `serde`: reads and writes the configurations.

#[cfg(feature = "basic")]
pub mod basic;
mod credentials;
#[cfg(feature = "jwt")]
pub mod jwt;
#[cfg(any(feature = "basic", feature = "jwt"))]
mod layer;
#[cfg(feature = "oidc")]
pub mod oidc;
mod principal;
#[cfg(feature = "rbac")]
pub mod rbac;
mod refusal;

pub use credentials::{Credentials, extract, inject};
#[cfg(any(feature = "basic", feature = "jwt"))]
pub use layer::{AuthLayer, Authenticate, Authenticated, Authenticating, Handle};
pub use principal::{Principal, Scheme};
#[cfg(any(feature = "basic", feature = "jwt"))]
use refusal::quoted;
pub use refusal::{Denied, Unauthenticated};
