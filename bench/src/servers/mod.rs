//! The servers under test: each answers `Hello, <name>!` over one face.

mod axum_full;
mod axum_plain;
mod greeter;
mod hyper_raw;
mod metering;
mod purlin;
mod tonic_full;
mod tonic_plain;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;

use tokio::net::TcpListener;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Face {
    /// `GET /greeting?name=…` over HTTP/1.1.
    Http,
    /// `greeter.Greeter/Greeting` over HTTP/2 without TLS.
    Grpc,
}

/// What a server is started with besides its listener.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where a server that logs writes its lines.
    pub log: PathBuf,
}

/// A server that runs until its process ends.
pub(crate) type Serving =
    Pin<Box<dyn Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send>>;

/// How a server comes to life.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    /// A function of this crate, run in a fresh process of this same program.
    Here(fn(TcpListener, Options) -> Serving),
    /// The Go kit greeter of `peers/gokit`, with these arguments.
    GoKit(&'static [&'static str]),
}

/// One row of every table.
#[derive(Clone, Copy)]
pub(crate) struct Server {
    /// The name, unique within a face.
    pub name: &'static str,
    /// What it speaks.
    pub face: Face,
    /// What stands round the handler.
    pub what: &'static str,
    /// How it is started.
    pub start: Start,
}

/// Every server, in the order of the tables.
pub(crate) const SERVERS: &[Server] = &[
    http("raw-hyper", "hyper http1, one `match`", Start::Here(hyper_raw::serve)),
    http("axum", "axum::serve, Query, Json, no layer", Start::Here(axum_plain::serve)),
    http("axum-full", "TraceLayer line, metrics, governor", Start::Here(axum_full::serve)),
    http("purlin", "Router, query, JSON, no layer", Start::Here(purlin::http)),
    http("purlin-open", "the same without protections", Start::Here(purlin::http_open)),
    http("purlin-log", "one line per call", Start::Here(purlin::http_log)),
    http(
        "purlin-full",
        "span, line, metrics, limiter, breaker, deadline",
        Start::Here(purlin::http_full),
    ),
    http("gokit", "gorilla/mux, no middleware", Start::GoKit(&["-http"])),
    http("gokit-full", "limiter, breaker, two lines, metrics", Start::GoKit(&["-full", "-http"])),
    grpc("tonic", "tonic, no layer", Start::Here(tonic_plain::serve)),
    grpc("tonic-full", "TraceLayer line, metrics, governor", Start::Here(tonic_full::serve)),
    grpc("purlin", "no layer", Start::Here(purlin::grpc)),
    grpc("purlin-log", "one line per call", Start::Here(purlin::grpc_log)),
    grpc(
        "purlin-full",
        "span, line, metrics, limiter, breaker, deadline",
        Start::Here(purlin::grpc_full),
    ),
    grpc("gokit", "grpc-go, no middleware", Start::GoKit(&["-grpc"])),
    grpc("gokit-full", "limiter, breaker, two lines, metrics", Start::GoKit(&["-full", "-grpc"])),
];

const fn http(name: &'static str, what: &'static str, start: Start) -> Server {
    Server { name, face: Face::Http, what, start }
}

const fn grpc(name: &'static str, what: &'static str, start: Start) -> Server {
    Server { name, face: Face::Grpc, what, start }
}

impl fmt::Display for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Grpc => "gRPC",
        })
    }
}

impl Face {
    /// The names that ratios are computed against.
    pub(crate) const fn bases(self) -> [&'static str; 3] {
        match self {
            Self::Http => ["axum", "axum-full", "gokit-full"],
            Self::Grpc => ["tonic", "tonic-full", "gokit-full"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Face, SERVERS};

    #[test]
    fn a_name_is_unique_within_its_face() {
        for (at, server) in SERVERS.iter().enumerate() {
            let twin =
                SERVERS[at + 1..].iter().find(|s| s.name == server.name && s.face == server.face);
            assert!(twin.is_none(), "{} is listed twice", server.name);
        }
    }

    #[test]
    fn every_base_is_a_server_of_its_face() {
        for face in [Face::Http, Face::Grpc] {
            for base in face.bases() {
                assert!(SERVERS.iter().any(|s| s.name == base && s.face == face), "{base}");
            }
        }
    }
}
