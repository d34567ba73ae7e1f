use crate::{Level, Value, timestamp, value::Kind};
use purlin_endpoint::{Peer, catch_panic};
use std::{
    fmt::{self, Write as _},
    net::SocketAddr,
    str::FromStr,
    time::{Duration, SystemTime},
};

/// How lines are written.
///
/// In every format a line is one line: control characters, line breaks and marks that turn the
/// direction of writing come out escaped, whatever the message, the keys and the values are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// `ts=… level=info msg=listening addr=127.0.0.1:9110`, as Go's logfmt has it.
    #[default]
    Logfmt,
    /// `{"ts":"…","level":"info","msg":"listening","addr":"127.0.0.1:9110"}`.
    Json,
    /// `… INFO  listening addr=127.0.0.1:9110`, for people.
    Pretty,
}

impl Format {
    /// Writes all that stands before a line's own fields.
    pub(crate) fn begin(self, out: &mut String, at: SystemTime, level: Level, message: &str) {
        match self {
            Self::Logfmt => {
                out.push_str("ts=");
                timestamp::write(out, at);
                out.push_str(" level=");
                out.push_str(level.as_str());
                out.push_str(" msg=");
                self.text(out, |out| out.push_str(message));
            }
            Self::Json => {
                out.push_str("{\"ts\":\"");
                timestamp::write(out, at);
                out.push_str("\",\"level\":\"");
                out.push_str(level.as_str());
                out.push_str("\",\"msg\":");
                self.text(out, |out| out.push_str(message));
            }
            Self::Pretty => {
                timestamp::write(out, at);
                out.push(' ');
                out.push_str(level.padded());
                out.push(' ');
                escape(out, message);
            }
        }
    }

    pub(crate) fn finish(self, out: &mut String) {
        out.push_str(match self {
            Self::Json => "}\n",
            Self::Logfmt | Self::Pretty => "\n",
        });
    }

    pub(crate) fn field(self, out: &mut String, key: &str, value: Value<'_>) {
        self.key(out, key);
        self.value(out, value);
    }

    /// A field whose key is known to need no escape in any format.
    pub(crate) fn known(self, out: &mut String, key: &'static str, value: Value<'_>) {
        let (before, after) = match self {
            Self::Json => (",\"", "\":"),
            Self::Logfmt | Self::Pretty => (" ", "="),
        };
        out.push_str(before);
        out.push_str(key);
        out.push_str(after);
        self.value(out, value);
    }

    fn key(self, out: &mut String, key: &str) {
        match self {
            Self::Json => {
                out.push(',');
                self.text(out, |out| out.push_str(key));
                out.push(':');
            }
            Self::Logfmt | Self::Pretty => {
                out.push(' ');
                bare_key(out, key);
                out.push('=');
            }
        }
    }

    pub(crate) fn value(self, out: &mut String, value: Value<'_>) {
        let mut integer = itoa::Buffer::new();
        match value.0 {
            Kind::Null => out.push_str("null"),
            Kind::Bool(true) => out.push_str("true"),
            Kind::Bool(false) => out.push_str("false"),
            Kind::Signed(number) => out.push_str(integer.format(number)),
            Kind::Unsigned(number) => out.push_str(integer.format(number)),
            Kind::Float(number) if number.is_finite() => display(out, &number),
            // JSON has no number for these.
            Kind::Float(number) => self.text(out, |out| display(out, &number)),
            Kind::Text(text) => self.text(out, |out| out.push_str(text)),
            Kind::Display(value) => self.text(out, |out| display(out, value)),
            Kind::Duration(duration) => {
                self.text(out, |out| display(out, &format_args!("{duration:?}")));
            }
            Kind::Millis(duration) => millis(out, duration),
            Kind::Known(text) => {
                let quote = if self == Self::Json { "\"" } else { "" };
                out.push_str(quote);
                out.push_str(text);
                out.push_str(quote);
            }
            Kind::Method(method) => self.text(out, |out| {
                out.push_str(method.service());
                out.push('/');
                out.push_str(method.name());
            }),
            Kind::Peer(Peer::Tcp(SocketAddr::V4(address))) => self.text(out, |out| {
                for (octet, after) in address.ip().octets().into_iter().zip(['.', '.', '.', ':']) {
                    out.push_str(integer.format(octet));
                    out.push(after);
                }
                out.push_str(integer.format(address.port()));
            }),
            Kind::Peer(peer) => self.text(out, |out| display(out, peer)),
        }
    }

