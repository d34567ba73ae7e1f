//! The service's own error can't be made from the layer's refusal.

use purlin_endpoint::{BoxEndpoint, Context, Intercept, InterceptLayer, Layer as _, endpoint_fn};
use std::sync::Arc;

struct Closed;

struct Refused;

struct GreeterError;

impl<Req> Intercept<Req> for Closed {
    type Guard = ();
    type Refusal = Refused;

    fn before(self: &Arc<Self>, _: &mut Req) -> Result<(), Refused> {
        Err(Refused)
    }
}

fn main() {
    let greet = endpoint_fn(|_: Context, name: String| async move { Ok::<_, GreeterError>(name) });
    let closed = InterceptLayer::new(Closed).layer(greet);
    let _ = BoxEndpoint::new(closed);
}
