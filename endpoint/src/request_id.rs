use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    str::FromStr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// The longest id that fits without an allocation: a UUID with its hyphens.
const INLINE: usize = 36;

/// The id that a call keeps on every hop and every log line.
///
/// It is one to 128 letters, digits, dots, hyphens or underscores, so that it can stand in any
/// header and any log as it is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Id);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Id {
    Inline { length: u8, bytes: [u8; INLINE] },
    Shared(Arc<str>),
}

impl RequestId {
    /// A new id: 32 hexadecimal digits, unique within the process and, by a random part, without.
    pub fn generate() -> Self {
        static START: OnceLock<([u8; INLINE], AtomicU64)> = OnceLock::new();
        let (process, count) = START.get_or_init(|| {
            let random = || RandomState::new().build_hasher().finish();
            let mut process = [0; INLINE];
            write_hex(&mut process[..16], random());
            (process, AtomicU64::new(random()))
        });
        // An odd stride visits every number once, and neighbours share no visible digits.
        let count = count.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mut bytes = *process;
        write_hex(&mut bytes[16..32], count);
        Self(Id::Inline { length: 32, bytes })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever stored.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The id as ASCII, which costs less than [`as_str`](Self::as_str).
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Id::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Id::Shared(text) => text.as_bytes(),
        }
    }
}

fn write_hex(room: &mut [u8], number: u64) {
    for (pair, byte) in room.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
}

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, InvalidRequestId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) {
            return Err(InvalidRequestId);
        }
        let mut bytes = [0; INLINE];
        Ok(Self(match bytes.get_mut(..text.len()) {
            Some(room) => {
                room.copy_from_slice(text.as_bytes());
                // It fits, so its length is at most INLINE.
                Id::Inline { length: text.len() as u8, bytes }
            }
            None => Id::Shared(text.into()),
        }))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The text is not a [`RequestId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRequestId;

impl fmt::Display for InvalidRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request id is 1 to 128 letters, digits, dots, hyphens or underscores")
    }
}

impl std::error::Error for InvalidRequestId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_holds_nothing_that_a_header_or_a_log_could_trip_over() {
        for bad in ["", "a b", "a\n", "é", "a\"b", &"x".repeat(129)] {
            assert_eq!(bad.parse::<RequestId>(), Err(InvalidRequestId), "{bad:?}");
        }
        for good in ["a", "A.b_c-9", &"x".repeat(36), &"x".repeat(37), &"x".repeat(128)] {
            assert_eq!(good.parse::<RequestId>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn generated_ids_are_valid_and_differ() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| RequestId::generate()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.as_str().parse::<RequestId>().as_ref() == Ok(id)));
    }
}
