//! The text formats that Prometheus scrapes.

use crate::{Bucket, Distribution, Family, Kind, Labels, Snapshot, Value};
use std::{collections::HashSet, fmt::Write as _, time::SystemTime};

/// A format that Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' own, version 0.0.4. It has no exemplars.
    Text,
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
}

impl Exposition {
    /// The better one of those that an `Accept` header names.
    pub fn accepted(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    /// Its `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Writes all metrics of a snapshot.
    ///
    /// Names are made as OpenTelemetry's compatibility with Prometheus has it: what may not stand
    /// in one becomes `_`, the unit is its suffix, and `_total` that of a counter:
    /// `rpc_server_call_duration_seconds`. Of two metrics with the same name then, the first is
    /// written.
    pub fn render(self, snapshot: &Snapshot) -> String {
        let (mut out, mut names) = (String::new(), HashSet::new());
        for family in &snapshot.families {
            let name = name(family);
            if names.insert(name.clone()) {
                self.family(&mut out, &name, family);
            }
        }
        if self == Self::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }

    // Writing into a string can't fail, here and below.
    fn family(self, out: &mut String, name: &str, family: &Family) {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Level | Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // In OpenMetrics a family of counters is called without their suffix.
        let total = if family.kind == Kind::Counter { "_total" } else { "" };
        let head = if self == Self::Text { format!("{name}{total}") } else { name.to_owned() };
        let _ = writeln!(out, "# TYPE {head} {kind}");
        if self == Self::OpenMetrics && !suffix(&family.unit).is_empty() {
            let _ = writeln!(out, "# UNIT {head} {}", suffix(&family.unit));
        }
        if !family.description.is_empty() {
            let _ = write!(out, "# HELP {head} ");
            escaped(out, &family.description, self == Self::OpenMetrics);
            out.push('\n');
        }
        for series in &family.series {
            match &series.value {
                Value::Count(count) => {
                    sample(out, name, total, &series.labels, None);
                    let _ = writeln!(out, "{count}");
                }
                Value::Number(value) => {
                    sample(out, name, "", &series.labels, None);
                    number(out, *value);
                    out.push('\n');
                }
                Value::Histogram(counted) => self.histogram(out, name, &series.labels, counted),
            }
        }
    }

    fn histogram(self, out: &mut String, name: &str, labels: &Labels, counted: &Distribution) {
        let mut below = 0;
        let bounds = counted.bounds.bounds().iter().copied().chain([f64::INFINITY]);
        for (bound, bucket) in bounds.zip(&counted.buckets) {
            below += bucket.count;
            sample(out, name, "_bucket", labels, Some(bound));
            let _ = write!(out, "{below}");
            if self == Self::OpenMetrics {
                exemplar(out, bucket);
            }
            out.push('\n');
        }
        sample(out, name, "_sum", labels, None);
        number(out, counted.sum());
        out.push('\n');
        sample(out, name, "_count", labels, None);
        let _ = writeln!(out, "{below}");
    }
}

fn exemplar(out: &mut String, bucket: &Bucket) {
    if let Some(seen) = bucket.exemplar {
        let at = seen.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let _ = write!(
            out,
            r#" # {{trace_id="{}",span_id="{}"}} {} {:.3}"#,
            seen.trace,
            seen.span,
            seen.value,
            at.as_secs_f64()
        );
    }
}

/// Writes the name and labels of a sample.
fn sample(out: &mut String, name: &str, suffix: &str, labels: &Labels, bound: Option<f64>) {
    let _ = write!(out, "{name}{suffix}");
    let mut names = HashSet::new();
    let mut open = '{';
    for (label, value) in labels.iter() {
        let label = allowed(label, false);
        if names.insert(label.clone()) {
            let _ = write!(out, "{open}{label}=\"");
            escaped(out, value, true);
            out.push('"');
            open = ',';
        }
    }
    if let Some(bound) = bound {
        let _ = write!(out, "{open}le=\"");
        number(out, bound);
        out.push('"');
        open = ',';
    }
    out.push_str(if open == ',' { "} " } else { " " });
}

fn number(out: &mut String, number: f64) {
    let _ = match number {
        f64::INFINITY => write!(out, "+Inf"),
        f64::NEG_INFINITY => write!(out, "-Inf"),
        // With a decimal point, as OpenMetrics has its bounds.
        number if number.fract() == 0.0 && number.abs() < 1e15 => write!(out, "{number:.1}"),
        number => write!(out, "{number}"),
    };
}

fn escaped(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            // No other control character is of use to anybody.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// The name of a family, without a counter's suffix.
fn name(family: &Family) -> String {
    let mut name = allowed(&family.name, true);
    if family.kind == Kind::Counter
        && let Some(short) = name.strip_suffix("_total")
    {
        name = short.to_owned();
    }
    let suffix = suffix(&family.unit);
    if !suffix.is_empty() && !name.ends_with(&format!("_{suffix}")) {
        name = format!("{name}_{suffix}");
    }
    name
}

fn allowed(name: &str, colons: bool) -> String {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
    let mut name: String = name.chars().map(|c| if ok(c) { c } else { '_' }).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// What a unit of UCUM is called in a name.
fn suffix(unit: &str) -> &str {
    match unit {
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tebibytes",
        "%" => "percent",
        _ => "",
    }
}
