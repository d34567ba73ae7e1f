//! What the front and its client share: how they are watched, who they are, and who may call.

pub mod access;
pub mod proof;
pub mod telemetry;
