//! The gRPC transport as its peers see it.

mod deadlines;
mod foreign_client;
mod foreign_server;
mod greeter;
mod layers;
mod own_client;
mod raw;
mod services;
