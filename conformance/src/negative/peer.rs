//! One HTTP/2 connection as a server sees it (RFC 9113), written by hand: libraries don't misbehave.

use std::{
    collections::{HashMap, VecDeque},
    io,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// Room for all that a client of these cases sends on one connection.
const ROOM: u32 = 1 << 30;

/// `:status 200` and `content-type: application/grpc`, packed (RFC 7541).
const HEAD: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0`, packed.
const TRAILERS: &[u8] = b"\x00\x0bgrpc-status\x010";

/// The connection of one client.
pub(super) struct Peer {
    io: BufStream<TcpStream>,
    /// What may be sent on the connection, and on each stream that is open.
    room: i64,
    streams: HashMap<u32, i64>,
    /// What a stream begins with.
    initial: i64,
    /// Requests that are there to their end.
    asked: VecDeque<u32>,
    /// Pings without an answer.
    pub(super) pings: i64,
    /// How many streams were open at once, at most.
    pub(super) most: usize,
}

impl Peer {
    /// Begins a connection on which so many streams may be open at once.
    pub(super) async fn greet(socket: TcpStream, streams: u32) -> io::Result<Self> {
        let mut peer = Self {
            io: BufStream::new(socket),
            room: 65_535,
            streams: HashMap::new(),
            initial: 65_535,
            asked: VecDeque::new(),
            pings: 0,
            most: 0,
        };
        peer.io.read_exact(&mut [0; PREFACE]).await?;
        let mut settings = Vec::new();
        for (name, value) in [(MAX_CONCURRENT_STREAMS, streams), (INITIAL_WINDOW_SIZE, ROOM)] {
            settings.extend(name.to_be_bytes());
            settings.extend(value.to_be_bytes());
        }
        peer.frame(SETTINGS, 0, 0, &settings).await?;
        peer.frame(WINDOW_UPDATE, 0, 0, &ROOM.to_be_bytes()).await?;
        Ok(peer)
    }

    /// The next request that has come to its end.
    pub(super) async fn request(&mut self) -> io::Result<u32> {
        loop {
            if let Some(stream) = self.asked.pop_front() {
                return Ok(stream);
            }
            self.read().await?;
        }
    }

    pub(super) async fn head(&mut self, stream: u32) -> io::Result<()> {
        self.frame(HEADERS, END_HEADERS, stream, HEAD).await
    }

    /// Sends data as there is room for it, in pieces of so many bytes, each with so much padding.
    pub(super) async fn data(
        &mut self,
        stream: u32,
        data: &[u8],
        piece: usize,
        padding: u8,
    ) -> io::Result<()> {
        for piece in data.chunks(piece) {
            let mut payload = piece.to_vec();
            let mut flags = 0;
            if padding > 0 {
                flags = PADDED;
                payload.insert(0, padding);
                payload.resize(payload.len() + usize::from(padding), 0);
            }
            let size = i64::try_from(payload.len()).map_err(io::Error::other)?;
            while self.room.min(self.streams.get(&stream).copied().unwrap_or(i64::MAX)) < size {
                self.read().await?;
            }
            self.room -= size;
            if let Some(room) = self.streams.get_mut(&stream) {
                *room -= size;
            }
            self.frame(DATA, flags, stream, &payload).await?;
        }
        Ok(())
    }

    pub(super) async fn trailers(&mut self, stream: u32) -> io::Result<()> {
        self.streams.remove(&stream);
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS).await
    }

    /// Resets a stream, though nothing is wrong.
    pub(super) async fn reset(&mut self, stream: u32) -> io::Result<()> {
        self.streams.remove(&stream);
        self.frame(RST_STREAM, 0, stream, &[0; 4]).await
    }

    pub(super) async fn ping(&mut self) -> io::Result<()> {
        self.pings += 1;
        self.frame(PING, 0, 0, b"are you?").await
    }

    /// Takes no more streams than this one and those before it.
    pub(super) async fn goaway(&mut self, last: u32) -> io::Result<()> {
        let payload = [last.to_be_bytes(), [0; 4]].concat();
        self.frame(GOAWAY, 0, 0, &payload).await
    }

    async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_be_bytes();
        self.io.write_all(&length[1..]).await?;
        self.io.write_all(&[kind, flags]).await?;
        self.io.write_all(&stream.to_be_bytes()).await?;
        self.io.write_all(payload).await
    }

    /// Sends what is to be sent, and takes note of the next frame.
    async fn read(&mut self) -> io::Result<()> {
        self.io.flush().await?;
        let mut head = [0; 9];
        self.io.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let stream = u32::from_be_bytes(stream);
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.io.read_exact(&mut payload).await?;
        match kind {
            HEADERS => {
                self.streams.insert(stream, self.initial);
                self.most = self.most.max(self.streams.len());
            }
            RST_STREAM => _ = self.streams.remove(&stream),
            PING if flags & ACK != 0 => self.pings -= 1,
            PING => self.frame(PING, ACK, 0, &payload).await?,
            SETTINGS if flags & ACK == 0 => {
                self.settings(&payload);
                self.frame(SETTINGS, ACK, 0, &[]).await?;
            }
            WINDOW_UPDATE => {
                let more = i64::from(number(&payload));
                match stream {
                    0 => self.room += more,
                    _ => _ = self.streams.entry(stream).and_modify(|room| *room += more),
                }
            }
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            self.asked.push_back(stream);
        }
        Ok(())
    }

    fn settings(&mut self, payload: &[u8]) {
        for setting in payload.chunks_exact(6) {
            let (name, value) = setting.split_at(2);
            if name == INITIAL_WINDOW_SIZE.to_be_bytes() {
                let initial = i64::from(number(value));
                self.streams.values_mut().for_each(|room| *room += initial - self.initial);
                self.initial = initial;
            }
        }
    }
}

/// The number that four bytes are.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
