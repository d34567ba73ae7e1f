//! A server for connections that ends on time.
