use crate::{
    Check, Consul,
    entry::{Written, written},
};
use http::Method;
use purlin_endpoint::{Code, Error};
use purlin_sd::{Instance, Registry, Standing};
use serde_json::json;
use std::{convert::Infallible, time::Duration};
use tokio::time::sleep;

/// Registers instances of one service in Consul.
///
/// A registration that the agent has lost is noticed when it is next confirmed: every third of the
/// time to live of [`Check::ttl`], and every 3 s with the other checks.
#[derive(Clone, Debug)]
pub struct ConsulRegistry {
    consul: Consul,
    service: String,
    tags: Vec<String>,
    check: Check,
    deregister_critical_after: Duration,
}

impl ConsulRegistry {
    pub(crate) fn new(consul: Consul, service: String) -> Self {
        Self {
            consul,
            service,
            tags: Vec::new(),
            check: Check::default(),
            deregister_critical_after: Duration::from_secs(600),
        }
    }

    /// Gives these tags to the instance.
    #[must_use]
    pub fn tags(self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { tags: tags.into_iter().map(Into::into).collect(), ..self }
    }

    /// How Consul knows that the instance is well.
    #[must_use]
    pub fn check(self, check: Check) -> Self {
        Self { check, ..self }
    }

    /// Has Consul forget the instance when it has been ill for so long: 10 minutes unless set, one
    /// minute at least.
    #[must_use]
    pub fn deregister_critical_after(self, deregister_critical_after: Duration) -> Self {
        Self { deregister_critical_after, ..self }
    }

    /// What the agent calls it. An agent knows one service by an id, of whatever name.
    fn id(&self, instance: &Instance) -> String {
        format!("{}-{}", self.service, instance.id)
    }

    async fn put(&self, path: &str, last: &str, body: String) -> Result<(), Error> {
        let url = self.consul.url(path, last, &[]);
        self.consul.call(Method::PUT, &url, body, Duration::ZERO).await.map(drop)
    }

    async fn register(&self, instance: &Instance) -> Result<(), Error> {
        let Written { host, port, meta } = written(instance)?;
        let mut check = self.check.told(self.deregister_critical_after);
        check["CheckID"] = format!("service:{}", self.id(instance)).into();
        let body = json!({
            "ID": self.id(instance),
            "Name": self.service,
            "Tags": self.tags,
            "Address": host,
            "Port": port,
            "Meta": meta,
            "Weights": { "Passing": instance.weight, "Warning": instance.weight },
            "Check": check,
        });
        self.put("agent/service/register", "", body.to_string()).await
    }

    /// Fails if the agent does not know the instance any more.
    async fn confirm(&self, instance: &Instance) -> Result<(), Error> {
        let id = self.id(instance);
        if self.check.is_ttl() {
            return self.put("agent/check/pass/", &format!("service:{id}"), String::new()).await;
        }
        let url = self.consul.url("agent/service/", &id, &[]);
        self.consul.call(Method::GET, &url, String::new(), Duration::ZERO).await.map(drop)
    }
}

impl Registry for ConsulRegistry {
    async fn keep(
        &mut self,
        instance: &Instance,
        standing: &Standing,
    ) -> Result<Infallible, Error> {
        self.register(instance).await?;
        loop {
            self.confirm(instance).await?;
            standing.registered();
            sleep(self.check.interval()).await;
        }
    }

    async fn withdraw(&mut self, instance: &Instance) -> Result<(), Error> {
        let id = self.id(instance);
        match self.put("agent/service/deregister/", &id, String::new()).await {
            Err(error) if error.code() == Code::NotFound => Ok(()),
            outcome => outcome,
        }
    }
}
