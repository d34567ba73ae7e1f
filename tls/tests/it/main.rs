//! TLS on both sides: over sockets and memory, with right and wrong certificates.

mod attacks;
mod clients;
mod config;
mod foreign;
mod handshakes;
mod reload;
mod world;
