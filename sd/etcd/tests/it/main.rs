//! What the crate promises, tried.

mod foreign;
mod options;
#[cfg(feature = "rustls")]
mod pki;
