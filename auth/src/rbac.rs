//! Who may call what, by rules.
//!
//! ```
//! use purlin_auth::{Principal, Scheme, rbac::{Policy, Rbac}};
//! use purlin_endpoint::{Code, Context, Endpoint as _, Error, Method, endpoint_fn};
//! use tower::ServiceBuilder;
//!
//! static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");
//!
//! # tokio_test::block_on(async {
//! let policy = Policy::parse(r#"{
//!     "roles": {
//!         "reader": {"allow": ["greeter.Greeter/Greeting"]},
//!         "admin": {"inherits": ["reader"], "allow": ["greeter.**"], "deny": ["greeter.Greeter/Reset"]}
//!     },
//!     "subjects": {"basic:ann": ["admin"], "authenticated": ["reader"]}
//! }"#)?;
//! let rbac = Rbac::new(policy).layer()?;
//! let greet = endpoint_fn(|_: Context, name: String| async move { Ok::<_, Error>(name) });
//! let greet = ServiceBuilder::new().layer(rbac.clone()).service(greet);
//!
//! let anonymous = Context::new().with_method(&GREETING);
//! let refused = greet.invoke(anonymous.clone(), "Ann".into()).await.unwrap_err();
//! assert_eq!(refused.code(), Code::PermissionDenied);
//!
//! let bob = anonymous.with(Principal::new(Scheme::Jwt, "bob"));
//! let why = rbac.handle().explain(&bob);
//! assert_eq!(why.to_string(), "`greeter.Greeter/Greeting` of role `reader` allows greeter.Greeter/Greeting");
//! assert_eq!(greet.invoke(bob, "Bob".into()).await.unwrap(), "Bob");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! A decision is about the *method* of the call's context, which its transport has routed it to:
//! the text of a path and what headers say count for nothing. Who calls is the
//! [`Principal`](crate::Principal) that an authenticating layer further out has put into the
//! context, and the [`Identity`](purlin_endpoint::Identity) that the connection's certificate
//! proves; both count where both are there.
//!
//! Whatever is not allowed is denied, and a rule that denies beats all that allow. A call without a
//! method, a role that nobody has defined, and an empty policy allow nothing.

mod decision;
mod layer;
mod policy;
mod reload;
mod table;

pub use decision::Decision;
pub use layer::{Authorize, Handle, Rbac, RbacLayer};
pub use policy::{InvalidPolicy, Policy, Role};
