//! What a text needs so that it can't break a line, speak to a terminal or turn the text around.

/// What a text needs around it or within.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
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
            // C1 controls begin with the first; separators and direction marks with the second, for
            // Arabic, and the third; the byte order mark with the last.
            0xc2 | 0xd8 | 0xe2 | 0xef => PERHAPS,
            _ => 0,
        };
        byte += 1;
    }
    class
};

pub(crate) fn wants(text: &[u8]) -> Wants {
    let seen = text.iter().fold(0, |seen, byte| seen | CLASS[usize::from(*byte)]);
    let any =
        |is: fn(char) -> bool| seen & PERHAPS != 0 && String::from_utf8_lossy(text).chars().any(is);
    if seen & ESCAPE != 0 || any(is_unsafe) {
        return Wants::Escapes;
    }
    // Without quotes an empty text would be nothing, and the other the value that is not there.
    let spaced = || any(char::is_whitespace);
    match text {
        b"" | b"null" => Wants::Quotes,
        _ if seen & QUOTE != 0 || spaced() => Wants::Quotes,
        _ => Wants::Nothing,
    }
}

/// Whether a character could break a line, speak to a terminal, or turn the text around.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a text with the escapes of JSON, which logfmt's quotes share.
pub(crate) fn escape(out: &mut Vec<u8>, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if is_unsafe(c) => {
                let code = u32::from(c);
                out.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    let digit = (code >> shift) & 15;
                    out.push(b"0123456789abcdef"[digit as usize]);
                }
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Writes a key that stands without quotes: what can't be in one becomes an underscore.
pub(crate) fn bare_key(out: &mut Vec<u8>, key: &str) {
    if wants(key.as_bytes()) == Wants::Nothing {
        return out.extend_from_slice(key.as_bytes());
    }
    if key.is_empty() {
        out.push(b'_');
    }
    for c in key.chars() {
        let fits = !is_unsafe(c) && !c.is_whitespace() && !matches!(c, '=' | '"');
        let c = if fits { c } else { '_' };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Escapes what was written from there on, and closes the quotes.
pub(crate) fn escape_from(out: &mut Vec<u8>, start: usize) {
    let text = out.split_off(start);
    // Only text was written there.
    escape(out, &String::from_utf8_lossy(&text));
    out.push(b'"');
}
