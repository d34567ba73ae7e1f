//! Attacks on the server, in memory where time has to stand still, and on sockets.

mod asked;
mod attacks;
mod authorization;
mod corpus;
mod deadlines;
mod differential;
mod exhaustion;
mod failover;
mod frames;
mod healthy;
mod target;
mod tracing;
mod vectors;
mod world;
