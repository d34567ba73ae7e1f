//! Metadata: ASCII values as they are, and bytes in base64 under names that end in `-bin`.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Padding is not written and may be read.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Bytes as a metadata value: what a name that ends in `-bin` carries.
///
/// ```
/// use purlin_transport_grpc::{decode_binary, encode_binary};
///
/// assert_eq!(encode_binary(b"\xab\xab\xab"), "q6ur");
/// assert_eq!(decode_binary("q6ur").unwrap(), &b"\xab\xab\xab"[..]);
/// assert_eq!(decode_binary("not base64"), None);
/// ```
pub fn encode_binary(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The bytes of one metadata value, with or without padding; `None` if they are none.
pub fn decode_binary(value: &str) -> Option<Bytes> {
    BASE64.decode(value).ok().map(Bytes::from)
}

/// All values of a name that ends in `-bin`; values that are no base64 are left out.
///
/// Several values may have been joined by commas on their way.
pub fn binary_values(metadata: &HeaderMap, name: &str) -> Vec<Bytes> {
    let values = metadata.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|one| decode_binary(one.trim())).collect()
}

/// Whether a name belongs to gRPC or HTTP, and is not the user's to send.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with("grpc-")
        || matches!(
            name,
            "connection"
                | "content-length"
                | "content-type"
                | "host"
                | "keep-alive"
                | "proxy-connection"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
        )
}

/// Adds what a handler has written, and leaves out what can't or may not be sent.
pub(crate) fn append(map: &mut HeaderMap, written: Vec<(String, String)>) {
    for (name, value) in written {
        if is_reserved(&name) || (name.ends_with("-bin") && decode_binary(&value).is_none()) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            map.append(name, value);
        }
    }
}

/// Takes out what is not the user's to send.
pub(crate) fn retain_users(map: &mut HeaderMap) {
    let reserved: Vec<HeaderName> =
        map.keys().filter(|name| is_reserved(name.as_str())).cloned().collect();
    for name in reserved {
        map.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_padded_or_not_and_joined_or_not() {
        let mut map = HeaderMap::new();
        map.append("a-bin", HeaderValue::from_static("AAEC,/w=="));
        map.append("a-bin", HeaderValue::from_static("/w, !"));
        let expected: [&[u8]; 3] = [&[0, 1, 2], &[255], &[255]];
        assert_eq!(binary_values(&map, "a-bin"), expected);
    }

    #[test]
    fn what_belongs_to_the_protocol_is_not_sent_for_a_handler() {
        let mut map = HeaderMap::new();
        let written = [
            ("x-a", "1"),
            ("x-a", "2"),
            ("grpc-status", "0"),
            ("content-type", "text/plain"),
            ("x-bin", "!"),
            ("y-bin", "AAEC"),
            ("bad name", "1"),
            ("x-b", "line\nbreak"),
        ];
        append(&mut map, written.map(|(n, v)| (n.to_owned(), v.to_owned())).into());
        assert_eq!(map.len(), 3);
        assert_eq!(map.get_all("x-a").iter().count(), 2);
        assert_eq!(map["y-bin"], "AAEC");
    }
}
