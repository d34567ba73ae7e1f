//! The gRPC transport as its peers see it.

mod deadlines;
mod foreign_client;
mod greeter;
mod own_client;
mod raw;
