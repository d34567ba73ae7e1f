use crate::{Buckets, Distribution, Registry, Value, semconv, sink::Names};
use purlin_endpoint::{Inspect, quote_json};
use std::{collections::BTreeMap, fmt::Write as _};

/// Reads what a [`MetricsLayer`](crate::MetricsLayer) has measured, for an admin page.
///
/// Its [snapshot](Inspect::snapshot) is
///
/// ```json
/// {
///   "metric": "rpc.server.call.duration", "semconv": "1.44.0",
///   "bounds": [0.005, 0.01],
///   "methods": [{
///     "method": "greeter.Greeter/Greeting", "in_flight": 1, "calls": 7, "failed": 1,
///     "codes": {"INTERNAL": 1, "OK": 6},
///     "sum": 0.0123, "buckets": [5, 1, 1]
///   }]
/// }
/// ```
///
/// where `bounds` are the upper bounds of the buckets in seconds, `buckets` how many calls each
/// took, one more for those that exceed all bounds, and `sum` their duration in seconds. All
/// numbers are since the start of the process. Labels of the user's are added up. Where several
/// layers record into one registry under the same names, each shows the methods of all.
#[derive(Clone, Debug)]
pub struct Handle {
    registry: Registry,
    duration: &'static str,
    active: &'static str,
    buckets: Buckets,
}

#[derive(Default)]
struct Method {
    in_flight: f64,
    calls: u64,
    failed: u64,
    codes: BTreeMap<String, u64>,
    sum: f64,
    buckets: Vec<u64>,
}

impl Handle {
    pub(crate) fn new(registry: Registry, names: Names, buckets: Buckets) -> Self {
        Self { registry, duration: names.duration, active: names.active, buckets }
    }

    /// The methods, and where the buckets end.
    fn methods(&self) -> (BTreeMap<String, Method>, Buckets) {
        let (mut methods, mut buckets) = (BTreeMap::<_, Method>::new(), self.buckets.clone());
        let snapshot = self.registry.snapshot();
        for family in &snapshot.families {
            for series in &family.series {
                // Without a method it is what came after the limit of series.
                let method = series.label(semconv::RPC_METHOD).unwrap_or(semconv::OTHER);
                match &series.value {
                    Value::Number(number) if *family.name == *self.active => {
                        methods.entry(method.to_owned()).or_default().in_flight += number;
                    }
                    Value::Histogram(took) if *family.name == *self.duration => {
                        let method = methods.entry(method.to_owned()).or_default();
                        let code = series.label(semconv::RPC_RESPONSE_STATUS_CODE);
                        let failed = series.label(semconv::ERROR_TYPE).is_some();
                        method.add(took, code.unwrap_or(semconv::OTHER), failed);
                        buckets = took.bounds.clone();
                    }
                    _ => {}
                }
            }
        }
        (methods, buckets)
    }
}

impl Method {
    fn add(&mut self, took: &Distribution, code: &str, failed: bool) {
        let count = took.count();
        self.calls += count;
        self.failed += if failed { count } else { 0 };
        *self.codes.entry(code.to_owned()).or_default() += count;
        self.sum += took.sum();
        self.buckets.resize(took.buckets.len(), 0);
        for (all, bucket) in self.buckets.iter_mut().zip(&took.buckets) {
            *all += bucket.count;
        }
    }
}

impl Inspect for Handle {
    fn name(&self) -> String {
        "metrics".into()
    }

    fn snapshot(&self) -> String {
        let (methods, buckets) = self.methods();
        let mut out = format!(
            r#"{{"metric":"{}","semconv":"{}","bounds":{:?},"methods":["#,
            self.duration,
            semconv::VERSION,
            buckets.bounds(),
        );
        for (at, (name, method)) in methods.iter().enumerate() {
            out.push_str(if at == 0 { r#"{"method":"# } else { r#",{"method":"# });
            quote_json(&mut out, name);
            let Method { in_flight, calls, failed, sum, buckets, codes } = method;
            // Writing into a string can't fail.
            let _ = write!(out, r#","in_flight":{in_flight},"calls":{calls},"failed":{failed},"#);
            out.push_str(r#""codes":{"#);
            for (at, (code, count)) in codes.iter().enumerate() {
                let _ = write!(out, r#"{}"{code}":{count}"#, if at == 0 { "" } else { "," });
            }
            let _ = write!(out, r#"}},"sum":{sum},"buckets":{buckets:?}}}"#);
        }
        out.push_str("]}");
        out
    }
}
