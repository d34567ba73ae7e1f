//! The server on real sockets, and on in-memory pairs where time has to be stopped.

mod accepting;
mod drain;
mod floods;
mod parting;
mod protocols;
mod readiness;
mod rules;
#[cfg(unix)]
mod sockets;
mod timeouts;
mod world;
