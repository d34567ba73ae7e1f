//! One connection to one member, and what can be asked on it.

use crate::Etcd;
use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use prost::Message;
use purlin_endpoint::{Code, Error};
use std::{
    convert::Infallible, error::Error as StdError, future::Future, sync::Arc, time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use tonic::{
    Request, Response, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataValue},
    transport::{self, Channel, Endpoint},
};
use tonic_prost::ProstCodec;

#[allow(missing_docs, unreachable_pub, clippy::all)]
pub(crate) mod wire {
    include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
}
use wire::{
    AuthenticateRequest, AuthenticateResponse, LeaseGrantRequest, LeaseGrantResponse,
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest, LeaseRevokeResponse,
    PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader, WatchCreateRequest,
    WatchRequest, WatchResponse, watch_request::RequestUnion,
};
pub(crate) use wire::{Event, KeyValue, event::EventType};

/// How often a source asks whether its member is still there. etcd holds pings of HTTP/2 that come
/// more often than every 5 s for an attack; requests it doesn't mind.
const BEAT: Duration = Duration::from_secs(2);

/// No answer is larger: some hundred thousand instances.
const LARGEST: usize = 64 << 20;

/// Opens a connection to a member.
pub(crate) type Dial =
    Arc<dyn Fn(Endpoint) -> BoxFuture<'static, Result<Channel, transport::Error>> + Send + Sync>;

/// By TCP, and TLS where the member is `https`. Where time is paused, which knows nothing of
/// sockets, tests have another way.
pub(crate) fn by_tcp() -> Dial {
    Arc::new(|member| async move { member.connect().await }.boxed())
}

/// Keys that are followed.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    first: Vec<u8>,
    /// The first key behind them; nothing stands for a single one.
    end: Vec<u8>,
}

impl Keys {
    pub(crate) fn one(key: &str) -> Self {
        Self { first: key.into(), end: Vec::new() }
    }

    /// All that begin with this prefix, which ends in a slash, whose next byte is the digit 0.
    pub(crate) fn below(folder: &str) -> Self {
        let mut end = folder.as_bytes().to_vec();
        end.pop();
        end.push(b'0');
        Self { first: folder.into(), end }
    }
}

/// A connection to one member. Clones share it, and it ends with the last of them.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    channel: Channel,
    token: Option<MetadataValue<Ascii>>,
    patience: Duration,
}

