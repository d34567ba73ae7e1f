//! Attacks on the server, in memory where time has to stand still, and on sockets.

mod differential;
mod oracle;
mod vectors;
mod world;
