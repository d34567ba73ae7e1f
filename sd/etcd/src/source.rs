use crate::{
    Etcd,
    client::{Client, EventType, KeyValue, Keys},
};
use purlin_endpoint::{Code, Error};
use purlin_sd::{Found, Instance, Source};
use std::{collections::BTreeMap, convert::Infallible};

/// Follows one service in an [`Etcd`].
#[derive(Debug)]
pub struct EtcdSource {
    etcd: Etcd,
    keys: Keys,
    turn: usize,
}

impl EtcdSource {
    pub(crate) fn new(etcd: Etcd, folder: &str) -> Self {
        // Members share the load of those who follow.
        let turn = fastrand::usize(..etcd.members.len());
        Self { etcd, keys: Keys::below(folder), turn }
    }
}

impl Source for EtcdSource {
    async fn follow(&mut self, found: &Found) -> Result<Infallible, Error> {
        let client = Client::connect(&self.etcd, &mut self.turn).await?;
        let (listed, revision) = client.list(&self.keys).await?;
        let mut set = Set::default();
        listed.into_iter().for_each(|pair| set.put(pair));
        set.tell(found);
        let mut watch = client.watch(&self.keys, revision + 1).await?;
        let watching = async {
            loop {
                let events = watch.next().await?;
                let changed = !events.is_empty();
                for event in events {
                    let (kind, pair) = (event.r#type(), event.kv.unwrap_or_default());
                    match kind {
                        EventType::Put => set.put(pair),
                        EventType::Delete => set.delete(&pair),
                    }
                }
                if changed {
                    set.tell(found);
                }
            }
        };
        tokio::select! {
            ended = watching => ended,
            ended = client.beat(&self.keys) => ended,
        }
    }
}

/// What the keys hold: instances, and what is wrong with what is none.
#[derive(Debug, Default)]
struct Set(BTreeMap<Vec<u8>, Result<Instance, String>>);

impl Set {
    fn put(&mut self, pair: KeyValue) {
        let read = serde_json::from_slice(&pair.value).map_err(|error| error.to_string());
        self.0.insert(pair.key, read);
    }

    fn delete(&mut self, pair: &KeyValue) {
        self.0.remove(&pair.key);
    }

    fn tell(&self, found: &Found) {
        let instances = self.0.values().flatten().cloned().collect();
        let wrong = self.0.iter().find_map(|(key, read)| Some((key, read.as_ref().err()?)));
        match wrong {
            None => found.set(instances),
            Some((key, why)) => {
                let why = format!("{} is no instance: {why}", String::from_utf8_lossy(key));
                found.set_partly(instances, Error::of(Code::DataLoss).public(why));
            }
        }
    }
}
