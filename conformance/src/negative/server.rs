//! What the server does to its clients.

use super::peer::Peer;
use crate::interop::large_response;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// What a server does otherwise than to answer. Resets happen to the first call only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// It takes no more calls once it has the first one of its first connection.
    GoAway,
    /// It goes away with the first call when it has two.
    LeaveOut,
    /// It resets the stream behind the head.
    ResetAfterHead,
    /// It resets the stream when half of the data is sent.
    ResetDuringData,
    /// It resets the stream in the place of trailers.
    ResetAfterData,
    /// It sends pings before and behind the head and the data.
    Pings,
    /// It takes one stream at a time.
    OneStream,
    /// It sends data in the smallest pieces, each with so much padding.
    SmallPieces(u8),
}

/// What a server has seen of its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How many connections were made.
    pub connections: usize,
    /// How many pings had no answer when their connection ended.
    pub unanswered: i64,
    /// How many streams were open at once on one connection, at most.
    pub most: usize,
}

/// A server that lives as long as this does, on a port of its own.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    pub async fn start(misbehaviour: Misbehaviour) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(accept(listener, misbehaviour, seen.clone()));
        Ok(Self { address, seen, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen, of connections that have ended.
    pub fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, misbehaviour: Misbehaviour, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let first = connections.is_empty();
        connections.spawn(connection(socket, misbehaviour, first, seen.clone()));
    }
}

async fn connection(
    socket: TcpStream,
    misbehaviour: Misbehaviour,
    first: bool,
    seen: Arc<Mutex<Seen>>,
) {
    let streams = if misbehaviour == Misbehaviour::OneStream { 1 } else { 100 };
    let Ok(mut peer) = Peer::greet(socket, streams).await else { return };
    // A client ends its connection by closing it, at whatever point that is.
    let _ = serve(&mut peer, misbehaviour, first).await;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.connections += 1;
    seen.unanswered += peer.pings;
    seen.most = seen.most.max(peer.most);
}

async fn serve(peer: &mut Peer, misbehaviour: Misbehaviour, first: bool) -> io::Result<()> {
    let stream = peer.request().await?;
    if misbehaviour == Misbehaviour::LeaveOut && first {
        peer.request().await?;
        peer.goaway(stream).await?;
    }
    answer(peer, stream, first.then_some(misbehaviour)).await?;
    let after = match misbehaviour {
        Misbehaviour::Pings | Misbehaviour::SmallPieces(_) => Some(misbehaviour),
        _ => None,
    };
    loop {
        let stream = peer.request().await?;
        answer(peer, stream, after).await?;
    }
}

async fn answer(
    peer: &mut Peer,
    stream: u32,
    misbehaviour: Option<Misbehaviour>,
) -> io::Result<()> {
    let (data, pings) = (large_response(), misbehaviour == Some(Misbehaviour::Pings));
    let (piece, padding) = match misbehaviour {
        Some(Misbehaviour::SmallPieces(padding)) => (5, padding),
        _ => (16 << 10, 0),
    };
    if misbehaviour == Some(Misbehaviour::GoAway) {
        peer.goaway(stream).await?;
    }
    if pings {
        peer.ping().await?;
    }
    peer.head(stream).await?;
    if pings {
        peer.ping().await?;
    }
    if misbehaviour == Some(Misbehaviour::ResetAfterHead) {
        return peer.reset(stream).await;
    }
    let (half, rest) = data.split_at(data.len() / 2);
    peer.data(stream, half, piece, padding).await?;
    if misbehaviour == Some(Misbehaviour::ResetDuringData) {
        return peer.reset(stream).await;
    }
    peer.data(stream, rest, piece, padding).await?;
    if pings {
        peer.ping().await?;
    }
    match misbehaviour {
        Some(Misbehaviour::ResetAfterData) => peer.reset(stream).await,
        _ => peer.trailers(stream).await,
    }
}
