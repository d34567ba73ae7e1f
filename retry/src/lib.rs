//! Retries and hedges for calls.
