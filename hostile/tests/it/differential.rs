//! Mutated streams: the server and the oracle have to agree on what was asked.

use crate::{
    vectors::{Vector, vectors},
    world::soak,
};
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use purlin_hostile::{
    oracle,
    transcript::{differ, start},
};
use std::cell::Cell;

/// What is put in: pieces that mean something to one reader or another.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b"\0",
    b":",
    b";",
    b",",
    b"0",
    b"5",
    b"f",
    b"+",
    b"-",
    b"x",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b"\r\n\r\n",
    b"\n\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"A: b\r\n",
    b"A: b\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Host: a\r\n",
    b"Connection: close\r\n",
    b"chunked, ",
    b" HTTP/1.0\r\n",
    b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
];

/// One change of a stream.
#[derive(Clone, Debug)]
enum Mutation {
    Insert(Index, &'static [u8]),
    Replace(Index, &'static [u8]),
    Remove(Index, usize),
    Flip(Index, u8),
    Double(Index, Index),
    SwapLines(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), select(PIECES)).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        2 => (at(), select(PIECES)).prop_map(|(at, piece)| Mutation::Replace(at, piece)),
        2 => (at(), 1..4_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (at(), any::<u8>()).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        1 => (at(), at()).prop_map(|(from, to)| Mutation::Double(from, to)),
        1 => (at(), at()).prop_map(|(one, other)| Mutation::SwapLines(one, other)),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let size = bytes.len() + 1;
        match self {
            Self::Insert(at, piece) => {
                let at = at.index(size);
                bytes.splice(at..at, piece.iter().copied());
            }
            Self::Replace(at, piece) => {
                let at = at.index(size);
                let end = (at + piece.len()).min(bytes.len());
                bytes.splice(at..end, piece.iter().copied());
            }
            Self::Remove(at, count) => {
                let at = at.index(size);
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Self::Flip(at, bits) => {
                let at = at.index(size);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bits;
                }
            }
            Self::Double(from, to) => {
                let (from, to) = (from.index(size), to.index(size));
                let copied = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(from.min(to)..from.min(to), copied);
            }
            Self::SwapLines(one, other) => {
                let mut lines: Vec<_> = bytes.split_inclusive(|b| *b == b'\n').collect();
                if !lines.is_empty() {
                    let (one, other) = (one.index(lines.len()), other.index(lines.len()));
                    lines.swap(one, other);
                    *bytes = lines.concat();
                }
            }
        }
    }
}

#[test]
fn the_oracle_reads_the_table_as_the_table_says() {
    // As the server, it knows no version but two.
    let read = |vector: &&Vector| vector.bytes.len() < 4096 && !vector.name.starts_with("version");
    for vector in vectors().iter().filter(read) {
        let (requests, end) = oracle::read(&vector.sent());
        let wrong = vector.contradicts(&requests, end);
        assert_eq!(wrong, None, "{}: {requests:?} {end:?}", vector.name);
    }
}

#[test]
fn no_mutated_stream_is_understood_otherwise_than_by_the_oracle() {
    let cases = if soak() { 1_000_000 } else { 10_000 };
    let seed: u64 = std::env::var("PURLIN_SEED").map_or(4, |seed| seed.parse().expect("a number"));
    println!("PURLIN_SEED={seed}, {cases} cases");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let seeds: Vec<_> =
        vectors().into_iter().map(|vector| vector.bytes).filter(|b| b.len() < 4096).collect();
    let stream = (select(seeds), prop::collection::vec(mutation(), 1..5));

    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().start_paused(true).build().expect("a runtime");
    let dial = runtime.block_on(async { start() });
    let (understood, refused) = (Cell::new(0_u64), Cell::new(0_u64));
    let outcome = TestRunner::new_with_rng(config, rng).run(&stream, |(mut bytes, mutations)| {
        mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
        let answers = runtime.block_on(differ(&dial, &bytes)).map_err(TestCaseError::fail)?;
        for answer in &answers {
            let count = if answer.is_echo() { &understood } else { &refused };
            count.set(count.get() + 1);
        }
        Ok(())
    });
    if let Err(found) = outcome {
        panic!("{found}");
    }
    println!("{} requests understood alike, {} refused", understood.get(), refused.get());
    assert!(understood.get() > u64::from(cases) / 8 && refused.get() > u64::from(cases) / 8);
}
