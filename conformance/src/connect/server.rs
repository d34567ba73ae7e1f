//! The server under test.

use super::{
    BIDI_STREAM, CLIENT_STREAM, IDEMPOTENT_UNARY, SERVER_STREAM, UNARY,
    definition::{Metadata, Script, any},
    proto::{
        BidiStreamRequest, BidiStreamResponse, ClientStreamRequest, ClientStreamResponse,
        IdempotentUnaryRequest, IdempotentUnaryResponse, ServerCompatRequest, ServerCompatResponse,
        ServerStreamRequest, ServerStreamResponse, UnaryRequest, UnaryResponse,
    },
    tls, wire,
};
use futures_util::stream;
use prost_types::Any;
use purlin_endpoint::{Context, Error, Streaming, endpoint_fn};
use purlin_transport_grpc::Server;
use std::{future::pending, io, mem};
use tokio::io::{stdin, stdout};

/// Serves what the suite asks for on standard input, until it ends the process.
///
/// # Errors
///
/// If the suite can't be understood or no port can be had.
pub async fn server() -> io::Result<()> {
    let asked: Option<ServerCompatRequest> = wire::read(&mut stdin()).await?;
    let asked = asked.ok_or(io::ErrorKind::UnexpectedEof)?;
    let acceptor = tls::acceptor(&asked)?;
    let mut service = service();
    if asked.message_receive_limit > 0 {
        service = service.max_request_message(asked.message_receive_limit as usize);
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port().into();
    let pem_cert = asked.server_creds.filter(|_| asked.use_tls).map(|own| own.cert);
    let pem_cert = pem_cert.unwrap_or_default();
    let answer = ServerCompatResponse { host: "127.0.0.1".into(), port, pem_cert };
    wire::write(&mut stdout(), &answer).await?;
    let server = purlin_serve::Server::new();
    match acceptor {
        None => server.serve(listener, service, pending()).await,
        Some(acceptor) => server.serve(acceptor.accept(listener), service, pending()).await,
    };
    Ok(())
}

fn service() -> Server {
    Server::new()
        .unary(&UNARY, endpoint_fn(unary), Ok, Ok)
        .unary(&IDEMPOTENT_UNARY, endpoint_fn(idempotent_unary), Ok, Ok)
        .client_streaming(&CLIENT_STREAM, endpoint_fn(client_stream), Ok, Ok)
        .server_streaming(&SERVER_STREAM, endpoint_fn(server_stream), Ok, Ok)
        .bidirectional(&BIDI_STREAM, endpoint_fn(bidi_stream), Ok, Ok)
        .before(|context, metadata| Ok(context.with(Metadata(metadata.clone()))))
        .gzip(true)
        .gzip_from(0)
}

async fn unary(context: Context, mut request: UnaryRequest) -> Result<UnaryResponse, Error> {
    let requests = vec![any("UnaryRequest", &request)];
    let definition = request.response_definition.take().unwrap_or_default();
    Ok(UnaryResponse { payload: Some(definition.answer(&context, requests).await?) })
}

async fn idempotent_unary(
    context: Context,
    mut request: IdempotentUnaryRequest,
) -> Result<IdempotentUnaryResponse, Error> {
    let requests = vec![any("IdempotentUnaryRequest", &request)];
    let definition = request.response_definition.take().unwrap_or_default();
    Ok(IdempotentUnaryResponse { payload: Some(definition.answer(&context, requests).await?) })
}

async fn client_stream(
    context: Context,
    mut messages: Streaming<ClientStreamRequest>,
) -> Result<ClientStreamResponse, Error> {
    let (mut requests, mut definition) = (Vec::new(), None);
    while let Some(mut request) = messages.message().await? {
        requests.push(any("ClientStreamRequest", &request));
        if requests.len() == 1 {
            definition = request.response_definition.take();
        }
    }
    let payload = definition.unwrap_or_default().answer(&context, requests).await?;
    Ok(ClientStreamResponse { payload: Some(payload) })
}

async fn server_stream(
    context: Context,
    mut request: ServerStreamRequest,
) -> Result<Streaming<ServerStreamResponse>, Error> {
    let requests = vec![any("ServerStreamRequest", &request)];
    let script = Script::begin(request.response_definition.take(), &context);
    let state = (context, script, requests);
    Ok(Streaming::new(stream::try_unfold(state, |(context, mut script, mut requests)| async {
        let payload = script.next(&context, mem::take(&mut requests)).await?;
        Ok(payload.map(|payload| {
            (ServerStreamResponse { payload: Some(payload) }, (context, script, requests))
        }))
    })))
}

/// A call with two streams, between two responses.
struct Talk {
    context: Context,
    messages: Streaming<BidiStreamRequest>,
    script: Script,
    /// What has come since the last response.
    requests: Vec<Any>,
    full_duplex: bool,
}

async fn bidi_stream(
    context: Context,
    mut messages: Streaming<BidiStreamRequest>,
) -> Result<Streaming<BidiStreamResponse>, Error> {
    let (mut script, mut requests, mut full_duplex) = (Script::default(), Vec::new(), false);
    if let Some(mut first) = messages.message().await? {
        requests.push(any("BidiStreamRequest", &first));
        full_duplex = first.full_duplex;
        script = Script::begin(first.response_definition.take(), &context);
    }
    let talk = Talk { context, messages, script, requests, full_duplex };
    Ok(Streaming::new(stream::try_unfold(talk, |mut talk| async {
        let payload = talk.next().await?;
        Ok(payload.map(|payload| (BidiStreamResponse { payload: Some(payload) }, talk)))
    })))
}

impl Talk {
    async fn next(&mut self) -> Result<Option<super::proto::ConformancePayload>, Error> {
        // In full duplex each response waits for one request; otherwise the first waits for all.
        // Responses that are left over then are sent without waiting.
        while !self.full_duplex || self.requests.is_empty() {
            match self.messages.message().await? {
                Some(request) => self.requests.push(any("BidiStreamRequest", &request)),
                None => break,
            }
        }
        let requests = mem::take(&mut self.requests);
        self.script.next(&self.context, requests).await
    }
}
