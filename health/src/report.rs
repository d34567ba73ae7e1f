use std::{borrow::Cow, fmt, time::Duration};

/// What the checks of a process have answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One for each check and gate, in their order. Where calls are not wanted any more, the first
    /// is called `serving`.
    pub results: Vec<Checked>,
}

/// What one check has answered, or how one gate stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The name it was given.
    pub name: Cow<'static, str>,
    /// Why it failed; `None` if it passed. This may speak of what is inside.
    pub why: Option<String>,
    /// How long the answer took. A gate takes no time.
    pub took: Duration,
}

impl Checked {
    pub(crate) fn not_serving() -> Self {
        Self { name: "serving".into(), why: Some("draining".into()), took: Duration::ZERO }
    }

    /// Whether it passed.
    pub fn is_ok(&self) -> bool {
        self.why.is_none()
    }
}

impl Report {
    /// Whether all passed.
    pub fn is_ready(&self) -> bool {
        self.results.iter().all(Checked::is_ok)
    }

    /// The report as JSON:
    /// `{"ready":false,"checks":[{"name":"db","ok":false,"why":"timeout","took_ms":12.5}]}`.
    pub fn to_json(&self) -> String {
        let mut out = format!("{{\"ready\":{},\"checks\":[", self.is_ready());
        for (index, Checked { name, why, took }) in self.results.iter().enumerate() {
            out.push_str(if index == 0 { "{\"name\":" } else { ",{\"name\":" });
            quote(&mut out, name);
            out.push_str(&format!(",\"ok\":{}", why.is_none()));
            if let Some(why) = why {
                out.push_str(",\"why\":");
                quote(&mut out, why);
            }
            out.push_str(&format!(",\"took_ms\":{}}}", took.as_micros() as f64 / 1000.0));
        }
        out.push_str("]}");
        out
    }
}

/// Writes `ready`, or the names of what failed: nothing of why.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ready() {
            return f.write_str("ready");
        }
        let failed = self.results.iter().filter(|result| !result.is_ok());
        let names: Vec<&str> = failed.map(|result| &*result.name).collect();
        write!(f, "not ready: {}", names.join(", "))
    }
}

/// Writes a JSON string.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_says_what_the_report_says_whatever_the_texts_are() {
        let nasty = "a \"b\" \\ \n\u{1b}[2J\u{85} é";
        let report = Report {
            results: vec![
                Checked { name: "ok".into(), why: None, took: Duration::from_micros(12_500) },
                Checked { name: nasty.into(), why: Some(nasty.into()), took: Duration::ZERO },
            ],
        };
        let json = report.to_json();
        assert!(!json.chars().any(char::is_control));
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["ready"], false);
        assert_eq!(parsed["checks"][0]["took_ms"], 12.5);
        assert_eq!(parsed["checks"][1]["name"], nasty);
        assert_eq!(parsed["checks"][1]["why"], nasty);
    }
}
