//! What `PutMetricData` is told, in the form of Amazon's query protocol.

use crate::sign::iso;
use purlin_metrics::{Family, Series, Snapshot, Value};
use std::fmt::Write as _;

/// So many values one datum may have.
const VALUES: usize = 150;
/// So many dimensions a metric may have, and so long their texts.
const DIMENSIONS: usize = 30;
const NAME: usize = 255;
const TEXT: usize = 1024;

/// The fields of one datum, below `MetricData.member.N`.
type Datum = Vec<(String, String)>;

/// The bodies of as many requests as it takes.
pub(crate) fn bodies(delta: &Snapshot, namespace: &str, batch: usize) -> Vec<String> {
    let at = iso(delta.at);
    let mut data: Vec<Datum> = Vec::new();
    for family in &delta.families {
        for series in &family.series {
            let known = dimensions(family, series, &at);
            for values in values(family, series) {
                data.push(known.iter().cloned().chain(values).collect());
            }
        }
    }
    data.chunks(batch).map(|data| body(data, namespace)).collect()
}

fn body(data: &[Datum], namespace: &str) -> String {
    let mut body = String::from("Action=PutMetricData&Version=2010-08-01");
    field(&mut body, "Namespace", namespace);
    for (at, datum) in data.iter().enumerate() {
        for (name, value) in datum {
            field(&mut body, &format!("MetricData.member.{}.{name}", at + 1), value);
        }
    }
    body
}

fn dimensions(family: &Family, series: &Series, at: &str) -> Datum {
    let mut datum = vec![
        ("MetricName".to_owned(), fitting(&family.name, NAME)),
        ("Timestamp".to_owned(), at.to_owned()),
    ];
    // A dimension can't be without a value.
    let labels = series.labels.iter().filter(|(_, value)| !value.trim().is_empty());
    for (at, (name, value)) in labels.take(DIMENSIONS).enumerate() {
        datum.push((format!("Dimensions.member.{}.Name", at + 1), fitting(name, NAME)));
        datum.push((format!("Dimensions.member.{}.Value", at + 1), fitting(value, TEXT)));
    }
    datum
}

/// What was counted, as the rest of one datum or more.
fn values(family: &Family, series: &Series) -> Vec<Datum> {
    let one = |value: f64, unit: &str| {
        vec![vec![("Value".to_owned(), value.to_string()), ("Unit".to_owned(), unit.to_owned())]]
    };
    match &series.value {
        Value::Count(0) => Vec::new(),
        Value::Count(count) => one(*count as f64, unit(&family.unit, "Count")),
        Value::Number(number) if !number.is_finite() => Vec::new(),
        Value::Number(number) => one(*number, unit(&family.unit, "None")),
        Value::Histogram(counted) => {
            let buckets: Vec<_> =
                counted.buckets.iter().filter(|bucket| bucket.count > 0).collect();
            let datum = |buckets: &[&purlin_metrics::Bucket]| {
                let unit = unit(&family.unit, "None").to_owned();
                let mut datum = vec![("Unit".to_owned(), unit)];
                for (at, bucket) in buckets.iter().enumerate() {
                    let at = at + 1;
                    datum.push((format!("Values.member.{at}"), bucket.mean().to_string()));
                    datum.push((format!("Counts.member.{at}"), bucket.count.to_string()));
                }
                datum
            };
            buckets.chunks(VALUES).map(datum).collect()
        }
    }
}

fn unit(ucum: &str, otherwise: &'static str) -> &'static str {
    match ucum {
        "s" => "Seconds",
        "ms" => "Milliseconds",
        "us" => "Microseconds",
        "By" => "Bytes",
        "%" => "Percent",
        "1" => "Count",
        _ => otherwise,
    }
}

/// Names and values are ASCII without control characters, and no longer than this.
fn fitting(text: &str, most: usize) -> String {
    let fits = |c: char| if c.is_ascii() && !c.is_ascii_control() { c } else { '_' };
    text.chars().take(most).map(fits).collect()
}

/// Adds a field, escaped as RFC 3986 has it.
fn field(body: &mut String, name: &str, value: &str) {
    body.push('&');
    body.push_str(name);
    body.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            body.push(char::from(byte));
        } else {
            // Writing into a string can't fail.
            let _ = write!(body, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::with_local_recorder;
    use purlin_metrics::Registry;

    #[test]
    fn forty_five_counters_come_in_batches_of_twenty_at_most() {
        let registry = Registry::new();
        with_local_recorder(&registry, || {
            for number in 0..45 {
                metrics::counter!(format!("c{number:02}")).increment(number + 1);
            }
        });
        let bodies = bodies(&registry.snapshot(), "n", 20);
        let data = |body: &String| body.matches(".MetricName=").count();
        assert_eq!(bodies.iter().map(data).collect::<Vec<_>>(), [20, 20, 5]);
    }

    #[test]
    fn a_histogram_is_its_means_and_how_often_they_came() {
        let registry = Registry::new();
        with_local_recorder(&registry, || {
            metrics::describe_histogram!("took", metrics::Unit::Seconds, "");
            for value in [0.25, 0.25, 2.0] {
                metrics::histogram!("took", "a b" => "c&d=\u{1b}é").record(value);
            }
        });
        let body = bodies(&registry.snapshot(), "My/App", 20).remove(0);
        let member = "&MetricData.member.1";
        assert!(body.starts_with("Action=PutMetricData&Version=2010-08-01&Namespace=My%2FApp"));
        assert!(body.contains(&format!(
            "{member}.Dimensions.member.1.Name=a%20b{member}.Dimensions.member.1.Value=c%26d%3D__"
        )));
        assert!(body.ends_with(&format!(
            "{member}.Unit=Seconds{member}.Values.member.1=0.25{member}.Counts.member.1=2\
             {member}.Values.member.2=2{member}.Counts.member.2=1"
        )));
    }

    #[test]
    fn what_was_not_counted_is_not_sent() {
        let registry = Registry::new();
        with_local_recorder(&registry, || metrics::counter!("c").increment(0));
        assert!(bodies(&registry.snapshot(), "n", 20).is_empty());
    }
}
