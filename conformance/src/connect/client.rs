//! The client under test.

use super::{
    BIDI_STREAM, CLIENT_STREAM, IDEMPOTENT_UNARY, SERVER_STREAM, UNARY, UNIMPLEMENTED,
    outcome::{Answer, Outcome, cancelled},
    proto::{
        BidiStreamRequest, BidiStreamResponse, ClientCompatRequest, ClientCompatResponse,
        ClientErrorResult, ClientResponseResult, ClientStreamRequest, ClientStreamResponse,
        IdempotentUnaryRequest, IdempotentUnaryResponse, ServerStreamRequest, ServerStreamResponse,
        UnaryRequest, UnaryResponse, UnimplementedRequest, UnimplementedResponse,
        client_compat_request::cancel::CancelTiming, client_compat_response::Result as Told,
    },
    tls, wire,
};
use crate::feed::feed;
use http::{HeaderName, HeaderValue, Uri};
use prost::Message;
use purlin_endpoint::{Context, Endpoint as _, Error, Method, Streaming};
use purlin_http_client::Tcp;
use purlin_transport_grpc::{Channel, Client};
use std::{io, time::Duration};
use tokio::{
    io::{stdin, stdout},
    sync::mpsc,
    task::JoinSet,
    time::sleep,
};

const GZIP: i32 = 2;
const FULL_DUPLEX: i32 = 5;

/// Makes the calls that the suite asks for on standard input, and tells what came of each.
///
/// # Errors
///
/// If the suite can't be understood.
pub async fn client() -> io::Result<()> {
    let (asked, mut requests) = mpsc::channel::<ClientCompatRequest>(16);
    // A read that is given up half-way would lose its place, so it has a task of its own.
    let reading = tokio::spawn(async move {
        let mut from = stdin();
        while let Some(request) = wire::read(&mut from).await? {
            if asked.send(request).await.is_err() {
                break;
            }
        }
        Ok::<_, io::Error>(())
    });
    let (mut calls, mut to) = (JoinSet::new(), stdout());
    loop {
        tokio::select! {
            Some(request) = requests.recv() => drop(calls.spawn(answer(request))),
            Some(response) = calls.join_next() => wire::write(&mut to, &response?).await?,
            else => break,
        }
    }
    reading.await?
}

async fn answer(request: ClientCompatRequest) -> ClientCompatResponse {
    let test_name = request.test_name.clone();
    let result = match Call::new(request) {
        Ok(call) => call.make().await,
        Err(trouble) => Err(trouble),
    };
    let told = match result {
        Ok(response) => Told::Response(response),
        Err(message) => Told::Error(ClientErrorResult { message }),
    };
    ClientCompatResponse { test_name, result: Some(told) }
}

/// One call that the suite asks for.
struct Call {
    asked: ClientCompatRequest,
    channel: Channel,
    metadata: Vec<(HeaderName, HeaderValue)>,
    outcome: Outcome,
}

impl Call {
    fn new(asked: ClientCompatRequest) -> Result<Self, String> {
        let connector = tls::connector(&asked)?;
        let scheme = if connector.is_some() { "https" } else { "http" };
        let origin: Uri = format!("{scheme}://{}:{}", asked.host, asked.port)
            .parse()
            .map_err(|error| format!("the address: {error}"))?;
        let channel = match connector {
            None => Channel::new(origin),
            Some(connector) => Channel::over(connector.over(Tcp::new()), origin),
        };
        let mut metadata = Vec::new();
        for header in &asked.request_headers {
            for value in &header.value {
                let name = header.name.parse().map_err(|error| format!("a name: {error}"))?;
                metadata.push((name, value.parse().map_err(|error| format!("a value: {error}"))?));
            }
        }
        Ok(Self { asked, channel, metadata, outcome: Outcome::default() })
    }

    async fn make(self) -> Result<ClientResponseResult, String> {
        // The suite wants to be told nearly all of a call's time, and on a busy machine a handshake
        // takes its share. If it fails, so does the call.
        let _ = self.channel.connect().await;
        let made = match self.asked.method() {
            "Unary" => self.one::<UnaryRequest, UnaryResponse>(&UNARY).await,
            "IdempotentUnary" => {
                self.one::<IdempotentUnaryRequest, IdempotentUnaryResponse>(&IDEMPOTENT_UNARY).await
            }
            "Unimplemented" => {
                self.one::<UnimplementedRequest, UnimplementedResponse>(&UNIMPLEMENTED).await
            }
            "ClientStream" => self.client_stream().await,
            "ServerStream" => self.server_stream().await,
            "BidiStream" => self.bidi_stream().await,
            other => return Err(format!("there is no method {other}")),
        };
        if let Err(error) = made {
            self.outcome.error(&error);
        }
        Ok(self.outcome.take())
    }

    fn context(&self) -> Context {
        let patience = self.asked.timeout_ms.map(|millis| Duration::from_millis(millis.into()));
        patience.map_or(Context::new(), |patience| Context::new().with_timeout(patience))
    }

    fn set<C, O, I>(&self, client: Client<C, O, I>) -> Client<C, O, I> {
        let (metadata, outcome) = (self.metadata.clone(), self.outcome.clone());
        let client = client
            .before(move |_, headers| {
                for (name, value) in metadata.iter().cloned() {
                    headers.append(name, value);
                }
                Ok(())
            })
            .after(move |_, headers, trailers| outcome.metadata(headers, trailers))
            .gzip(self.asked.compression == GZIP)
            .gzip_from(0);
        match self.asked.message_receive_limit {
            0 => client,
            limit => client.max_response_message(limit as usize),
        }
    }

