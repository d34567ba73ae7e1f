//! One call that shows that a server does the work it is measured for.

use std::net::SocketAddr;

use tonic::transport::Endpoint;

use crate::Failure;
use crate::h1::Connection;
use crate::pb::GreetingRequest;
use crate::pb::greeter_client::GreeterClient;
use crate::servers::Face;

/// Fails unless the server greets Ann, with an OK status.
pub(crate) fn verify(face: Face, addr: SocketAddr) -> Result<(), Failure> {
    let greeting = match face {
        Face::Http => over_http(addr)?,
        Face::Grpc => over_grpc(addr)?,
    };
    if greeting == "Hello, Ann!" {
        return Ok(());
    }
    Err(format!("the greeting is {greeting:?}").into())
}

fn over_http(addr: SocketAddr) -> Result<String, Failure> {
    let body: serde_json::Value = serde_json::from_slice(&Connection::open(addr)?.call()?)?;
    let greeting = body.get("greeting").and_then(|greeting| greeting.as_str());
    Ok(greeting.ok_or_else(|| format!("the body is {body}"))?.to_owned())
}

fn over_grpc(addr: SocketAddr) -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let channel = Endpoint::from_shared(format!("http://{addr}"))?.connect().await?;
        let mut client = GreeterClient::new(channel);
        let reply = client.greeting(GreetingRequest { name: "Ann".to_owned() }).await?;
        Ok(reply.into_inner().greeting)
    })
}
