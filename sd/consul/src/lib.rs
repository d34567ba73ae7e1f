//! Service discovery by Consul.
//!
//! ```
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let agent = format!("http://{}", listener.local_addr()?);
//! # tokio::spawn(async move {
//! #     let (mut peer, _) = listener.accept().await?;
//! #     peer.read(&mut [0; 1024]).await?;
//! #     let body = r#"[{"Node": {"Node": "n1", "Address": "10.0.0.7"},
//! #         "Service": {"ID": "greeter", "Port": 9110, "Tags": ["v2"]}}]"#;
//! #     let head = "HTTP/1.1 200 OK\r\nx-consul-index: 7\r\ncontent-length";
//! #     peer.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
//! #     std::future::pending::<std::io::Result<()>>().await
//! # });
//! use purlin_sd::Discovery;
//! use purlin_sd_consul::Consul;
//!
//! let consul = Consul::new(&agent)?; // Such as `http://127.0.0.1:8500`.
//! let mut greeters = Discovery::new().start(consul.source("greeter").tags(["v2"]))?;
//! assert_eq!(greeters.known().await.instances()[0].address, "10.0.0.7:9110");
//! # Ok(())
//! # }
//! ```
//!
//! A [`Consul`] is an agent, whom everything is asked: [`source`](Consul::source) follows the
//! instances of a service, and [`registry`](Consul::registry) registers one. What
//! [holds for every registry](purlin_sd) holds here too.
//!
//! A service is followed by [blocking queries](https://developer.hashicorp.com/consul/api-docs/features/blocking)
//! of the health API, at most one a second after a first two, and one in ten seconds at rest. An
//! index that goes backwards is forgotten, and one of 0 is taken for 1, as Consul's documentation
//! demands. An agent that falls silent is noticed within 12.6 s: see [`Consul::wait`].
//!
//! # An instance in Consul
//!
//! | [`Instance`](purlin_sd::Instance) | Consul |
//! |---|---|
//! | `id` | the service's id is `<service>-<id>`; `Meta["purlin-id"]` is the id itself. Where others have registered without that, the id is `<node>/<service id>`. |
//! | `address` | `Address` and `Port` of the service; the address of the node if the service has none |
//! | `weight` | `Weights.Passing`, from 1 to 65535 |
//! | `zone`, `version` | `Meta["zone"]`, `Meta["version"]` |
//! | `metadata` | the rest of `Meta` |
//! | `healthy` | whether all checks pass |
//!
//! What Consul has no room for is refused: the registration is then
//! [lost](purlin_sd::State::Lost), with an error that says why. Keys of metadata have up to 128
//! letters, digits, `-` and `_`, values up to 512 bytes, and there are up to 61.
//!
//! # Features
//!
//! - `rustls`: agents behind `https`.

mod agent;
mod check;
mod entry;
mod index;
mod registry;
mod source;

pub use agent::Consul;
pub use check::Check;
pub use registry::ConsulRegistry;
pub use source::ConsulSource;
