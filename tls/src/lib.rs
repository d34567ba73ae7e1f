//! TLS for servers and clients, with reload.
//!
//! ```
//! # use http::{Request, Response};
//! use purlin_http_client::{HttpClient, connect_fn};
//! use purlin_serve::Server;
//! use purlin_tls::{ClientTls, Credentials, Pem, ServerTls};
//! # use std::{convert::Infallible, future::pending};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let hello = tower::service_fn(|_: Request<hyper::body::Incoming>| async {
//! #     Ok::<_, Infallible>(Response::new("Hello!".to_owned()))
//! # });
//! # let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! # let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
//! let (listener, dial) = purlin_serve::memory();
//! let credentials = Credentials::new(Pem::text(&certificate), Pem::text(key));
//! let acceptor = ServerTls::new(credentials).acceptor()?;
//! tokio::spawn(Server::new().serve(acceptor.accept(listener), hello, pending()));
//!
//! let memory = connect_fn(move |_| {
//!     let dial = dial.clone();
//!     async move { dial.connect().await }
//! });
//! let connector = ClientTls::new().ca(Pem::text(certificate)).connector()?;
//! let client = HttpClient::over(connector.over(memory));
//! let answer = client.get_bytes("https://localhost/".parse()?, 100).await?;
//! assert_eq!((answer.version(), &answer.body()[..]), (http::Version::HTTP_2, &b"Hello!"[..]));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! An [`Acceptor`] puts TLS around any [`Accept`](purlin_serve::Accept): TCP, a Unix socket or
//! memory. A [`Connector`] puts it around any [`Connect`](purlin_http_client::Connect), for the
//! pooled HTTP client and for gRPC's channel alike. Both are rustls on ring, with TLS 1.2 and 1.3;
//! no cryptography of the whole process is installed or asked for.
//!
//! # Who the client is
//!
//! With [`client_ca`](ServerTls::client_ca) a client must show a certificate of that authority, or
//! may with [`client_optional`](ServerTls::client_optional). The names in it, and no others, become
//! the call's [`Identity`](purlin_endpoint::Identity), which an endpoint reads by
//! `context.peer_identity()`. The common name of a subject is never believed.
//!
//! # Reload
//!
//! Files are read again every half second, and what they hold is taken over all at once: new
//! handshakes use it. A client gives an old connection no new calls, and closes it behind the last
//! one that it has. A server keeps the connections that it has when its own certificate is another;
//! when it is the [authorities](ServerTls::client_ca) of its clients, or the
//! [lists](ServerTls::revoked) of what they have revoked, it has all of them finish their calls,
//! within [`age_grace`](purlin_serve::Server::age_grace), and takes no more on them: each client has
//! to show its certificate again. Files that are missing,
//! half-written, expired, or don't belong together change nothing: the old ones stay, and a
//! [`Handle`] and [`on_reload`](Acceptor::on_reload) tell why. What is wrong at the start is a
//! [`TlsError`].
//!
//! Clones of an acceptor or a connector share all that.
//!
//! # Features
//!
//! - `serde`: [`ServerTls`] and [`ClientTls`] in configuration files.
//! - `webpki-roots`: clients that trust whom the web trusts.

mod accept;
mod certificate;
mod client;
mod connect;
mod error;
mod handle;
mod material;
mod pem;
mod server;
mod sni;
mod store;

pub use accept::{Acceptor, TlsAccept};
pub use certificate::Certificate;
pub use client::ClientTls;
pub use connect::{Connector, TlsConnect};
pub use error::TlsError;
pub use handle::{Failure, Handle, State};
pub use pem::{Credentials, Pem};
pub use server::ServerTls;
