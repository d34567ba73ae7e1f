//! The suite that all registries pass.

use super::agent::Agent;
use purlin_sd::{
    Registry, Source,
    conformance::{Fault, Mode, Proxy, World, check},
};
use purlin_sd_consul::{Check, Consul};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Mutex;

struct Real {
    agent: Mutex<Agent>,
    proxy: Proxy,
    /// Through the proxy.
    consul: Consul,
    faults: &'static [Fault],
}

impl Real {
    async fn with(faults: &'static [Fault]) -> Self {
        let agent = Agent::start().await;
        let proxy = Proxy::start(agent.address()).unwrap();
        let consul = Consul::new(format!("http://{}", proxy.address())).unwrap();
        Self { agent: agent.into(), proxy, consul, faults }
    }
}

const ERROR: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 17\r\n\r\n\
No cluster leader";
const BROKEN: &[u8] = b"HTTP/1.1 200 OK\r\nx-consul-index: 9\r\ncontent-length: 999\r\n\r\n\
[{\"Node\": {\"ID\"";
const EMPTY: &[u8] = b"HTTP/1.1 200 OK\r\nx-consul-index: 9\r\ncontent-length: 2\r\n\r\n[]";

/// Sets the index to a number of ones, which is less than one of as many digits.
fn backwards(answer: &mut [u8]) {
    let name = b"X-Consul-Index: ";
    if let Some(at) = answer.windows(name.len()).position(|window| window == name) {
        let digits = answer[at + name.len()..].iter_mut();
        digits.take_while(|byte| byte.is_ascii_digit()).for_each(|digit| *digit = b'1');
    }
}

impl World for Real {
    const SEEN_WITHIN: Duration = Duration::from_millis(2500);

    fn source(&self) -> impl Source {
        self.consul.source("conf")
    }

    fn registry(&self) -> impl Registry {
        self.consul.registry("conf").check(Check::ttl(Duration::from_secs(3)))
    }

    async fn registered(&self) -> Vec<String> {
        self.agent.lock().await.passing("conf").await
    }

    async fn delete(&self, id: &str) {
        let path = format!("agent/service/deregister/conf-{id}");
        self.agent.lock().await.put(&path, &Value::Null).await;
    }

    async fn fault(&self, fault: Fault) {
        self.proxy.set(match fault {
            Fault::Down => Mode::Refuse,
            Fault::Hang => Mode::Hang,
            Fault::Reset => Mode::Reset,
            Fault::Errors => Mode::Answer(ERROR),
            Fault::Garbage => Mode::Answer(BROKEN),
            Fault::Empty => Mode::Answer(EMPTY),
            Fault::Backwards => Mode::Rewrite(backwards),
            Fault::Flapping => Mode::Flap,
            Fault::Wiped => {
                let mut agent = self.agent.lock().await;
                agent.kill().await;
                agent.restart().await;
                return;
            }
            Fault::Jump => {
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(3600)).await;
                return tokio::time::resume();
            }
            Fault::Compacted => unreachable!("Consul keeps no past"),
        });
    }

    async fn heal(&self) {
        self.proxy.set(Mode::Pass);
    }

    fn faults(&self) -> &'static [Fault] {
        self.faults
    }
}

#[tokio::test]
async fn consul_passes() {
    let world = async |faults| check(&Real::with(faults).await).await;
    // Most of it is waiting, which can be done side by side.
    tokio::join!(
        world(&[Fault::Down, Fault::Hang, Fault::Reset]),
        world(&[Fault::Errors, Fault::Garbage, Fault::Empty]),
        world(&[Fault::Backwards, Fault::Flapping, Fault::Wiped]),
    );
}

#[tokio::test]
async fn consul_passes_when_the_clock_jumps() {
    check(&Real::with(&[Fault::Jump]).await).await;
}
