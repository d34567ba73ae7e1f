//! A TCP proxy that does what a test says, between a backend and its real registry.

use crate::discovery::Owned;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Interval, interval, sleep},
};

/// What a [`Proxy`] does to the connections through it.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// It passes everything on.
    Pass,
    /// Nobody listens, and connections are closed.
    Refuse,
    /// It accepts, and nothing comes through until the mode is another one.
    Hang,
    /// Connections are reset: at once, and new ones in the middle of their first answer.
    Reset,
    /// Whoever sends something gets these bytes, and then the end of the connection.
    Answer(&'static [u8]),
    /// What the server sends is changed on its way.
    Rewrite(fn(&mut [u8])),
    /// It passes everything on to another server.
    Elsewhere(SocketAddr),
    /// What the server sends comes so much later.
    Delay(Duration),
    /// [`Refuse`](Self::Refuse) and [`Pass`](Self::Pass) in turn, ten times a second.
    Flap,
}

/// A proxy on a port of the loopback interface, which it keeps while it refuses connections too.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    _task: Owned,
}

impl Proxy {
    /// Passes everything on to this address. It must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If there is no free port.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        // A port that is bound refuses as long as nobody listens on it, and might then be given to
        // somebody else, but for a loopback address that nobody else has.
        let [second, third, fourth] = std::array::from_fn(|_| fastrand::u8(1..255));
        let held = bound(SocketAddr::from(([127, second, third, fourth], 0)))?;
        let address = held.local_addr()?;
        let (mode, told) = watch::channel(Mode::Pass);
        let run = async move {
            let _held = held;
            run(address, upstream, told).await;
        };
        Ok(Self { address, mode, _task: Owned::new(tokio::spawn(run)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it does from now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn run(address: SocketAddr, upstream: SocketAddr, mut told: watch::Receiver<Mode>) {
    let (effective, _) = watch::channel(Mode::Pass);
    let mut listener = None;
    let mut connections = JoinSet::new();
    let mut flapping: Option<Interval> = None;
    loop {
        if matches!(*effective.borrow(), Mode::Refuse) {
            listener = None;
        } else if listener.is_none() {
            listener = bound(address).and_then(|socket| socket.listen(64)).ok();
        }
        tokio::select! {
            changed = told.changed() => {
                if changed.is_err() {
                    return;
                }
                let mode = *told.borrow_and_update();
                flapping = matches!(mode, Mode::Flap).then(|| interval(Duration::from_millis(50)));
                effective.send_replace(mode);
            }
            () = tick(&mut flapping) => {
                let up = matches!(*effective.borrow(), Mode::Pass);
                effective.send_replace(if up { Mode::Refuse } else { Mode::Pass });
            }
            Some(client) = accept(listener.as_ref()) => {
                connections.spawn(connection(client, upstream, effective.subscribe()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn tick(flapping: &mut Option<Interval>) {
    match flapping {
        Some(interval) => _ = interval.tick().await,
        None => std::future::pending().await,
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(client, _)| client),
        None => std::future::pending().await,
    }
}

/// One connection, which ends with the first error of either side.
async fn connection(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut server = None;
    let (mut request, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut fresh = true;
    loop {
        let now = *mode.borrow_and_update();
        match now {
            Mode::Hang | Mode::Flap => {
                mode.changed().await.map_err(io::Error::other)?;
                continue;
            }
            Mode::Refuse => return Ok(()),
            Mode::Reset if !fresh => return client.set_zero_linger(),
            Mode::Answer(bytes) => {
                if fresh && client.read(&mut request).await? > 0 {
                    client.write_all(bytes).await?;
                }
                return client.shutdown().await;
            }
            Mode::Reset | Mode::Pass | Mode::Rewrite(_) | Mode::Elsewhere(_) | Mode::Delay(_) => {}
        }
        let wanted = if let Mode::Elsewhere(other) = now { other } else { upstream };
        let (_, server) = match &mut server {
            Some((other, _)) if *other != wanted => return Ok(()),
            Some(server) => server,
            none => none.insert((wanted, TcpStream::connect(wanted).await?)),
        };
        tokio::select! {
            changed = mode.changed() => {
                changed.map_err(io::Error::other)?;
                fresh = false;
            }
            read = client.read(&mut request) => match read? {
                0 => return Ok(()),
                read => server.write_all(&request[..read]).await?,
            },
            read = server.read(&mut answer) => {
                let answer = match read? {
                    0 => return Ok(()),
                    read => &mut answer[..read],
                };
                match now {
                    Mode::Rewrite(rewrite) => rewrite(answer),
                    Mode::Delay(delay) => sleep(delay).await,
                    Mode::Reset => {
                        client.write_all(&answer[..answer.len() / 2]).await?;
                        return client.set_zero_linger();
                    }
                    _ => {}
                }
                client.write_all(answer).await?;
            }
        }
    }
}
