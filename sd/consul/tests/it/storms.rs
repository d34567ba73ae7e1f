//! An agent in memory that fails in random ways.

use crate::fake::{Asked, Fake};
use purlin_http_client::HttpClient;
use purlin_sd::{
    Instance, Registry, Source,
    conformance::{Fault, State, Stormy, Truth, storms},
};
use purlin_sd_consul::{Check, Consul};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

struct Agent {
    client: HttpClient,
    _task: JoinSet<()>,
}

impl Agent {
    /// With connections of its own, which end with it.
    fn consul(&self) -> Consul {
        let client = self.client.clone().idle_limit(8);
        Consul::new("http://consul:8500").unwrap().client(client)
    }
}

impl Stormy for Agent {
    const FAULTS: &'static [Fault] = &[
        Fault::Down,
        Fault::Hang,
        Fault::Reset,
        Fault::Errors,
        Fault::Garbage,
        Fault::Empty,
        Fault::Backwards,
        Fault::Flapping,
        Fault::Wiped,
        Fault::Jump,
    ];
    // A query that comes too soon after others waits for its turn.
    const SEEN_WITHIN: Duration = Duration::from_secs(2);

    async fn start(truth: Arc<Truth>) -> Self {
        let fake = Fake::new();
        let client = fake.client.clone();
        let mut task = JoinSet::new();
        task.spawn(run(fake, truth));
        Self { client, _task: task }
    }

    fn source(&self) -> impl Source {
        self.consul().source("s")
    }

    fn registry(&self) -> impl Registry {
        self.consul().registry("s").check(Check::ttl(Duration::from_secs(3)))
    }
}

async fn run(mut fake: Fake, truth: Arc<Truth>) {
    let (mut watch, mut answering) = (truth.watch(), JoinSet::new());
    loop {
        fake.set_up(watch.borrow_and_update().fault != Some(Fault::Down));
        tokio::select! {
            asked = fake.asked() => {
                answering.spawn(answer(asked, truth.clone()));
            }
            Ok(()) = watch.changed() => {}
            Some(_) = answering.join_next() => {}
        }
    }
}

/// What it counts. Servers that were restored or wiped count anew.
fn index(State { fault, revision, .. }: &State) -> u64 {
    match fault {
        Some(Fault::Backwards) => revision % 5 + 1,
        Some(Fault::Wiped) => revision % 50 + 1,
        _ => 1000 + revision,
    }
}

/// The number in a query that this name has.
fn number(line: &str, name: &str) -> Option<u64> {
    let (_, rest) = line.split_once(&format!("{name}="))?;
    rest.split(|digit: char| !digit.is_ascii_digit()).next()?.parse().ok()
}

async fn answer(mut asked: Asked, truth: Arc<Truth>) {
    let query = asked.line.starts_with("GET /v1/health/service/s");
    if query {
        truth.asked();
    }
    let from = number(&asked.line, "index");
    let wait = Duration::from_millis(number(&asked.line, "wait").unwrap_or_default());
    let (mut watch, until) = (truth.watch(), Instant::now() + wait);
    loop {
        let now = watch.borrow_and_update().clone();
        let good = !matches!(now.fault, Some(Fault::Errors | Fault::Garbage | Fault::Reset));
        let blocks = query && good && Instant::now() < until && from >= Some(index(&now));
        let hangs = now.fault == Some(Fault::Hang);
        if !hangs && !blocks {
            return reply(asked, &truth, &now);
        }
        tokio::select! {
            _ = watch.changed() => if watch.borrow().fault == Some(Fault::Wiped) {
                return asked.breaks_off(String::new());
            },
            () = asked.closed() => return,
            () = sleep_until(until), if blocks && !hangs => {}
        }
    }
}

fn reply(asked: Asked, truth: &Truth, now: &State) {
    if now.fault == Some(Fault::Errors) {
        return asked.status(500, "No cluster leader");
    }
    let body = if asked.line.starts_with("GET ") {
        let told = if now.fault == Some(Fault::Empty) {
            Default::default()
        } else {
            now.instances.clone()
        };
        truth.told(told.keys());
        Value::from_iter(told.values().map(entry)).to_string()
    } else if change(&asked, truth, now) {
        String::new()
    } else {
        return asked.status(404, "Unknown check ID");
    };
    match now.fault {
        Some(Fault::Reset) => asked.breaks_off("HTTP/1.1 200 OK\r\nx-consul-".to_owned()),
        Some(Fault::Garbage) => {
            let body = &body[..body.len() / 2];
            asked.breaks_off(format!("HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{body}"));
        }
        _ => asked.tell(index(now), &body),
    }
}

/// Does what is asked, if it knows whom it is about.
fn change(asked: &Asked, truth: &Truth, now: &State) -> bool {
    let id = |prefix: &str| Some(asked.line.strip_prefix(prefix)?.replace("%3A", ":"));
    if let Some(id) = id("PUT /v1/agent/check/pass/service%3As-") {
        now.instances.contains_key(&id)
    } else if let Some(id) = id("PUT /v1/agent/service/deregister/s-") {
        truth.delete(&id);
        true
    } else {
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        let host = body["Address"].as_str().unwrap();
        truth.put(Instance::new(format!("{host}:{}", body["Port"])));
        true
    }
}

fn entry(instance: &Instance) -> Value {
    let (host, port) = instance.address.split_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    json!({
        "Node": {"Node": "n1", "Address": "10.0.0.1"},
        "Checks": [{"Status": "passing"}],
        "Service": {"ID": "s", "Address": host, "Port": port, "Meta": {"purlin-id": instance.id}},
    })
}

#[test]
fn whatever_an_agent_does_the_last_good_set_is_served_and_all_is_well_soon_after() {
    storms::<Agent>();
}
