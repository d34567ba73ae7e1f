//! A server for connections that ends on time.
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use hyper::body::{Bytes, Incoming};
//! use purlin_serve::Server;
//! use std::convert::Infallible;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // Any tower service over `http::Request<Incoming>` can be served.
//! let hello = tower::service_fn(|_request: Request<Incoming>| async {
//!     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("Hello!"))))
//! });
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let server = tokio::spawn(Server::new().serve(listener, hello, async {
//!     let _ = stopped.await;
//! }));
//!
//! let mut client = tokio::net::TcpStream::connect(address).await?;
//! client.write_all(b"GET / HTTP/1.1\r\nhost: me\r\nconnection: close\r\n\r\n").await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("Hello!"));
//!
//! let _ = stop.send(());
//! assert_eq!(server.await?.cut, 0);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Server::serve`] runs a service on the connections of an [`Accept`]: TCP, a Unix socket, or
//! [`memory`]. HTTP/1.1 and HTTP/2 (with prior knowledge) share one port. Every wait on a peer has
//! its limit, and so has the drain at the end.
//!
//! Two limits are not kept here. How large a request body may be, and how long it may pause, is
//! known to the service, since a stream of messages may go on for ever: whoever reads the body
//! limits it. And a panic is best caught by the service, which can still answer then: here it
//! takes down the HTTP/2 stream or the HTTP/1 connection that it happens on, and nothing else.
//!
//! Requests that break the protocol are answered by hyper, with a status and no body. Protocol
//! upgrades are not supported.

mod accept;
mod call;
mod connection;
mod frames;
mod framing;
mod handle;
mod host;
mod line;
mod memory;
mod options;
mod reply;
mod running;
mod server;
mod signal;
#[cfg(unix)]
mod unix;
mod watch;

pub use accept::Accept;
pub use handle::{Handle, Report, ServeError};
pub use memory::{MemoryAccept, MemoryDial, memory};
pub use options::Protocol;
pub use server::Server;
#[cfg(unix)]
pub use unix::UnixAccept;
