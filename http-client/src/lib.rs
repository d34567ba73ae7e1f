//! A pooled HTTP client.
//!
//! ```
//! use purlin_http_client::HttpClient;
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let address = listener.local_addr()?;
//! # tokio::spawn(async move {
//! #     let (mut peer, _) = listener.accept().await?;
//! #     peer.read(&mut [0; 1024]).await?;
//! #     peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nup").await
//! # });
//! let client = HttpClient::new();
//! let uri = format!("http://{address}/health").parse()?;
//! let answer = client.get_bytes(uri, 1024).await?;
//! assert_eq!(answer.status(), 200);
//! assert_eq!(answer.body(), "up");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! [`HttpClient`] is a tower service over requests with any body. It knows nothing of endpoints: it
//! is for whoever speaks HTTP to a service, a registry, an issuer or a collector. Clones share one
//! pool of connections. It adds no header but `host`, follows no redirect and decodes nothing.
//!
//! How connections are made is a [`Connect`]: [`Tcp`], `Unix`, or a function given to
//! [`connect_fn`], as for in-memory pairs. With the feature `rustls`, `https` is spoken over any of
//! them, by rustls on ring with the web's certificate authorities; with certificates of one's own it is
//! purlin-tls that makes a [`Connect`] of another.

mod body;
mod client;
mod connect;
mod connector;
mod error;

pub use body::ResponseBody;
pub use client::{HttpClient, Reply};
#[cfg(unix)]
pub use connect::Unix;
pub use connect::{Connect, ConnectFn, Tcp, connect_fn};
pub use error::{ConnectError, Error};
