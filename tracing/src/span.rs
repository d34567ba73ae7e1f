use purlin_endpoint::{SpanId, Trace};
use std::{borrow::Cow, fmt, time::SystemTime};

/// One side of a call that has ended, as exporters get it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// What was called: the method in full, unless the layer was given another name.
    pub name: Cow<'static, str>,
    /// Which side of the call this is.
    pub side: Side,
    /// The span's place in its trace: [`Trace::span_id`] is its own id.
    pub trace: Trace,
    /// The span that it belongs to, if it is not the first of its trace.
    pub parent: Option<SpanId>,
    /// The caller's place in its trace, where that is another trace.
    pub link: Option<Trace>,
    /// When the call started.
    pub started: SystemTime,
    /// When it ended: a streaming call, when its stream did.
    pub ended: SystemTime,
    /// Why it counts as failed on this side, if it does.
    pub failed: Option<Cow<'static, str>>,
    /// What is known of the call, by the names in [`semconv`](crate::semconv).
    pub attributes: Vec<Attribute>,
    /// What happened in it, in order.
    pub events: Vec<Event>,
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who answers.
    Server,
    /// Who asks.
    Client,
}

/// A name and what it says of a span.
pub type Attribute = (Cow<'static, str>, Value);

/// Something that happened in a call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// What it was.
    pub name: &'static str,
    /// When.
    pub at: SystemTime,
    /// What is known of it.
    pub attributes: Vec<Attribute>,
}

impl Span {
    /// What this attribute says.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        value(&self.attributes, name)
    }
}

impl Event {
    /// What this attribute says.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        value(&self.attributes, name)
    }
}

fn value<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Value> {
    attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A text without control characters.
    Text(Cow<'static, str>),
    /// A number.
    Integer(i64),
    /// Yes or no.
    Bool(bool),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Bool(bool) => bool.fmt(f),
        }
    }
}

/// The longest text of an attribute, in bytes.
const LONGEST: usize = 4096;

/// Cuts a text that is too long, and escapes what would do something to a terminal or break a line.
pub(crate) fn clean(text: impl Into<Cow<'static, str>>) -> Cow<'static, str> {
    let text = text.into();
    if text.len() <= LONGEST && !text.chars().any(char::is_control) {
        return text;
    }
    let mut cleaned = String::with_capacity(text.len().min(LONGEST));
    for char in text.chars() {
        let before = cleaned.len();
        match char.is_control() {
            true => cleaned.extend(char.escape_default()),
            false => cleaned.push(char),
        }
        if cleaned.len() > LONGEST {
            cleaned.truncate(before);
            break;
        }
    }
    cleaned.into()
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(clean(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(clean(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}
