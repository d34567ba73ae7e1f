//! The table of raw bytes, and what comes of each.

use purlin_hostile::{
    oracle::{End, Request},
    transcript::{Answer, SUFFIX, start, transcript},
};

/// What the server does otherwise than the table says, and why that is left so. A vector in here
/// that does as the table says is a failure too.
const KNOWN: &[(&str, &str)] = &[
    ("version-1.2", VERSIONS),
    ("version-1.9", VERSIONS),
    ("version-2.0", VERSIONS),
    ("version-3.0", VERSIONS),
];

const VERSIONS: &str = "Hyper 1.12 takes 1.0 and 1.1 only and answers 400 to all others, which a \
    client can't mistake for an answer to its request.";

/// Rules of which the oracle knows nothing: how large a head gets, and what a host is.
const UNJUDGED: [&str; 3] = ["RFC 9110 5.4", "RFC 9112 3.2", "RFC 9110 4.2.1"];

/// One line of the table.
pub(crate) struct Vector {
    pub(crate) name: &'static str,
    level: &'static str,
    outcome: Outcome,
    rule: &'static str,
    pub(crate) bytes: Vec<u8>,
}

enum Outcome {
    Answered(Vec<Vec<u8>>),
    Refused(Option<u16>),
    Once,
}

/// Reads the table.
pub(crate) fn vectors() -> Vec<Vector> {
    let lines = include_str!("../../vectors/http1.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(vector).collect()
}

fn vector(line: &'static str) -> Vector {
    let mut columns = line.splitn(5, " | ");
    let mut column = || columns.next().unwrap_or_else(|| panic!("five columns: {line}"));
    let (name, level, outcome, rule) = (column(), column(), column(), column());
    assert!(["must", "should", "may"].contains(&level) && rule.starts_with("RFC "), "{line}");
    let outcome = match outcome.split_once(':').unwrap_or((outcome, "")) {
        ("ok", bodies) => Outcome::Answered(
            unescape(bodies).split(|byte| *byte == b',').map(<[u8]>::to_vec).collect(),
        ),
        ("refuse", "") => Outcome::Refused(None),
        ("refuse", status) => Outcome::Refused(Some(status.parse().expect(line))),
        ("once", "") => Outcome::Once,
        _ => panic!("no such outcome: {line}"),
    };
    Vector { name, level, outcome, rule, bytes: unescape(column()) }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '↵' => bytes.extend(b"\r\n"),
            '\\' => {
                let (byte, length) = match rest.as_bytes() {
                    [b'r', ..] => (b'\r', 1),
                    [b'n', ..] => (b'\n', 1),
                    [b't', ..] => (b'\t', 1),
                    [b'0', ..] => (0, 1),
                    [b'\\', ..] => (b'\\', 1),
                    [b'x', ..] => (u8::from_str_radix(&rest[1..3], 16).expect(text), 3),
                    _ => panic!("no such escape: {text}"),
                };
                bytes.push(byte);
                rest = &rest[length..];
            }
            '{' => {
                let (repeated, behind) = rest.split_once('}').expect(text);
                let (what, times) = repeated.rsplit_once('*').expect(text);
                bytes.extend(unescape(what).repeat(times.parse().expect(text)));
                rest = behind;
            }
            other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}

impl Vector {
    /// The bytes with the suffix behind.
    pub(crate) fn sent(&self) -> Vec<u8> {
        [&self.bytes, SUFFIX].concat()
    }

    /// What of the table the oracle does not see so, if anything. It has no limits and no patience,
    /// and so refuses less; what it reads must be what is answered.
    pub(crate) fn contradicts(&self, requests: &[Request], end: End) -> Option<&'static str> {
        match &self.outcome {
            Outcome::Answered(bodies) => {
                let suffixed = requests.len() == bodies.len() + 1 && end == End::Clean;
                let same = bodies.iter().zip(requests).all(|(body, request)| *body == request.body);
                (!suffixed || !same).then_some("is answered")
            }
            Outcome::Refused(_) if self.level == "must" && !UNJUDGED.contains(&self.rule) => {
                (end == End::Clean).then_some("is refused")
            }
            Outcome::Once => (requests.len() != 1).then_some("is the last one"),
            Outcome::Refused(_) => None,
        }
    }

    /// What is wrong with the answers, if anything.
    fn judge(&self, answers: &[Answer]) -> Result<(), String> {
        let right = match &self.outcome {
            Outcome::Answered(bodies) => {
                let bodies = bodies.iter().map(Vec::as_slice);
                let (suffix, answers) = answers.split_last().ok_or("no answer")?;
                suffix.is_suffix()
                    && answers.iter().all(Answer::is_echo)
                    && bodies.eq(answers.iter().map(|answer| &*answer.body))
            }
            Outcome::Refused(status) => {
                matches!(answers, [only] if only.status >= 400 && status.is_none_or(|status| status == only.status))
            }
            Outcome::Once => matches!(answers, [only] if !only.is_suffix()),
        };
        let statuses = || answers.iter().map(|answer| answer.status).collect::<Vec<_>>();
        right.then_some(()).ok_or_else(|| format!("answered {:?}", statuses()))
    }
}

#[tokio::test(start_paused = true)]
async fn every_vector_comes_out_as_its_rule_says() {
    let dial = start();
    let vectors = vectors();
    assert!(vectors.len() >= 200);
    let must = |name| vectors.iter().any(|vector| vector.name == name && vector.level == "must");
    assert!(!KNOWN.iter().any(|(name, _)| must(*name)), "what must be is never left out");
    let mut wrong = Vec::new();
    for vector in &vectors {
        let answers = transcript(&dial, &vector.sent()).await;
        let known = KNOWN.iter().any(|(name, _)| *name == vector.name);
        match vector.judge(&answers) {
            Ok(()) if known => wrong.push(format!("{}: known to fail, and passes", vector.name)),
            Err(why) if !known => {
                let Vector { name, level, rule, .. } = vector;
                wrong.push(format!("{name} ({level}, {rule}): {why}"));
            }
            Ok(()) | Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} vectors, {} known", vectors.len(), KNOWN.len());
}

#[test]
fn what_is_known_is_in_the_table_with_its_reason() {
    let vectors = vectors();
    for (name, why) in KNOWN {
        assert!(vectors.iter().any(|vector| vector.name == *name), "{name} is in the table");
        assert!(why.ends_with('.'), "{name} has its reason");
    }
    let mut names: Vec<_> = vectors.iter().map(|vector| vector.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), vectors.len(), "each name stands for one vector");
}
