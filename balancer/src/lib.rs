//! Load balancing over the instances of a service.
//!
//! ```
//! use purlin_balancer::Balance;
//! use purlin_endpoint::{BoxEndpoint, Code, Context, Endpoint as _, Error, endpoint_fn};
//! use purlin_sd::{Endpoints, Instance, Instancer};
//!
//! /// What calls one instance: an endpoint for each method, over one connection.
//! struct Greeter {
//!     greet: BoxEndpoint<&'static str, String>,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let instances = Instancer::fixed(["10.0.0.7:9110", "10.0.0.8:9110"].map(Instance::new));
//! let greeters = Endpoints::new(instances, |instance| {
//!     let address = instance.address.clone();
//!     let greet = endpoint_fn(move |_, name: &'static str| {
//!         let answer = format!("Hello, {name}, from {address}!");
//!         async move { Ok::<_, Error>(answer) }
//!     });
//!     Ok(Greeter { greet: BoxEndpoint::new(greet) })
//! });
//!
//! let balancer = Balance::round_robin().over(greeters)?;
//! let greet = balancer.endpoint(|greeter: &Greeter| greeter.greet.clone());
//! assert_eq!(greet.invoke(Context::new(), "Ann").await?, "Hello, Ann, from 10.0.0.7:9110!");
//! assert_eq!(greet.invoke(Context::new(), "Bo").await?, "Hello, Bo, from 10.0.0.8:9110!");
//! # Ok(())
//! # }
//! ```
//!
//! A [`Balancer`] keeps a table of the instances that can be called, made anew when something
//! changes: the instances, who is [taken out](Ejection) for failing, the weight of who is
//! [new](Balance::slow_start). A call reads the table, picks by the rule, and goes to what the
//! instance's endpoint has for its method. There is no queue: a call never waits for an instance.
//!
//! A call is refused with [`NoEndpoints`], which is `UNAVAILABLE`, if there is nobody to call. Where
//! it goes is noted in its context's [`Tried`](purlin_endpoint::Tried), or said so by an instance's
//! error, for a retry layer around this to find another; and in the call's
//! [`Notes`](purlin_endpoint::Notes), with what was seen.
//!
//! Clones share everything. A call counts as in flight until its stream has ended; one that is
//! dropped is not held against its instance, unless its deadline has passed.
//!
//! [`spill`], [`eject`], [`sweep`] and [`hash`] are the decisions themselves, for use elsewhere.

mod balance;
mod balanced;
mod balancer;
mod decision;
mod ejection;
mod latency;
mod load;
mod policy;
mod priority;
mod ring;
mod state;
mod table;

pub use balance::Balance;
pub use balanced::{Balanced, Outstanding};
pub use balancer::{Balancer, Pick};
pub use decision::{Decision, NoEndpoints};
pub use ejection::{Ejection, Record, Tally, eject, readmit, sweep};
pub use priority::{OVERPROVISIONING, Share, spill};
pub use ring::hash;
