//! The messages and stubs of `proto/greeter.proto`.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

tonic::include_proto!("greeter");
