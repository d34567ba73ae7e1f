//! The percent-encoding of `grpc-message`: any text in visible ASCII and spaces.

use http::HeaderValue;
use std::borrow::Cow;

/// What a message may take in a header block, so that the block stays within common limits.
const LONGEST: usize = 4096;

/// Encodes a text; a very long one is cut between two characters.
pub(crate) fn encode(text: &str) -> HeaderValue {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'%';
    if text.len() <= LONGEST && text.bytes().all(plain) {
        return HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    }
    let mut out = Vec::with_capacity(text.len() + 16);
    for character in text.chars() {
        let before = out.len();
        let mut utf8 = [0; 4];
        for &byte in character.encode_utf8(&mut utf8).as_bytes() {
            if plain(byte) {
                out.push(byte);
            } else {
                let digit = |n: u8| b"0123456789ABCDEF"[usize::from(n)];
                out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
        if out.len() > LONGEST {
            out.truncate(before);
            break;
        }
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(out))
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Decodes a text. What is no escape stays as it is, as the specification asks; what is no UTF-8 is
/// replaced.
pub(crate) fn decode(encoded: &[u8]) -> Cow<'_, str> {
    if !encoded.contains(&b'%') {
        return String::from_utf8_lossy(encoded);
    }
    let mut out = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = match behind {
            [high, low, ..] if first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = &behind[2..];
            }
            None => {
                out.push(first);
                rest = behind;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back() {
        let long = "é".repeat(600);
        for text in ["", "plain", "50% off", "a\nb\t\r\0", "\u{1f600} ü %41", "~ \u{7f}", &long] {
            assert_eq!(decode(encode(text).as_bytes()), text);
        }
        for number in 0..=0x0010_ffff {
            if let Some(character) = char::from_u32(number) {
                let text = character.to_string();
                assert_eq!(decode(encode(&text).as_bytes()), text);
            }
        }
    }

    #[test]
    fn what_is_sent_is_visible_ascii_and_not_too_long() {
        let text = "ß%\n".repeat(10_000);
        let encoded = encode(&text);
        assert!(encoded.len() <= LONGEST);
        assert!(encoded.as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~')));
        assert!(text.starts_with(&*decode(encoded.as_bytes())));
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in ["%", "%4", "%zz", "100%", "%%", "a%g0b"] {
            assert_eq!(decode(text.as_bytes()), text);
        }
        assert_eq!(decode(b"%41%ff"), "A\u{fffd}");
    }
}
