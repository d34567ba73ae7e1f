//! What the debug port answers besides health: the live state of all layers.

use purlin::{
    Context, Error, Inspect, endpoint_fn,
    health::HealthService,
    transport_http::{Router, Server, decode, encode},
};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

/// `/inspect` shows what is inspected, as one JSON object; all other paths are health's.
pub(crate) fn router(inspected: Vec<Arc<dyn Inspect>>, health: HealthService) -> Router {
    let inspect = endpoint_fn(move |_: Context, ()| {
        let states: Result<BTreeMap<_, _>, _> = inspected
            .iter()
            .map(|it| Ok((it.name(), RawValue::from_string(it.snapshot())?)))
            .collect();
        async move { states.map_err(|error: serde_json::Error| Error::internal(error)) }
    });
    Router::new()
        .get("/inspect", Server::new(inspect, decode::no_request, encode::json))
        .fallback(health)
}
