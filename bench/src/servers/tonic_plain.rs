//! tonic with the generated service and no layer.

use std::pin::Pin;

use tokio::net::TcpListener;
use tokio_stream::Stream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::greeter::greet;
use super::{Options, Serving};
use crate::pb::greeter_server::{Greeter, GreeterServer};
use crate::pb::{GreetManyRequest, GreetingReply, GreetingRequest};

pub(super) fn serve(listener: TcpListener, _: Options) -> Serving {
    Box::pin(async move {
        Ok(tonic::transport::Server::builder()
            .add_service(GreeterServer::new(Plain))
            .serve_with_incoming(incoming(listener))
            .await?)
    })
}

/// Connections as `Server::serve` would take them: with `TCP_NODELAY`.
pub(super) fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}

pub(super) struct Plain;

#[tonic::async_trait]
impl Greeter for Plain {
    type GreetManyStream = Pin<Box<dyn Stream<Item = Result<GreetingReply, Status>> + Send>>;

    async fn greeting(
        &self,
        request: Request<GreetingRequest>,
    ) -> Result<Response<GreetingReply>, Status> {
        Ok(Response::new(GreetingReply { greeting: greet(&request.get_ref().name) }))
    }

    async fn greet_many(
        &self,
        request: Request<GreetManyRequest>,
    ) -> Result<Response<Self::GreetManyStream>, Status> {
        let GreetManyRequest { names, languages } = request.into_inner();
        if languages.iter().any(|language| language != "en") {
            return Err(Status::invalid_argument("the only language here is en"));
        }
        let replies = names.into_iter().map(|name| Ok(GreetingReply { greeting: greet(&name) }));
        Ok(Response::new(Box::pin(tokio_stream::iter(replies))))
    }
}
