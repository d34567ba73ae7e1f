use crate::{
    node::{Node, failed, gone},
    record::{kind, write},
};
use purlin_endpoint::Error;
use purlin_sd::{Instance, Registry, Standing};
use std::convert::Infallible;

/// Registers one instance of a service by [`Mdns`](crate::Mdns).
///
/// Dropped, it says goodbye.
#[derive(Debug)]
pub struct MdnsRegistry {
    port: u16,
    service: String,
    /// What answers for the instance, and under which name.
    answering: Option<(Node, String)>,
}

impl MdnsRegistry {
    pub(crate) fn new(port: u16, service: String) -> Self {
        Self { port, service, answering: None }
    }
}

impl Registry for MdnsRegistry {
    async fn keep(
        &mut self,
        instance: &Instance,
        standing: &Standing,
    ) -> Result<Infallible, Error> {
        self.answering = None;
        let host = format!("purlin-{:016x}.local.", fastrand::u64(..));
        let info = write(&kind(&self.service)?, instance, &host)?;
        let (node, events) = Node::start(self.port)?;
        let name = info.get_fullname().to_owned();
        node.register(info).map_err(failed)?;
        self.answering = Some((node, name));
        events.announced().await?;
        standing.registered();
        events.failure().await
    }

    async fn withdraw(&mut self, _: &Instance) -> Result<(), Error> {
        let Some((node, name)) = self.answering.take() else { return Ok(()) };
        let told = node.unregister(&name).map_err(failed)?;
        told.recv_async().await.map_err(|_| gone())?;
        Ok(())
    }
}
