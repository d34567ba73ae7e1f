//! A pooled HTTP client.
