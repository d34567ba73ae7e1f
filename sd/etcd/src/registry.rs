use crate::{
    Etcd,
    client::{Client, Event, EventType, Keys},
};
use purlin_endpoint::{Code, Error};
use purlin_sd::{Instance, Registry, Standing};
use std::{convert::Infallible, time::Duration};
use tokio::time::sleep;

/// Registers one instance of a service in an [`Etcd`].
#[derive(Debug)]
pub struct EtcdRegistry {
    etcd: Etcd,
    folder: String,
    time_to_live: Duration,
    /// Ours for good: made anew under the same number, it can be revoked without knowing how far
    /// what was asked before has got.
    lease: i64,
    turn: usize,
    /// The connection that the registration is kept on, for taking it back.
    client: Option<Client>,
}

impl EtcdRegistry {
    pub(crate) fn new(etcd: Etcd, folder: String) -> Self {
        let (lease, turn) = (fastrand::i64(1..), fastrand::usize(..etcd.members.len()));
        Self { etcd, folder, time_to_live: Duration::from_secs(15), lease, turn, client: None }
    }

    /// How long an instance that is not heard of any more stays registered: 15 s unless set, in
    /// whole seconds, rounded up. It is renewed each third of that. etcd may have a longest
    /// and a shortest of its own: the latter is 2 s by default.
    #[must_use]
    pub fn time_to_live(self, time_to_live: Duration) -> Self {
        Self { time_to_live, ..self }
    }
}

impl Registry for EtcdRegistry {
    async fn keep(
        &mut self,
        instance: &Instance,
        standing: &Standing,
    ) -> Result<Infallible, Error> {
        if instance.id.is_empty() {
            return Err(Error::invalid("id", "is empty"));
        }
        let key = format!("{}{}", self.folder, instance.id);
        let value = serde_json::to_vec(instance).map_err(Error::internal)?;
        self.client = None;
        let third = self.time_to_live / 3;
        let client = Client::connect(&self.etcd, &mut self.turn).await?.patience(third);
        let client = &*self.client.insert(client);
        client.grant(self.lease, whole_seconds(self.time_to_live)).await?;
        let revision = client.put(&key, &value, self.lease).await?;
        let mut watch = client.watch(&Keys::one(&key), revision + 1).await?;
        standing.registered();
        let watching = async {
            loop {
                // Whoever writes the key has taken the id over; that is nothing to fight about.
                let gone = |event: &Event| event.r#type() == EventType::Delete;
                if watch.next().await?.iter().any(gone) {
                    return Err(Error::new(Code::NotFound, format!("{key} was deleted")));
                }
            }
        };
        let renewing = async {
            loop {
                sleep(third).await;
                client.renew(self.lease).await?;
            }
        };
        tokio::select! {
            ended = watching => ended,
            ended = renewing => ended,
        }
    }

    async fn withdraw(&mut self, _: &Instance) -> Result<(), Error> {
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(&self.etcd, &mut self.turn).await?,
        };
        client.revoke(self.lease).await
    }
}

fn whole_seconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(i64::MAX).max(1)
}
