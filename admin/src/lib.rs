//! A page that shows a running service.
//!
//! ```
//! use http::{Request, StatusCode};
//! use purlin_admin::{Admin, Origin, Watch};
//! use purlin_endpoint::{Context, Endpoint as _, Error, Method, Peer, Service as _, endpoint_fn};
//! use tower::ServiceBuilder;
//!
//! static GREETING: Method = Method::unary("greeter.Greeter", "Greeting");
//!
//! # tokio_test::block_on(async {
//! let watch = Watch::new().layer()?;
//! let greet = endpoint_fn(|_: Context, name: String| async move { Ok::<_, Error>(name) });
//! let greet = ServiceBuilder::new().layer(watch.clone()).service(greet);
//! greet.invoke(Context::new().with_method(&GREETING), "Ann".into()).await?;
//!
//! let mut admin = Admin::new("greeter", "1.2.3")
//!     .route("HTTP", "GET /greeting", &GREETING)
//!     .setting("--http-addr", "127.0.0.1:9110", Origin::Default)
//!     .watch(watch.handle())
//!     .service();
//!
//! let mut request = Request::get("/state.json").body(String::new()).unwrap();
//! request.extensions_mut().insert(Peer::Memory);
//! let response = admin.call(request).await.unwrap();
//! assert_eq!(response.status(), StatusCode::OK);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! Serve [`AdminService`] on a port of its own, where others do not reach it. A browser that opens
//! that port sees the routes, each method's layers with their state, the rates and durations of the
//! last five minutes as charts, the last calls with the time they spent in each layer and what the
//! layers decided, the settings with the origin of each, and whatever was mounted beside it. The
//! page has nothing from elsewhere; what it shows is one JSON document, `/state.json`.
//!
//! What is shown is collected by hand in `main`: every [`Handle`](purlin_endpoint::Inspect) of a
//! layer goes in with [`Admin::method`] or [`Admin::component`]. A [`WatchLayer`], the outermost of
//! a method, sees the calls. [`FaultsLayer`] has calls fail or wait when an [`Action`] says so.
//!
//! It is read-only until [`Admin::enable_actions`], and answers only callers on this machine until
//! [`Admin::allow_remote`]; then put layers of your own around it.

mod action;
mod admin;
mod fault;
mod process;
mod record;
mod series;
mod service;
mod tail;
mod watch;

pub use action::{Action, Input};
pub use admin::{Admin, Origin};
pub use fault::{Fault, FaultsHandle, FaultsLayer, Faulty};
pub use process::Process;
pub use service::AdminService;
pub use tail::{Tail, Tailed};
pub use watch::{Handle, Watch, WatchLayer, Watched, Watching};
