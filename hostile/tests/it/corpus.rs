//! The committed corpus of each parser, replayed: each entry as it is, cut off at each byte, and
//! with each byte changed.

use purlin_hostile::{
    parsers::{self, Reading},
    transcript::{differ, start},
};
use std::{fs, path::Path};

/// What is committed for a parser.
fn corpus(parser: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(parser);
    let entries = fs::read_dir(folder).expect("each parser has a folder");
    let read = |entry: std::io::Result<fs::DirEntry>| fs::read(entry?.path());
    entries.map(|entry| read(entry).expect("it can be read")).collect()
}

/// All inputs for a parser: what is committed, and its neighbours.
fn inputs(parser: &str) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for entry in corpus(parser) {
        for at in 0..entry.len().min(256) {
            inputs.push(entry[..at].to_vec());
            for bit in [0x01, 0x20, 0x80] {
                let mut changed = entry.clone();
                changed[at] ^= bit;
                inputs.push(changed);
            }
        }
        inputs.push(entry);
    }
    inputs
}

#[tokio::test(start_paused = true)]
async fn every_parser_takes_some_and_refuses_some_of_its_corpus_and_panics_at_none() {
    for (name, parser) in parsers::ALL {
        let [mut taken, mut refused] = [0; 2];
        for input in inputs(name) {
            match parser(input).await {
                Reading::Taken => taken += 1,
                Reading::Refused => refused += 1,
                Reading::Unsent => {}
            }
        }
        println!("{name}: {taken} taken, {refused} refused");
        assert!(taken > 0 && taken + refused >= 50, "{name}: {taken} taken, {refused} refused");
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_and_the_oracle_agree_on_the_corpus() {
    let dial = start();
    let mut understood = 0;
    for input in corpus("http1") {
        let answers = differ(&dial, &input).await.unwrap_or_else(|why| panic!("{why}"));
        understood += answers.iter().filter(|answer| answer.is_echo()).count();
    }
    assert!(understood > 10, "{understood} requests understood");
}

#[test]
fn every_parser_has_a_fuzz_target_and_every_corpus_a_parser() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &str| {
        let entries = fs::read_dir(here.join(folder)).expect("the folder is there");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            let path = entry.expect("it can be read").path();
            path.file_stem().expect("it has a name").to_string_lossy().into_owned()
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort_unstable();
        names
    };
    let mut known: Vec<_> = parsers::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.push("http1".to_owned());
    known.sort_unstable();
    assert_eq!(names("corpus"), known);
    assert_eq!(names("../fuzz/fuzz_targets"), known);
}
