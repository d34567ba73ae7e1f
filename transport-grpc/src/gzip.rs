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

/// Unpacks a message, and stops where it gets longer than the limit.
pub(crate) fn unpack(packed: &[u8], limit: usize) -> Result<Bytes, Error> {
    let mut message = Vec::new();
    let read = MultiGzDecoder::new(packed).take(limit as u64 + 1).read_to_end(&mut message);
    match read {
        Ok(_) if message.len() > limit => Err(Error::of(Code::ResourceExhausted)
            .public(format!("a message is longer than the limit of {limit} bytes, unpacked"))),
        Ok(_) => Ok(message.into()),
        Err(error) => Err(malformed("a compressed message can't be unpacked").caused_by(error)),
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
