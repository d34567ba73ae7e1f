//! What Go kit's own tests of its log packages check, in the order of its suites: `log`, `level`,
//! `term`, and the adapters.
//!
//! Left out is what the types rule out or what a line has not:
//!
//! - a key without a value (`(MISSING)`), a key that is no text (`NULL`), a line without a level
//!   (`SquelchNoLevel`, `NewInjector`), a value that can't be written (`unsupported value type`): none
//!   of them compiles;
//! - lists and maps as values: a line is flat;
//! - `ErrNotAllowed`: nobody's call fails for a line, and `enabled` says it before;
//! - a timestamp of another layout: it is RFC 3339 in UTC in every line;
//! - `SwapLogger` and `SyncWriter`'s `Fd`: a logger is made once, with its writer, and its level,
//!   sampling and expiry are what changes;
//! - the table of expressions that read the text of Go's own logger: a record of the `log` crate
//!   has fields, which `ad_01` and `ad_02` check;
//! - syslog, of which no crate here speaks.

use crate::{NOON, Writes, noon};
use purlin_log::{Format, Level, Logger};
use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

fn logger(format: Format) -> (Logger, Writes) {
    let writes = Writes::default();
    (Logger::new(format, writes.clone()).clock(noon), writes)
}

/// The fields of a line of logfmt.
fn after_message(writes: &Writes) -> String {
    let line = writes.line();
    line.split_once(" msg=").expect("a message").1.to_owned()
}

struct Special;

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("special_behavior")
    }
}

struct Panics;

impl fmt::Display for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("on purpose")
    }
}

#[test]
fn lo_01_with_keeps_the_order_and_leaves_its_parent_alone() {
    let (parent, writes) = logger(Format::Logfmt);
    let child = parent.with("a", 123);
    let grandchild = child.with("b", "c");
    grandchild.info("msg").field("d", 4).send();
    assert_eq!(after_message(&writes), "msg a=123 b=c d=4");
    child.info("msg").send();
    parent.info("msg").send();
    let lines = writes.take();
    assert!(lines[0].ends_with("msg=msg a=123\n") && lines[1].ends_with("msg=msg\n"));
}

#[test]
fn lo_02_fields_stand_in_the_order_in_which_they_were_given() {
    let (log, writes) = logger(Format::Logfmt);
    let base = log.with("prefix", 1).with("base", 2);
    base.info("m").field("args", 3).field("suffix", 4).send();
    assert_eq!(after_message(&writes), "m prefix=1 base=2 args=3 suffix=4");
}

#[test]
fn lo_03_the_caller_is_where_the_line_was_begun_however_the_logger_was_made() {
    let (log, writes) = logger(Format::Logfmt);
    let log = log.caller();
    let with = log.with("a", 1);
    let deep = with.with_each(|fields| {
        fields.add("b", 2);
    });
    for log in [log, with, deep] {
        log.info("m").send();
        let caller = format!(" caller={}:{}", file!(), line!() - 1);
        assert!(after_message(&writes).ends_with(&caller), "{caller}");
    }
}

#[test]
fn lo_04_eight_threads_write_ten_thousand_lines_each_through_one_logger() {
    let (log, writes) = logger(Format::Logfmt);
    let log = log.with("shared", "yes");
    thread::scope(|scope| {
        for thread in 0..8 {
            let log = log.clone();
            scope.spawn(move || {
                (0..10_000).for_each(|n| log.info("m").field("t", thread).field("n", n).send());
            });
        }
    });
    let mut lines = writes.take();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 80_000, "each line is whole and its own");
    assert!(lines.iter().all(|line| line.matches('\n').count() == 1));
}

#[test]
fn lo_05_fields_of_all_lines_are_worked_out_for_each_line_that_is_written() {
    let (log, writes) = logger(Format::Logfmt);
    let count = Arc::new(AtomicU32::new(0));
    let next = count.clone();
    let log = log.with_each(move |fields| {
        let one = || next.fetch_add(1, Ordering::Relaxed) + 1;
        fields.add("a", one()).add("b", one());
    });
    log.info("m").field("c", "d").send();
    assert_eq!(after_message(&writes), "m a=1 b=2 c=d");
    // A line without fields of its own has them too, and one that is not written counts nothing.
    log.info("m").send();
    log.debug("m").send();
    assert_eq!(after_message(&writes), "m a=3 b=4");
    assert_eq!(count.load(Ordering::Relaxed), 4);
}

