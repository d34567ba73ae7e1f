use crate::State;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::sync::broadcast::{Receiver, Sender, channel, error::RecvError};

/// What happened to a breaker.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It changed its state.
    Moved {
        /// Whose breaker: the method's or the key's name.
        key: Arc<str>,
        /// Its state from now on.
        to: State,
        /// Grows with each change of this breaker. Of two events that were overtaken on their way,
        /// the one with the greater number tells what is so.
        number: u64,
    },
    /// It refused a call.
    Refused {
        /// Whose breaker: the method's or the key's name.
        key: Arc<str>,
        /// How long until a call may be let in.
        retry_after: Duration,
    },
    /// So many events came faster than they were read, and are lost.
    Missed(u64),
}

/// The events of all breakers of a layer, from the moment that they were asked for.
///
/// They wait for their reader in a buffer that is bounded, and shared by all readers; no call ever
/// waits for one.
#[derive(Debug)]
pub struct Events(Receiver<Event>);

impl Events {
    /// The next event; `None` when the layer, its handles, and all that it wrapped are gone.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// How many events wait for a slow reader.
const ROOM: usize = 1024;

/// Where events go. It costs nothing until somebody reads them.
#[derive(Debug, Default)]
pub(crate) struct Feed(OnceLock<Sender<Event>>);

impl Feed {
    pub(crate) fn events(&self) -> Events {
        Events(self.0.get_or_init(|| channel(ROOM).0).subscribe())
    }

    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(sender) = self.0.get() {
            // An error says that nobody reads them any more.
            let _ = sender.send(event());
        }
    }
}
