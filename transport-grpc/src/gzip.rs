//! Messages packed with gzip. Nothing else is offered: it is the one encoding that every peer has.

use crate::frame::malformed;
use bytes::Bytes;
use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};
use http::{HeaderMap, HeaderValue};
use purlin_endpoint::{Code, Error};
use std::io::{Read as _, Write as _};

/// Whether a list of encodings has gzip in it.
pub(crate) fn is_accepted(headers: &HeaderMap, name: &str) -> bool {
    let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|one| one.trim() == "gzip")
}

/// The encoding that a side has announced for its messages.
pub(crate) enum Announced {
    Identity,
    Gzip,
    Unknown,
}

impl Announced {
    pub(crate) fn of(value: Option<&HeaderValue>) -> Self {
        match value.map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Self::Identity,
            Some(b"gzip") => Self::Gzip,
            Some(_) => Self::Unknown,
        }
    }
}

/// Packs a message.
pub(crate) fn pack(message: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(message.len() / 2), Compression::fast());
    encoder.write_all(message).and_then(|()| encoder.finish()).map_err(Error::internal)
}

/// How many bytes each packed byte may become. Text becomes ten or so and a bomb a thousand; Envoy
/// draws the line here, too.
const RATIO: usize = 100;

/// How many bytes a message may have before that is looked at. The interoperability cases of gRPC
/// send 314,159 zeros, which is a bomb in all but its size.
const UNJUDGED: usize = 512 * 1024;

/// How much is unpacked between two looks.
const STEP: u64 = 64 * 1024;

/// Unpacks a message, and stops where it gets longer than the limit or turns out to be a bomb: that
/// costs more to unpack than to send, so what has been unpacked is held against what it was
/// unpacked from on the way, and not at the end.
pub(crate) fn unpack(packed: &[u8], limit: usize) -> Result<Bytes, Error> {
    let mut decoder = MultiGzDecoder::new(packed);
    let mut message = Vec::new();
    loop {
        let room = (limit - message.len()) as u64 + 1;
        let read = decoder.by_ref().take(room.min(STEP)).read_to_end(&mut message);
        let read = read.map_err(|error| {
            malformed("a compressed message can't be unpacked").caused_by(error)
        })?;
        if message.len() > limit {
            return Err(Error::of(Code::ResourceExhausted)
                .public(format!("a message is longer than the limit of {limit} bytes, unpacked")));
        }
        let used = packed.len() - decoder.get_ref().len();
        if message.len() > RATIO.saturating_mul(used).saturating_add(UNJUDGED) {
            return Err(Error::of(Code::ResourceExhausted)
                .public(format!("a message is packed more than {RATIO} to one")));
        }
        if (read as u64) < room.min(STEP) {
            return Ok(message.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_message_comes_back_up_to_the_limit() {
        let message = b"Hello, Ann! ".repeat(100);
        let packed = pack(&message).unwrap();
        assert!(packed.len() < message.len() / 4);
        assert_eq!(unpack(&packed, message.len()).unwrap(), message);
        let error = unpack(&packed, message.len() - 1).unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
    }

    #[test]
    fn a_bomb_is_refused_before_the_limit() {
        let (zeros, most) = (vec![0; 4 << 20], 64 << 20);
        let error = unpack(&pack(&zeros).unwrap(), most).unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert!(error.to_string().contains("100 to one"), "{error}");

        // Not at the end: junk behind them doesn't make up for zeros.
        let junk: Vec<u8> =
            (0..1_u32 << 20).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
        let hidden = [pack(&zeros).unwrap(), pack(&junk).unwrap()].concat();
        assert_eq!(unpack(&hidden, most).unwrap_err().code(), Code::ResourceExhausted);

        let short = &zeros[..UNJUDGED];
        assert_eq!(unpack(&pack(short).unwrap(), most).unwrap(), short);
        let even = b"Hello, Ann! You are the first of all the people here. ".repeat(100);
        let lines: Vec<u8> =
            (0..500_u32).flat_map(|n| [&n.to_be_bytes()[..], &even[..150]].concat()).collect();
        let long = lines.repeat(40);
        assert_eq!(unpack(&pack(&long).unwrap(), most).unwrap(), long);
    }

    #[test]
    fn what_is_not_packed_is_an_internal_error() {
        let packed = pack(b"Hello").unwrap();
        for wrong in [&b"Hello"[..], &packed[..packed.len() - 3], b""] {
            assert_eq!(unpack(wrong, 100).unwrap_err().code(), Code::Internal);
        }
    }

    #[test]
    fn gzip_is_found_among_other_encodings() {
        let mut headers = HeaderMap::new();
        headers.append("grpc-accept-encoding", HeaderValue::from_static("identity, br"));
        assert!(!is_accepted(&headers, "grpc-accept-encoding"));
        headers.append("grpc-accept-encoding", HeaderValue::from_static("zstd,gzip"));
        assert!(is_accepted(&headers, "grpc-accept-encoding"));
    }
}