#[test]
fn lo_06_a_line_of_json_has_its_caller_too() {
    let (log, writes) = logger(Format::Json);
    log.caller().info("").send();
    let caller = format!("{}:{}", file!(), line!() - 1);
    assert_eq!(
        writes.line(),
        format!(r#"{{"ts":"{NOON}","level":"info","msg":"","caller":"{caller}"}}"#)
    );
}

#[test]
fn lo_07_json_has_errors_as_texts_nothing_as_null_and_no_escapes_for_html() {
    let (log, writes) = logger(Format::Json);
    let error = io::Error::other("err");
    log.info("m")
        .field("err", &error)
        .field("none", None::<&io::Error>)
        .field("html", "<&>")
        .field("panic", &Panics)
        .send();
    assert!(writes.line().ends_with(
        r#""err":"err","none":null,"html":"<&>","panic":"panicked while it was displayed"}"#
    ));
}

#[test]
fn lo_08_logfmt_has_a_key_and_what_its_value_displays() {
    let (log, writes) = logger(Format::Logfmt);
    log.info("m").field("hello", "world").send();
    assert_eq!(after_message(&writes), "m hello=world");
    log.info("m").field("a", 1).field("err", &io::Error::other("error")).send();
    assert_eq!(after_message(&writes), "m a=1 err=error");
    log.info("m").field("my_map", &Special).send();
    assert_eq!(after_message(&writes), "m my_map=special_behavior");
}

#[test]
fn lo_09_a_writer_that_panics_costs_its_line_and_holds_no_lock() {
    struct Once(Writes, bool);
    impl io::Write for Once {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(std::mem::replace(&mut self.1, true), "on purpose");
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let writes = Writes::default();
    let log = Logger::logfmt(Once(writes.clone(), false));
    log.info("lost").send();
    log.info("kept").send();
    assert_eq!(log.dropped(), 1);
    assert!(writes.take()[0].ends_with("msg=kept\n"));
}

#[test]
fn lv_01_each_level_lets_through_itself_and_what_lies_above_it() {
    let levels = [Level::Debug, Level::Info, Level::Warn, Level::Error];
    for (least, expected) in
        [(0, "debug info warn error"), (1, "info warn error"), (2, "warn error"), (3, "error")]
    {
        let (log, writes) = logger(Format::Json);
        let log = log.level(levels[least]);
        for level in levels {
            log.line(level, "m").field("foo", "bar").send();
            // Whether it was written could be known before.
            assert_eq!(log.enabled(level), level >= levels[least]);
        }
        let written: Vec<_> = expected
            .split(' ')
            .map(|level| {
                format!(
                    "{{\"ts\":\"{NOON}\",\"level\":\"{level}\",\"msg\":\"m\",\"foo\":\"bar\"}}\n"
                )
            })
            .collect();
        assert_eq!(writes.take(), written);
    }
    assert!(levels.iter().all(|level| !Logger::discard().enabled(*level)));
}

#[test]
fn lv_02_a_line_has_its_level_its_caller_and_its_fields() {
    let (log, writes) = logger(Format::Logfmt);
    log.caller().line(Level::Info, "m").field("foo", "bar").send();
    let caller = format!("{}:{}", file!(), line!() - 1);
    assert_eq!(writes.line(), format!("ts={NOON} level=info msg=m caller={caller} foo=bar"));
}

#[test]
fn lv_03_a_level_is_read_in_any_case_and_with_spaces_around_it() {
    for (text, level) in [
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("error", Level::Error),
        ("ErRoR", Level::Error),
        (" Error ", Level::Error),
    ] {
        assert_eq!(text.parse(), Ok(level));
    }
    assert!("invalid".parse::<Level>().is_err() && "".parse::<Level>().is_err());
    assert_eq!("invalid".parse().unwrap_or(Level::Warn), Level::Warn);
}

#[test]
fn tm_01_each_level_has_its_colour_and_the_rest_of_the_line_has_it_not() {
    let (log, writes) = logger(Format::Color);
    let log = log.level(Level::Debug);
    for (level, color) in [
        (Level::Debug, "\x1b[34mDEBUG\x1b[0m"),
        (Level::Info, "\x1b[32mINFO \x1b[0m"),
        (Level::Warn, "\x1b[33mWARN \x1b[0m"),
        (Level::Error, "\x1b[1;31mERROR\x1b[0m"),
    ] {
        log.line(level, "m").field("a", 1).send();
        let time = format!("\x1b[2m{NOON}\x1b[0m");
        assert_eq!(writes.line(), format!("{time} {color} m\x1b[2m a=\x1b[0m1"));
    }
}
