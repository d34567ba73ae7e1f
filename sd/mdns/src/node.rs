//! The thread that listens and answers.

use mdns_sd::{DaemonEvent, Receiver, ServiceDaemon};
use purlin_endpoint::{Code, Error};
use std::{convert::Infallible, ops::Deref};

/// A thread that ends with this value, and says goodbye for whom it answered.
pub(crate) struct Node(ServiceDaemon);

impl Node {
    /// Its thread, and what it has to say of itself.
    pub(crate) fn start(port: u16) -> Result<(Self, Events), Error> {
        let node = Self(ServiceDaemon::new_with_port(port).map_err(failed)?);
        let events = Events(node.monitor().map_err(failed)?);
        Ok((node, events))
    }
}

impl Deref for Node {
    type Target = ServiceDaemon;

    fn deref(&self) -> &ServiceDaemon {
        &self.0
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // If its queue is full it is given up; it can't be waited for here.
        let _ = self.0.shutdown();
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node")
    }
}

/// What a [`Node`] says of itself.
pub(crate) struct Events(Receiver<DaemonEvent>);

impl Events {
    /// Waits until it is said of a name that it was announced.
    pub(crate) async fn announced(&self) -> Result<(), Error> {
        loop {
            match self.0.recv_async().await {
                Ok(DaemonEvent::Announce(..)) => return Ok(()),
                Ok(DaemonEvent::Error(error)) => return Err(failed(error)),
                Ok(_) => {}
                Err(_) => return Err(gone()),
            }
        }
    }

    /// Waits until it fails.
    pub(crate) async fn failure(&self) -> Result<Infallible, Error> {
        loop {
            self.announced().await?;
        }
    }
}

pub(crate) fn failed(error: mdns_sd::Error) -> Error {
    Error::new(Code::Unavailable, error)
}

pub(crate) fn gone() -> Error {
    Error::new(Code::Unavailable, "multicast DNS has ended")
}
