//! The W3C's [Baggage](https://www.w3.org/TR/baggage/).

use purlin_endpoint::{Baggage, Carrier};

const NAME: &str = "baggage";

/// What all systems have to hand on, and no more is.
const MOST_MEMBERS: usize = 64;
const MOST_BYTES: usize = 8192;

/// Reads what fits, and passes over members that are wrong. Properties of members are dropped.
pub(crate) fn extract(carrier: &dyn Carrier) -> Baggage {
    let mut baggage = Baggage::EMPTY;
    let mut bytes = 0;
    let headers = carrier.get_all(NAME);
    let members = headers.iter().flat_map(|header| header.split(','));
    for member in members.take(MOST_MEMBERS) {
        bytes += member.len() + 1;
        if bytes > MOST_BYTES + 1 {
            break;
        }
        if let Some((name, value)) = parse(member) {
            baggage = baggage.with(name, value);
        }
    }
    baggage
}

/// Writes as many members as fit. A name that no header can carry stays here.
pub(crate) fn inject(baggage: &Baggage, carrier: &mut dyn Carrier) {
    let mut header = String::new();
    let fit = baggage.iter().filter(|(name, _)| is_token(name)).take(MOST_MEMBERS);
    for (name, value) in fit {
        let before = header.len();
        if before > 0 {
            header.push(',');
        }
        header.push_str(name);
        header.push('=');
        encode(value, &mut header);
        if header.len() > MOST_BYTES {
            header.truncate(before);
            break;
        }
    }
    if !header.is_empty() {
        carrier.set(NAME, &header);
    }
}

fn parse(member: &str) -> Option<(&str, String)> {
    let (member, _properties) = member.split_once(';').unwrap_or((member, ""));
    let (name, value) = member.split_once('=')?;
    let (name, value) = (name.trim_matches([' ', '\t']), value.trim_matches([' ', '\t']));
    (is_token(name) && value.bytes().all(is_octet)).then(|| (name, decode(value)))
}

/// What isn't UTF-8 after all becomes U+FFFD, as the standard says; a `%` that begins no code
/// stands for itself.
fn decode(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, more @ ..] = rest {
        let digit = |at: usize| char::from(*more.get(at)?).to_digit(16);
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                // Two digits are less than 256.
                bytes.push((high * 16 + low) as u8);
                rest = &more[2..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn encode(value: &str, header: &mut String) {
    for byte in value.bytes() {
        if is_octet(byte) && byte != b'%' {
            header.push(char::from(byte));
        } else {
            let digit = |half: u8| char::from(b"0123456789ABCDEF"[usize::from(half)]);
            header.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// What may stand in a value as it is.
fn is_octet(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'+' | b'-'..=b':' | b'<'..=b'[' | b']'..=b'~')
}

/// A `token` of HTTP.
fn is_token(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}
