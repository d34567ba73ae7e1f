//! What a member knows: keys, their past, and leases, as etcd's documentation has them.

use crate::client::wire::{
    Event, KeyValue, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest,
    LeaseKeepAliveResponse, LeaseRevokeRequest, LeaseRevokeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, ResponseHeader, WatchCreateRequest, WatchResponse,
    event::EventType,
};
use purlin_sd::{
    Instance,
    conformance::{Fault, Truth},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// What gRPC says of a failure.
#[derive(Clone, Copy)]
pub(super) struct Failure(pub(super) u16, pub(super) &'static str);

pub(super) const NO_LEADER: Failure = Failure(14, "etcdserver: no leader");
const NO_LEASE: Failure = Failure(5, "etcdserver: requested lease not found");

const FOLDER: &str = "/services/s/";

type Instances = BTreeMap<String, Instance>;

pub(super) struct Store {
    pub(super) truth: Arc<Truth>,
    data: Mutex<Data>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Data {
    revision: i64,
    /// What came up to this revision is forgotten.
    compacted: i64,
    past: Vec<Change>,
    instances: Instances,
    leases: BTreeMap<i64, Lease>,
    /// How often all watches were canceled for another reason.
    cancels: u64,
}

/// What has happened at one revision.
struct Change {
    revision: i64,
    event: Event,
    /// Who was there afterwards.
    there: BTreeSet<String>,
}

struct Lease {
    time_to_live: Duration,
    ends: Instant,
    /// The instances that go with it.
    ids: BTreeSet<String>,
}

impl Data {
    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision: self.revision })
    }

    fn change(&mut self, kind: EventType, instance: &Instance) {
        if kind == EventType::Put {
            self.instances.insert(instance.id.clone(), instance.clone());
        } else {
            self.instances.remove(&instance.id);
            self.leases.values_mut().for_each(|lease| _ = lease.ids.remove(&instance.id));
        }
        self.revision += 1;
        self.past.push(Change {
            revision: self.revision,
            event: Event { r#type: kind.into(), kv: Some(pair(instance)) },
            there: self.instances.keys().cloned().collect(),
        });
    }

    /// Somebody has written something else, and had the past forgotten before anybody was told.
    fn compact(&mut self) {
        self.revision += 1;
        self.compacted = self.revision;
        self.past.clear();
    }
}

impl Store {
    pub(super) fn new(truth: Arc<Truth>) -> Self {
        Self { truth, data: Mutex::default(), changed: watch::Sender::default() }
    }

    /// What it knows, once it has made what is true its own.
    fn data(&self) -> MutexGuard<'_, Data> {
        let mut data = self.data.lock().unwrap();
        let (known, now) = (data.instances.clone(), self.truth.now().instances);
        for gone in known.values().filter(|known| !now.contains_key(&known.id)) {
            data.change(EventType::Delete, gone);
        }
        for new in now.values().filter(|new| known.get(&new.id) != Some(new)) {
            data.change(EventType::Put, new);
        }
        data
    }

    /// Another fault comes, or none.
    pub(super) fn turn(&self, fault: Option<Fault>) {
        let mut data = self.data();
        match fault {
            Some(Fault::Empty) => data.cancels += 1,
            Some(Fault::Backwards) => {
                data.revision = fastrand::i64(0..=data.revision);
                data.compact();
            }
            Some(Fault::Compacted) => {
                data.compact();
                data.leases.values_mut().for_each(|lease| lease.ends = Instant::now());
            }
            Some(Fault::Wiped) => {
                let (instances, cancels) = (std::mem::take(&mut data.instances), data.cancels);
                *data = Data { instances, cancels, revision: 1, ..Data::default() };
            }
            _ => {}
        }
    }

    /// Tells those who watch, after what goes with leases whose time is over is gone.
    pub(super) fn tell(&self) {
        let mut data = self.data();
        let now = Instant::now();
        let ended = data.leases.extract_if(.., |_, lease| lease.ends <= now);
        let ended: Vec<String> = ended.flat_map(|(_, lease)| lease.ids).collect();
        drop(data);
        ended.iter().for_each(|id| self.truth.delete(id));
        self.changed.send_replace(());
    }

    pub(super) fn range(&self, asked: &RangeRequest) -> RangeResponse {
        self.truth.asked();
        let mut data = self.data();
        let header = data.header();
        if asked.count_only {
            return RangeResponse { header, kvs: Vec::new() };
        }
        let fault = self.truth.now().fault;
        let empty = Instances::new();
        let listed = if fault == Some(Fault::Empty) { &empty } else { &data.instances };
        self.truth.told(listed.keys());
        let kvs = listed.values().map(pair).collect();
        if fault == Some(Fault::Compacted) && fastrand::bool() {
            data.compact();
        }
        RangeResponse { header, kvs }
    }

    pub(super) fn put(&self, asked: &PutRequest) -> Result<PutResponse, Failure> {
        let id = String::from_utf8(asked.key[FOLDER.len()..].to_vec()).unwrap();
        let instance: Instance = serde_json::from_slice(&asked.value).unwrap();
        assert_eq!(instance.id, id);
        let mut data = self.data();
        let lease = data.leases.get_mut(&asked.lease).ok_or(NO_LEASE)?;
        lease.ids.insert(id);
        drop(data);
        self.truth.put(instance);
        Ok(PutResponse { header: self.data().header() })
    }

    pub(super) fn grant(&self, asked: &LeaseGrantRequest) -> Result<LeaseGrantResponse, Failure> {
        let mut data = self.data();
        if data.leases.contains_key(&asked.id) {
            return Err(Failure(9, "etcdserver: lease already exists"));
        }
        let time_to_live = Duration::from_secs(asked.ttl.try_into().unwrap());
        let ends = Instant::now() + time_to_live;
        data.leases.insert(asked.id, Lease { time_to_live, ends, ids: BTreeSet::new() });
        Ok(LeaseGrantResponse {})
    }

    pub(super) fn keep_alive(&self, asked: &LeaseKeepAliveRequest) -> LeaseKeepAliveResponse {
        let mut data = self.data();
        let lease = data.leases.get_mut(&asked.id);
        let renewed = lease.map(|lease| {
            lease.ends = Instant::now() + lease.time_to_live;
            lease.time_to_live.as_secs().try_into().unwrap()
        });
        LeaseKeepAliveResponse { ttl: renewed.unwrap_or(0) }
    }

    pub(super) fn revoke(
        &self,
        asked: &LeaseRevokeRequest,
    ) -> Result<LeaseRevokeResponse, Failure> {
        let revoked = self.data().leases.remove(&asked.id).ok_or(NO_LEASE)?;
        revoked.ids.iter().for_each(|id| self.truth.delete(id));
        Ok(LeaseRevokeResponse {})
    }

    pub(super) fn watch(self: Arc<Self>, asked: WatchCreateRequest) -> Watch {
        let data = self.data();
        let (cancels, from_now) = (data.cancels, data.revision + 1);
        drop(data);
        Watch {
            changed: self.changed.subscribe(),
            store: self,
            cancels,
            only: asked.range_end.is_empty().then_some(asked.key),
            next: if asked.start_revision == 0 { from_now } else { asked.start_revision },
            canceled: false,
        }
    }
}

