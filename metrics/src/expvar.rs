use crate::{Snapshot, flat, json};
use purlin_endpoint::quote_json;

impl Snapshot {
    /// All metrics as one JSON object, in the manner of Go's `expvar`: names to numbers.
    ///
    /// A name is followed by the names and values of its labels, as in `jobs.queue.mail`. A
    /// histogram is its `.count`, `.sum`, `.p50`, `.p90`, `.p95` and `.p99`.
    ///
    /// ```
    /// use metrics::with_local_recorder;
    /// use purlin_metrics::Registry;
    ///
    /// let registry = Registry::new();
    /// with_local_recorder(&registry, || metrics::counter!("jobs", "queue" => "mail").increment(3));
    /// assert_eq!(registry.snapshot().to_expvar(), r#"{"jobs.queue.mail":3}"#);
    /// ```
    pub fn to_expvar(&self) -> String {
        let mut out = String::from("{");
        for (name, value) in flat::numbers(self, self) {
            if out.len() > 1 {
                out.push(',');
            }
            quote_json(&mut out, &name);
            out.push(':');
            json::number(&mut out, value);
        }
        out.push('}');
        out
    }
}
