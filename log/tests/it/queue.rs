use crate::{Gate, Writes};
use purlin_log::{Format, Logger, Queue};
use std::{io, thread, time::Duration};

/// Whether these lines are numbered from zero to their count, in their order.
fn in_order(lines: &[String]) -> bool {
    lines.iter().enumerate().all(|(n, line)| line.ends_with(&format!(" n={n}\n")))
}

#[test]
fn nothing_is_lost_at_the_stop() {
    let writes = Writes::default();
    let queue = Queue::bytes(64 << 20).patience(Duration::from_secs(60));
    let (log, background) = Logger::queued(Format::Logfmt, writes.clone(), queue).unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            let log = log.with("thread", thread);
            scope.spawn(move || (0..10_000).for_each(|n| log.info("m").field("n", n).send()));
        }
    });
    background.stop().unwrap();
    let lines = writes.lines();
    assert_eq!((lines.len(), log.dropped()), (40_000, 0));
    for thread in 0..4 {
        let of = format!(" thread={thread} ");
        let own: Vec<_> = lines.iter().filter(|line| line.contains(&of)).cloned().collect();
        assert!(own.len() == 10_000 && in_order(&own), "each thread's lines keep their order");
    }
}

#[test]
fn a_call_never_waits_for_its_writer_and_what_finds_no_room_is_counted_and_said() {
    let (gate, writes) = (Gate::default(), Writes::default());
    let queue = Queue::bytes(10_000).patience(Duration::from_secs(60));
    let (log, background) = Logger::queued(Format::Logfmt, gate.before(&writes), queue).unwrap();
    log.info("m").field("n", 0).send();
    gate.reached();
    // With the writer held up this would never end if a call waited for it.
    (1..10_000).for_each(|n| log.info("m").field("n", n).send());
    let dropped = log.dropped();
    assert!((9_500..10_000).contains(&dropped), "{dropped}");
    gate.open();
    // The first may find no room yet for the line that says it.
    log.flush().unwrap();
    log.flush().unwrap();
    log.info("after").send();
    background.stop().unwrap();
    let mut lines = writes.lines();
    assert!(lines.pop().unwrap().contains("msg=after"));
    let said = lines.pop().unwrap();
    assert!(said.ends_with(&format!("msg=\"lines dropped\" lines={dropped}\n")), "{said}");
    assert!(in_order(&lines) && lines.len() as u64 + dropped == 10_000);
}

#[test]
fn a_flush_waits_until_all_is_written() {
    let writes = Writes::default();
    let (log, background) = Logger::queued(Format::Json, writes.clone(), Queue::default()).unwrap();
    for n in 1..100 {
        log.info("m").send();
        log.flush().unwrap();
        assert_eq!(writes.lines().len(), n);
    }
    drop(background);
}

#[test]
fn a_stop_waits_no_longer_than_its_patience() {
    let (gate, writes) = (Gate::default(), Writes::default());
    let queue = Queue::default().patience(Duration::from_millis(20));
    let (log, background) = Logger::queued(Format::Logfmt, gate.before(&writes), queue).unwrap();
    log.info("m").send();
    let late = background.stop().unwrap_err();
    assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    assert_eq!(late.to_string(), "1 lines are not written after 20ms");
    gate.open();
}

#[test]
fn what_is_logged_after_the_stop_is_counted_and_a_drop_is_a_stop() {
    let writes = Writes::default();
    let (log, background) =
        Logger::queued(Format::Logfmt, writes.clone(), Queue::default()).unwrap();
    log.info("before").send();
    drop(background);
    log.info("after").send();
    assert_eq!((writes.lines().len(), log.dropped()), (1, 1));
}

#[test]
fn lines_that_the_writer_fails_to_write_are_counted_and_what_it_says_is_told() {
    let writes = Writes::default();
    let (log, background) =
        Logger::queued(Format::Logfmt, writes.failing(1), Queue::default()).unwrap();
    log.info("lost").send();
    assert_eq!(log.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(log.dropped(), 1);
    log.info("kept").send();
    background.stop().unwrap();
    // The flush says it, if the writer was quicker than the flush; or else the next line.
    let lines = writes.lines();
    assert_eq!(lines.len(), 2);
    for end in ["msg=kept\n", "level=warn msg=\"lines dropped\" lines=1\n"] {
        assert!(lines.iter().any(|line| line.ends_with(end)), "{lines:?}");
    }
}

#[test]
fn a_line_that_was_cut_off_is_ended_before_the_next() {
    /// Writes ten bytes, fails once, and then writes all.
    struct Torn(Writes, u32);
    impl io::Write for Torn {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            match self.1 {
                1 => self.0.write(&bytes[..10]),
                2 => Err(io::ErrorKind::StorageFull.into()),
                _ => self.0.write(bytes),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let writes = Writes::default();
    let writer = Torn(writes.clone(), 0);
    let (log, background) = Logger::queued(Format::Logfmt, writer, Queue::default()).unwrap();
    log.info("lost").send();
    log.flush().unwrap_err();
    log.info("kept").send();
    background.stop().unwrap();
    let lines = writes.lines();
    assert_eq!((lines.len(), lines[0].len(), log.dropped()), (3, 11, 1));
    let whole = |line: &String| line.starts_with("ts=") && line.ends_with("msg=kept\n");
    assert!(lines[1..].iter().any(whole), "{lines:?}");
}

#[test]
fn a_writer_that_panics_costs_its_lines_and_not_the_thread() {
    struct Panics(Writes, bool);
    impl io::Write for Panics {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(std::mem::replace(&mut self.1, true), "on purpose");
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let writes = Writes::default();
    let writer = Panics(writes.clone(), false);
    let (log, background) = Logger::queued(Format::Logfmt, writer, Queue::default()).unwrap();
    log.info("lost").send();
    log.flush().unwrap_err();
    log.info("kept").send();
    background.stop().unwrap();
    assert_eq!((writes.lines().len(), log.dropped()), (2, 1));
}

#[test]
fn a_queue_without_room_is_a_mistake() {
    let none = Logger::queued(Format::Logfmt, io::sink(), Queue::bytes(0)).unwrap_err();
    assert_eq!(none.kind(), io::ErrorKind::InvalidInput);
}
