//! axum with one route and no layer.

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::greeter::{Greeting, Name, greet};
use super::{Options, Serving};

pub(super) fn serve(listener: TcpListener, _: Options) -> Serving {
    Box::pin(async move {
        let router = Router::new().route("/greeting", get(greeting));
        Ok(axum::serve(listener, router).await?)
    })
}

pub(super) async fn greeting(Query(Name { name }): Query<Name>) -> Json<Greeting> {
    Json(Greeting { greeting: greet(&name) })
}
