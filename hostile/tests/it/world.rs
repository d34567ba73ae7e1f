//! What the tests are told from outside.

/// Whether a soak is wanted: the tests that have two sizes take the longer.
pub(crate) fn soak() -> bool {
    std::env::var_os("PURLIN_SOAK").is_some()
}
