//! Endpoints over gRPC.
