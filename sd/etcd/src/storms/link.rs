//! Connections in memory, which suffer from faults.

use super::{member, store::Store};
use crate::client::Dial;
use futures_util::FutureExt;
use hyper_util::rt::TokioIo;
use purlin_sd::conformance::Fault;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split},
    sync::watch,
    time::{sleep, timeout},
};

/// What is between a client and a member.
#[derive(Clone)]
pub(super) struct Network {
    weather: watch::Sender<Weather>,
    store: Arc<Store>,
}

#[derive(Clone, Copy, Default)]
struct Weather {
    fault: Option<Fault>,
    /// How often all connections have been broken.
    breaks: u64,
}

impl Network {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { weather: watch::Sender::default(), store }
    }

    pub(super) fn turn(&self, before: Option<Fault>, fault: Option<Fault>) {
        // A member that has other data than before was started anew.
        let anew =
            before == Some(Fault::Empty) || matches!(fault, Some(Fault::Backwards | Fault::Wiped));
        let breaks = anew || matches!(fault, Some(Fault::Down | Fault::Reset));
        self.weather.send_modify(|weather| {
            *weather = Weather { fault, breaks: weather.breaks + u64::from(breaks) };
        });
    }

    pub(super) fn dial(&self) -> Dial {
        let network = self.clone();
        Arc::new(move |member| {
            let network = network.clone();
            let connect = tower::service_fn(move |_| {
                let opened = network.open();
                async { opened.map(TokioIo::new) }
            });
            async move { member.connect_with_connector(connect).await }.boxed()
        })
    }

    fn open(&self) -> io::Result<DuplexStream> {
        let weather = self.weather.subscribe();
        if weather.borrow().fault == Some(Fault::Down) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let ((near, client), (server, far)) = (duplex(1 << 16), duplex(1 << 16));
        let serve = member::serve(far, self.store.clone());
        tokio::spawn(async { tokio::join!(link(client, server, weather), serve) });
        Ok(near)
    }
}

/// Goes on until either side has closed.
async fn link(client: DuplexStream, server: DuplexStream, weather: watch::Receiver<Weather>) {
    let far = Duration::from_millis(fastrand::u64(..5));
    let (mut breaking, breaks) = (weather.clone(), weather.borrow().breaks);
    let ((asked, to_client), (answers, to_server)) = (split(client), split(server));
    tokio::select! {
        biased;
        _ = breaking.wait_for(|weather| weather.breaks != breaks) => {}
        _ = pass(asked, to_server, weather.clone(), far, false) => {}
        _ = pass(answers, to_client, weather, far, true) => {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
    far: Duration,
    answers: bool,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 14];
    loop {
        let bytes = match from.read(&mut buffer).await? {
            0 => return Ok(()),
            read => &mut buffer[..read],
        };
        sleep(far).await;
        // Whatever is wrong with it, it may be slow too.
        if fastrand::u8(..4) == 0 {
            let slow = Duration::from_millis(fastrand::u64(..400));
            let _ = timeout(slow, weather.wait_for(|weather| weather.fault.is_none())).await;
        }
        let passes = weather.wait_for(|weather| weather.fault != Some(Fault::Hang));
        let fault = passes.await.map_err(io::Error::other)?.fault;
        match fault.filter(|_| answers) {
            Some(Fault::Reset) => {
                let some = fastrand::usize(..bytes.len());
                return to.write_all(&bytes[..some]).await;
            }
            Some(Fault::Garbage) if fastrand::bool() => bytes.iter_mut().for_each(|b| *b ^= 0x5a),
            _ => {}
        }
        to.write_all(bytes).await?;
    }
}