impl Client {
    /// Connects to the member whose turn it is, or else to the next that can be reached. The turn
    /// passes on each time, so that after whatever failure another one is asked.
    pub(crate) async fn connect(etcd: &Etcd, turn: &mut usize) -> Result<Self, Error> {
        let mut failed = Error::new(Code::Unavailable, "etcd has no members");
        for _ in &etcd.members {
            *turn = (*turn + 1) % etcd.members.len();
            match Self::open(etcd, &etcd.members[*turn]).await {
                Ok(client) => return Ok(client),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn open(etcd: &Etcd, member: &Endpoint) -> Result<Self, Error> {
        let connected = answered(etcd.patience, (etcd.dial)(member.clone())).await?;
        let channel = connected.map_err(|error| {
            let why = format!("{} can't be reached: {}", member.uri(), deepest(&error));
            Error::new(Code::Unavailable, why).caused_by(error)
        })?;
        let mut client = Self { channel, token: None, patience: etcd.patience };
        if let Some(user) = &etcd.user {
            let (name, password) = (user.name.clone(), user.password.clone());
            let asked = AuthenticateRequest { name, password };
            let answer: AuthenticateResponse =
                client.unary("/etcdserverpb.Auth/Authenticate", asked).await?;
            let token = answer.token.try_into();
            client.token = Some(token.map_err(|error| Error::new(Code::Unauthenticated, error))?);
        }
        Ok(client)
    }

    /// Waits less long for answers.
    pub(crate) fn patience(self, patience: Duration) -> Self {
        Self { patience: self.patience.min(patience), ..self }
    }

    /// What these keys hold, and at which revision.
    pub(crate) async fn list(&self, keys: &Keys) -> Result<(Vec<KeyValue>, i64), Error> {
        let answer = self.range(keys, false).await?;
        Ok((answer.kvs, revision(answer.header)?))
    }

    /// Fails when the member does not answer any more.
    pub(crate) async fn beat(&self, keys: &Keys) -> Result<Infallible, Error> {
        loop {
            sleep(BEAT).await;
            self.range(keys, true).await?;
        }
    }

    async fn range(&self, keys: &Keys, beat: bool) -> Result<RangeResponse, Error> {
        let (key, range_end) = (keys.first.clone(), keys.end.clone());
        let asked = RangeRequest { key, range_end, serializable: beat, count_only: beat };
        self.unary("/etcdserverpb.KV/Range", asked).await
    }

    /// Writes a key that goes with a lease, and returns the revision since which it is there.
    pub(crate) async fn put(&self, key: &str, value: &[u8], lease: i64) -> Result<i64, Error> {
        let asked = PutRequest { key: key.into(), value: value.into(), lease };
        let answer: PutResponse = self.unary("/etcdserverpb.KV/Put", asked).await?;
        revision(answer.header)
    }

    /// Follows keys from a revision on. etcd has confirmed it when this returns.
    pub(crate) async fn watch(&self, keys: &Keys, start_revision: i64) -> Result<Watch, Error> {
        let (key, range_end) = (keys.first.clone(), keys.end.clone());
        let create = WatchCreateRequest { key, range_end, start_revision };
        let asked = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The watch ends with its questions. They must end with the watch too: they keep the
        // connection open, even when nobody reads the answers any more.
        let (open, closed) = oneshot::channel::<Infallible>();
        let asked = stream::iter([asked]).chain(stream::pending()).take_until(closed);
        let answers = self.stream("/etcdserverpb.Watch/Watch", asked).await?;
        let mut watch = Watch { answers, _open: open };
        answered(self.patience, watch.next()).await??;
        Ok(watch)
    }

    /// Makes a lease, unless it is there.
    pub(crate) async fn grant(&self, id: i64, time_to_live: i64) -> Result<(), Error> {
        let asked = LeaseGrantRequest { id, ttl: time_to_live };
        let granted: Result<LeaseGrantResponse, Error> =
            self.unary("/etcdserverpb.Lease/LeaseGrant", asked).await;
        match granted {
            // Nobody else draws the same number of 63 bits: this is ours.
            Err(error) if error.code() == Code::FailedPrecondition => self.renew(id).await,
            other => other.map(drop),
        }
    }

    /// Has the time of a lease begin anew.
    pub(crate) async fn renew(&self, id: i64) -> Result<(), Error> {
        let asked = stream::iter([LeaseKeepAliveRequest { id }]);
        let mut answers: Streaming<LeaseKeepAliveResponse> =
            self.stream("/etcdserverpb.Lease/LeaseKeepAlive", asked).await?;
        let answer = answered(self.patience, answers.message()).await?.map_err(failed)?;
        if answer.is_some_and(|answer| answer.ttl > 0) {
            Ok(())
        } else {
            Err(Error::new(Code::NotFound, "the lease has ended"))
        }
    }

    /// Ends a lease, and all keys that go with it. One that is not there is no error.
    pub(crate) async fn revoke(&self, id: i64) -> Result<(), Error> {
        let revoked: Result<LeaseRevokeResponse, Error> =
            self.unary("/etcdserverpb.Lease/LeaseRevoke", LeaseRevokeRequest { id }).await;
        match revoked {
            Err(error) if error.code() != Code::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn unary<Req, Res>(&self, path: &'static str, asked: Req) -> Result<Res, Error>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        let (path, codec) = (PathAndQuery::from_static(path), ProstCodec::default());
        let asked = self.request(asked);
        self.ask(async |mut grpc| grpc.unary(asked, path, codec).await).await
    }

    async fn stream<Req, Res>(
        &self,
        path: &'static str,
        asked: impl Stream<Item = Req> + Send + 'static,
    ) -> Result<Streaming<Res>, Error>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        let (path, codec) = (PathAndQuery::from_static(path), ProstCodec::default());
        let asked = self.request(asked);
        self.ask(async |mut grpc| grpc.streaming(asked, path, codec).await).await
    }

    /// What comes of a question, once the connection takes one, within the patience.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(Grpc<Channel>) -> Result<Response<T>, Status>,
    ) -> Result<T, Error> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST);
        let answer = async {
            let ready = grpc.ready().await;
            ready.map_err(|error| Status::from_error(error.into()))?;
            question(grpc).await
        };
        answered(self.patience, answer).await?.map(Response::into_inner).map_err(failed)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        // A member that has lost its cluster would tell of nothing new, and not say why.
        metadata.insert("hasleader", MetadataValue::from_static("true"));
        if let Some(token) = &self.token {
            metadata.insert("token", token.clone());
        }
        request
    }
}

/// What changes, as it changes.
#[derive(Debug)]
pub(crate) struct Watch {
    answers: Streaming<WatchResponse>,
    _open: oneshot::Sender<Infallible>,
}

impl Watch {
    /// The next changes; there may be none in an answer.
    pub(crate) async fn next(&mut self) -> Result<Vec<Event>, Error> {
        let answer = self.answers.message().await.map_err(failed)?;
        let answer = answer.ok_or_else(|| Error::new(Code::Unavailable, "the watch has ended"))?;
        if answer.compact_revision > 0 {
            let why = format!("what comes before revision {} is gone", answer.compact_revision);
            return Err(Error::new(Code::OutOfRange, why));
        }
        if answer.canceled {
            let why = format!("etcd has canceled the watch: {}", answer.cancel_reason);
            return Err(Error::new(Code::Aborted, why));
        }
        Ok(answer.events)
    }
}

async fn answered<T>(patience: Duration, answer: impl Future<Output = T>) -> Result<T, Error> {
    let late = |_| Error::new(Code::DeadlineExceeded, "etcd did not answer in time");
    timeout(patience, answer).await.map_err(late)
}

fn revision(header: Option<ResponseHeader>) -> Result<i64, Error> {
    let none = || Error::of(Code::DataLoss).public("an answer of etcd's has no revision");
    header.map(|header| header.revision).ok_or_else(none)
}

fn failed(status: Status) -> Error {
    let code = Code::from_number(i32::from(status.code()).into());
    let why = match status.source() {
        // It is etcd that says this.
        None => format!("etcd: {}", status.message()),
        Some(source) => format!("etcd: {}: {}", status.message(), deepest(source)),
    };
    Error::of(code).public(why).caused_by(status)
}

/// The cause that has no cause: those above it say little more than that something has failed.
fn deepest<'a>(mut error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}
