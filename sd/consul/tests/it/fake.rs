//! An agent in memory, which answers what a test says: so time can be paused.

use purlin_http_client::{HttpClient, connect_fn};
use purlin_sd_consul::Consul;
use std::{fmt::Display, io};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

pub(crate) struct Fake {
    pub(crate) consul: Consul,
    pub(crate) client: HttpClient,
    asked: mpsc::UnboundedReceiver<Asked>,
    up: watch::Sender<bool>,
}

/// A request that waits for its answer.
pub(crate) struct Asked {
    /// Method and target.
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) at: Instant,
    answer: oneshot::Sender<Answer>,
}

/// What is sent, and whether the connection ends with it.
struct Answer(String, bool);

impl Fake {
    pub(crate) fn new() -> Self {
        let (asking, asked) = mpsc::unbounded_channel();
        let (up, is_up) = watch::channel(true);
        let client = HttpClient::over(connect_fn(move |_| {
            let (near, far) = duplex(1 << 16);
            let outcome = match *is_up.borrow() {
                true => Ok(near),
                false => Err(io::ErrorKind::ConnectionRefused.into()),
            };
            tokio::spawn(serve(far, asking.clone(), is_up.clone()));
            async { outcome }
        }));
        let consul = Consul::new("http://consul:8500/").unwrap().client(client.clone());
        Self { consul, client, asked, up }
    }

    /// The next request.
    pub(crate) async fn asked(&mut self) -> Asked {
        self.asked.recv().await.unwrap()
    }

    /// Whether it listens; if not, connections are closed too.
    pub(crate) fn set_up(&self, up: bool) {
        self.up.send_replace(up);
    }
}

impl Asked {
    /// A set of instances.
    pub(crate) fn tell(self, index: impl Display, body: &str) {
        let length = body.len();
        self.raw(format!(
            "HTTP/1.1 200 OK\r\nx-consul-index: {index}\r\ncontent-length: {length}\r\n\r\n{body}"
        ));
    }

    /// A status, and what the agent says of it.
    pub(crate) fn status(self, status: u16, said: &str) {
        let length = said.len();
        self.raw(format!("HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\n\r\n{said}"));
    }

    fn raw(self, answer: String) {
        // Whoever asked may be gone.
        let _ = self.answer.send(Answer(answer, false));
    }

    /// So much of an answer, and then the end of the connection.
    pub(crate) fn breaks_off(self, answer: String) {
        let _ = self.answer.send(Answer(answer, true));
    }

    /// Waits until whoever asked does not want to know any more.
    pub(crate) async fn closed(&mut self) {
        self.answer.closed().await;
    }

    /// As [`closed`](Self::closed), and lets go of it.
    pub(crate) async fn given_up(mut self) {
        self.closed().await;
    }
}

/// One passing instance, as the health API tells of it.
pub(crate) fn entry(port: u16) -> String {
    format!(
        r#"{{"Node": {{"Node": "n1", "Address": "10.0.0.1"}}, "Checks": [{{"Status": "passing"}}],
             "Service": {{"ID": "s{port}", "Service": "greeter", "Port": {port}}}}}"#
    )
}

async fn serve(
    mut stream: DuplexStream,
    asking: mpsc::UnboundedSender<Asked>,
    mut up: watch::Receiver<bool>,
) {
    let talk = async {
        while let Some((head, body)) = request(&mut stream).await {
            let (answer, told) = oneshot::channel();
            let line = head.lines().next().unwrap_or_default().replace(" HTTP/1.1", "");
            if asking.send(Asked { line, head, body, at: Instant::now(), answer }).is_err() {
                return;
            }
            let Answer(answer, last) = tokio::select! {
                Ok(answer) = told => answer,
                // A client that waits says nothing more before it closes.
                _ = stream.read_u8() => return,
            };
            if stream.write_all(answer.as_bytes()).await.is_err() || last {
                return;
            }
        }
    };
    tokio::select! {
        () = talk => {}
        _ = up.wait_for(|up| !up) => {}
    }
}

async fn request(stream: &mut DuplexStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}
