//! The HTTP transport, as its users see it.

#![allow(missing_docs, reason = "tests are named as claims")]

mod gokit_server;
