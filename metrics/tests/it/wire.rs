//! Servers of the tests' own that take down what they are sent.

use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

const SOON: Duration = Duration::from_secs(5);

/// Takes packets.
pub(crate) struct Udp(UdpSocket);

impl Udp {
    pub(crate) async fn bind() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// The packets that have come, the first of them soon.
    pub(crate) async fn packets(&self) -> Vec<String> {
        let mut buffer = [0; 65536];
        let mut packets = Vec::new();
        timeout(SOON, self.0.readable()).await.expect("a packet").unwrap();
        while let Ok(length) = self.0.try_recv(&mut buffer) {
            packets.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        packets
    }

    /// The lines in them.
    pub(crate) async fn lines(&self) -> Vec<String> {
        self.packets().await.iter().flat_map(|packet| packet.lines()).map(str::to_owned).collect()
    }
}

/// Takes lines on one connection after the other.
pub(crate) struct Tcp {
    listener: TcpListener,
}

impl Tcp {
    pub(crate) async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    pub(crate) async fn accept(&self) -> BufReader<TcpStream> {
        let (stream, _) = timeout(SOON, self.listener.accept()).await.expect("a peer").unwrap();
        BufReader::new(stream)
    }

    /// Answers one HTTP request, and gives its body.
    pub(crate) async fn answer(&self, status: &str) -> String {
        let mut stream = self.accept().await;
        let mut length = 0;
        loop {
            let line = line(&mut stream).await;
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        timeout(SOON, stream.read_exact(&mut body)).await.expect("a body").unwrap();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(body).unwrap()
    }
}

pub(crate) async fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    timeout(SOON, stream.read_line(&mut line)).await.expect("a line").unwrap();
    line.trim_end().to_owned()
}