    fn messages<M: Message + Default>(&self) -> Result<Vec<M>, Error> {
        let decode = |any: &prost_types::Any| M::decode(&*any.value).map_err(Error::internal);
        self.asked.request_messages.iter().map(decode).collect()
    }

    fn timing(&self) -> Option<CancelTiming> {
        self.asked.cancel.as_ref().and_then(|cancel| cancel.cancel_timing)
    }

    /// Gives the work up when the suite wants it cancelled so long after the last request.
    async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(CancelTiming::AfterCloseSendMs(millis)) = self.timing() else { return work.await };
        tokio::select! {
            done = work => done,
            () = sleep(Duration::from_millis(millis.into())) => Err(cancelled()),
        }
    }

    async fn one<Req, Res>(&self, method: &'static Method) -> Result<(), Error>
    where
        Req: Message + Default + 'static,
        Res: Answer,
    {
        let request: Req = self.messages()?.pop().unwrap_or_default();
        let client = Client::unary(self.channel.clone(), method, Ok::<Req, _>, Ok::<Res, _>);
        let client = self.set(client);
        let response = client.invoke(self.context(), request);
        self.outcome.answer(self.unless_cancelled(response).await?);
        Ok(())
    }

    async fn server_stream(&self) -> Result<(), Error> {
        let request: ServerStreamRequest = self.messages()?.pop().unwrap_or_default();
        let client = self.set(Client::server_streaming(
            self.channel.clone(),
            &SERVER_STREAM,
            Ok::<ServerStreamRequest, _>,
            Ok::<ServerStreamResponse, _>,
        ));
        self.unless_cancelled(async {
            self.read(client.invoke(self.context(), request).await?).await
        })
        .await
    }

    /// Takes all responses, or as many as the suite wants before it cancels.
    async fn read<Res: Answer>(&self, mut responses: Streaming<Res>) -> Result<(), Error> {
        while let Some(response) = responses.message().await? {
            self.outcome.answer(response);
            self.enough()?;
        }
        Ok(())
    }

    fn enough(&self) -> Result<(), Error> {
        match self.timing() {
            Some(CancelTiming::AfterNumResponses(wanted))
                if self.outcome.payloads() >= wanted as usize =>
            {
                Err(cancelled())
            }
            _ => Ok(()),
        }
    }

    async fn client_stream(&self) -> Result<(), Error> {
        let (sender, requests) = feed();
        let client = self.set(Client::client_streaming(
            self.channel.clone(),
            &CLIENT_STREAM,
            Ok::<ClientStreamRequest, _>,
            Ok::<ClientStreamResponse, _>,
        ));
        let context = self.context();
        let mut call = JoinSet::new();
        call.spawn(async move { client.invoke(context, requests).await });
        for message in self.messages()? {
            self.send(&sender, message).await;
        }
        self.close(sender).await?;
        self.outcome.answer(self.unless_cancelled(ended(&mut call)).await?);
        Ok(())
    }

    async fn bidi_stream(&self) -> Result<(), Error> {
        let (sender, requests) = feed();
        let client = self.set(Client::bidirectional(
            self.channel.clone(),
            &BIDI_STREAM,
            Ok::<BidiStreamRequest, _>,
            Ok::<BidiStreamResponse, _>,
        ));
        let context = self.context();
        let mut call = JoinSet::new();
        call.spawn(async move { client.invoke(context, requests).await });
        let mut responses: Option<Streaming<BidiStreamResponse>> = None;
        for message in self.messages()? {
            self.send(&sender, message).await;
            if self.asked.stream_type == FULL_DUPLEX {
                let responses = match &mut responses {
                    Some(responses) => responses,
                    none => none.insert(ended(&mut call).await?),
                };
                match responses.message().await? {
                    Some(response) => self.outcome.answer(response),
                    None => return Ok(()),
                }
                self.enough()?;
            }
        }
        self.close(sender).await?;
        self.unless_cancelled(async {
            let responses = match responses {
                Some(responses) => responses,
                None => ended(&mut call).await?,
            };
            self.read(responses).await
        })
        .await
    }

    /// Hands a request over, and comes back when the transport has taken it or wants no more.
    async fn send<M>(&self, sender: &mpsc::Sender<M>, message: M) {
        sleep(Duration::from_millis(self.asked.request_delay_ms.into())).await;
        if sender.send(message).await.is_ok() {
            let _ = sender.reserve().await;
        }
    }

    /// Ends the requests, unless the suite wants the call cancelled before that.
    async fn close<M>(&self, sender: mpsc::Sender<M>) -> Result<(), Error> {
        match self.timing() {
            Some(CancelTiming::BeforeCloseSend(())) => Err(cancelled()),
            _ => {
                drop(sender);
                Ok(())
            }
        }
    }
}

async fn ended<T: 'static>(call: &mut JoinSet<Result<T, Error>>) -> Result<T, Error> {
    let ended = call.join_next().await.ok_or_else(|| Error::internal("it has ended before"))?;
    ended.map_err(Error::internal)?
}
