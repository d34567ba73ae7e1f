//! Liveness and readiness with named checks.
