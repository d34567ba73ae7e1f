//! What the crate does, seen from outside.

mod attacks;
mod basic;
mod credentials;
mod go_kit_jwt;
mod keys;
mod layers;
mod oidc;
mod properties;
mod rbac;

use purlin_auth::{AuthLayer, Authenticate, Credentials};
use purlin_endpoint::{
    Call, Context, Endpoint as _, Error, Intercept, InterceptLayer, Layer as _, Observes,
    endpoint_fn,
};
use std::{convert::Infallible, sync::Arc};
use tower::layer::util::Stack;

/// Puts the same credentials into the context of each call.
struct Shows(Credentials);

impl<Req: Call> Intercept<Req> for Shows {
    type Guard = ();
    type Refusal = Infallible;

    fn before(self: &Arc<Self>, request: &mut Req) -> Result<(), Infallible> {
        let context = request.context_mut();
        *context = std::mem::take(context).with(self.0.clone());
        Ok(())
    }
}

type Showing<L> = Stack<L, InterceptLayer<Shows, Observes>>;

/// A layer, and in front of it one that shows these credentials.
fn showing<L>(credentials: Credentials, layer: L) -> Showing<L> {
    Stack::new(layer, InterceptLayer::observer(Shows(credentials)))
}

/// Calls through a layer that authenticates, and returns what reached the endpoint.
async fn call<V: Authenticate>(layer: &AuthLayer<V>, context: Context) -> Result<Context, Error> {
    let endpoint = endpoint_fn(async |context: Context, ()| Ok::<_, Error>(context));
    layer.layer(endpoint).invoke(context, ()).await
}