    /// Writes a text as one value, quoted where the format wants it.
    ///
    /// It is written as it is first: most texts need nothing else, and what a value displays can't
    /// be known before.
    pub(crate) fn text(self, out: &mut String, write: impl FnOnce(&mut String)) {
        if self == Self::Json {
            out.push('"');
        }
        let start = out.len();
        write(out);
        let wants = wants(&out[start..]);
        match self {
            Self::Json if wants == Wants::Escapes => escape_from(out, start),
            Self::Json => out.push('"'),
            Self::Logfmt | Self::Pretty if wants == Wants::Nothing => {}
            Self::Logfmt | Self::Pretty => {
                out.insert(start, '"');
                match wants {
                    Wants::Escapes => escape_from(out, start + 1),
                    Wants::Quotes | Wants::Nothing => out.push('"'),
                }
            }
        }
    }
}

/// Writes a number of milliseconds, to the microsecond.
fn millis(out: &mut String, duration: Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut whole = itoa::Buffer::new();
    out.push_str(whole.format(micros / 1000));
    let rest = (micros % 1000) as u16;
    let digits = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8);
    out.push('.');
    out.extend(digits.map(char::from));
}

/// Escapes what was written from there on, and closes the quotes.
fn escape_from(out: &mut String, start: usize) {
    let text = out.split_off(start);
    escape(out, &text);
    out.push('"');
}

/// Writes what the value displays. A value that fails or panics loses its own text, not the line.
fn display(out: &mut String, value: &dyn fmt::Display) {
    let start = out.len();
    if catch_panic(|| write!(out, "{value}").ok()).is_err() {
        out.truncate(start);
        out.push_str("panicked while it was displayed");
    }
}

/// What a text needs around it or within.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Nothing,
    /// Quotes, where a format can do without them.
    Quotes,
    /// Quotes, and escapes within them.
    Escapes,
}

const QUOTE: u8 = 1;
const ESCAPE: u8 = 2;
const PERHAPS: u8 = 4;

/// What each byte of a text asks for: quotes in logfmt, an escape, or a look at the character that
/// it begins.
static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b' ' | b'=' => QUOTE,
            0..b' ' | 0x7f | b'"' | b'\\' => ESCAPE,
            // C1 controls begin with the first, separators and direction marks with the second, the
            // byte order mark with the third.
            0xc2 | 0xe2 | 0xef => PERHAPS,
            _ => 0,
        };
        byte += 1;
    }
    class
};

fn wants(text: &str) -> Wants {
    let seen = text.bytes().fold(0, |seen, byte| seen | CLASS[usize::from(byte)]);
    if seen & ESCAPE != 0 || seen & PERHAPS != 0 && text.chars().any(is_unsafe) {
        return Wants::Escapes;
    }
    // Without quotes an empty text would be nothing, and the other the value that is not there.
    let spaced = || seen & PERHAPS != 0 && text.chars().any(char::is_whitespace);
    match text {
        "" | "null" => Wants::Quotes,
        _ if seen & QUOTE != 0 || spaced() => Wants::Quotes,
        _ => Wants::Nothing,
    }
}

/// Whether a character could break a line, speak to a terminal, or turn the text around.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Writes a text with the escapes of JSON, which logfmt's quotes share.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) => {
                let code = u32::from(c);
                out.push_str("\\u");
                for shift in [12, 8, 4, 0] {
                    let digit = (code >> shift) & 15;
                    out.push(char::from(b"0123456789abcdef"[digit as usize]));
                }
            }
            c => out.push(c),
        }
    }
}

/// Writes a key that stands without quotes: what can't be in one becomes an underscore.
fn bare_key(out: &mut String, key: &str) {
    if wants(key) == Wants::Nothing {
        return out.push_str(key);
    }
    if key.is_empty() {
        out.push('_');
    }
    for c in key.chars() {
        let fits = !is_unsafe(c) && !c.is_whitespace() && !matches!(c, '=' | '"');
        out.push(if fits { c } else { '_' });
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name {
            "logfmt" => Ok(Self::Logfmt),
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            _ => Err(UnknownFormat),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Logfmt => "logfmt",
            Self::Json => "json",
            Self::Pretty => "pretty",
        })
    }
}

/// The text is not the name of a [`Format`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFormat;

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a format is logfmt, json or pretty")
    }
}

impl std::error::Error for UnknownFormat {}
