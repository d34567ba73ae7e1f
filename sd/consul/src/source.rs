use crate::{
    Consul, agent,
    check::text,
    entry::Entry,
    index::{Index, Pace},
};
use http::Method;
use purlin_endpoint::{Code, Error};
use purlin_sd::{Found, Source};
use std::{convert::Infallible, time::Duration};
use tokio::time::{Instant, sleep_until};

/// How long the first query after a pause waits.
const AFTER_A_PAUSE: Duration = Duration::from_secs(1);

/// Follows one service in Consul.
#[derive(Clone, Debug)]
pub struct ConsulSource {
    consul: Consul,
    service: String,
    tags: Vec<String>,
    passing: bool,
    pace: Pace,
}

impl ConsulSource {
    pub(crate) fn new(consul: Consul, service: String) -> Self {
        Self { consul, service, tags: Vec::new(), passing: true, pace: Pace::default() }
    }

    /// Only those that have all these tags.
    #[must_use]
    pub fn tags(self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { tags: tags.into_iter().map(Into::into).collect(), ..self }
    }

    /// Whether only those count of which all checks pass. If not, the others come too, with
    /// [`healthy`](purlin_sd::Instance::healthy) being false. Only those count unless set.
    #[must_use]
    pub fn passing(self, passing: bool) -> Self {
        Self { passing, ..self }
    }

    async fn ask(
        &self,
        from: Index,
        longest: Duration,
    ) -> Result<(Vec<Entry>, Option<u64>), Error> {
        let (index, wait) = (from.0.to_string(), text(longest));
        let mut query = Vec::new();
        let mut thinks = Duration::ZERO;
        if from != Index(0) {
            query.extend([("index", index.as_str()), ("wait", wait.as_str())]);
            // The agent adds up to a sixteenth, so that not all come back at once.
            thinks = longest.saturating_add(longest / 16);
        }
        if self.passing {
            query.push(("passing", "1"));
        }
        if self.consul.stale {
            query.push(("stale", "1"));
        }
        query.extend(self.tags.iter().map(|tag| ("tag", tag.as_str())));
        query.extend(self.consul.datacenter.as_deref().map(|datacenter| ("dc", datacenter)));
        let url = self.consul.url("health/service/", &self.service, &query);
        let answer = self.consul.call(Method::GET, &url, String::new(), thinks).await?;
        let entries = serde_json::from_slice(answer.body())
            .map_err(|error| agent::failed(Code::Unavailable, &url, error))?;
        let index = answer.headers().get("x-consul-index");
        Ok((entries, index.and_then(|index| index.to_str().ok()?.parse().ok())))
    }
}

impl Source for ConsulSource {
    async fn follow(&mut self, found: &Found) -> Result<Infallible, Error> {
        let mut index = Index::default();
        loop {
            let now = Instant::now();
            let at = self.pace.take(now);
            sleep_until(at).await;
            // Servers that were wiped meanwhile count anew, and would let a query wait that goes on
            // from a higher index, whatever changes. Those wiped while a query waits break it off.
            let longest = if at > now { AFTER_A_PAUSE } else { Duration::MAX };
            let (entries, told) = self.ask(index, self.consul.wait.min(longest)).await?;
            index = index.after(told);
            // Old agents know of one tag only.
            let tagged = entries.into_iter().filter(|entry| entry.has(&self.tags));
            let (with_port, without): (Vec<_>, Vec<_>) = tagged.partition(Entry::has_port);
            let instances = with_port.into_iter().map(Entry::instance).collect();
            match without.first() {
                None => found.set(instances),
                Some(entry) => found.set_partly(instances, entry.left_out()),
            }
        }
    }
}