/// Somebody who watches.
pub(super) struct Watch {
    store: Arc<Store>,
    changed: watch::Receiver<()>,
    cancels: u64,
    /// The key, if it is a single one.
    only: Option<Vec<u8>>,
    /// The next revision to be told of.
    next: i64,
    canceled: bool,
}

impl Watch {
    pub(super) async fn next(&mut self) -> Result<WatchResponse, Failure> {
        loop {
            self.changed.borrow_and_update();
            if let Some(answer) = self.now()? {
                return Ok(answer);
            }
            // The store is there for as long as this is.
            self.changed.changed().await.unwrap();
        }
    }

    /// What there is to be told now.
    fn now(&mut self) -> Result<Option<WatchResponse>, Failure> {
        let fault = self.store.truth.now().fault;
        if fault == Some(Fault::Errors) {
            return Err(NO_LEADER);
        }
        // Whoever was told that there is nothing hears no more.
        if self.canceled || fault == Some(Fault::Empty) {
            return Ok(None);
        }
        let data = self.store.data();
        let late = self.next <= data.compacted;
        if late || data.cancels != self.cancels {
            self.canceled = true;
            let compact_revision = if late { data.compacted } else { 0 };
            return Ok(Some(WatchResponse {
                canceled: true,
                compact_revision,
                ..WatchResponse::default()
            }));
        }
        let ours = |event: &Event| {
            self.only.as_ref().is_none_or(|key| event.kv.as_ref().is_some_and(|it| it.key == *key))
        };
        let new = data.past.iter().find(|it| it.revision >= self.next && ours(&it.event));
        Ok(new.map(|change| {
            self.next = change.revision + 1;
            if self.only.is_none() {
                self.store.truth.told(&change.there);
            }
            WatchResponse { events: vec![change.event.clone()], ..WatchResponse::default() }
        }))
    }
}

fn pair(instance: &Instance) -> KeyValue {
    let key = format!("{FOLDER}{}", instance.id).into();
    KeyValue { key, value: serde_json::to_vec(instance).unwrap() }
}
