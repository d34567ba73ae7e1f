//! Users and passwords, by [RFC 7617](https://www.rfc-editor.org/rfc/rfc7617).
//!
//! ```
//! use purlin_auth::{Authenticate as _, Credentials, Principal, basic::{Basic, Hashes}};
//! use purlin_endpoint::{Code, Context, Endpoint as _, Error, endpoint_fn};
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let users = Hashes::new().password("ada", "swordfish")?;
//! let whoami = ServiceBuilder::new()
//!     .layer(Basic::new("shop").verifier(users)?.layer())
//!     .service(endpoint_fn(|context: Context, ()| async move {
//!         Ok::<_, Error>(context.get::<Principal>().unwrap().name().to_owned())
//!     }));
//!
//! let call = |password| whoami.invoke(Context::new().with(Credentials::basic("ada", password)), ());
//! assert_eq!(call("swordfish").await?, "ada");
//! assert_eq!(call("guess").await.unwrap_err().code(), Code::Unauthenticated);
//! # Ok(())
//! # }
//! ```

mod config;
mod hashes;
mod pair;
mod remembered;
mod verify;

pub use config::Basic;
pub use hashes::{BadUser, Hashes};
pub use verify::{Refused, Users, Verifier};
