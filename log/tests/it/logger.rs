use crate::{NOON, Writes, noon};
use purlin_log::{Format, Level, Logger};
use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

fn logger(format: Format) -> (Logger, Writes) {
    let writes = Writes::default();
    (Logger::new(format, writes.clone()).clock(noon), writes)
}

#[test]
fn a_line_looks_as_documented_in_each_format() {
    let address = SocketAddr::from(([127, 0, 0, 1], 9110));
    let say = |format| {
        let (logger, writes) = logger(format);
        logger.info("listening").field("addr", &address).field("tls", false).send();
        writes.line()
    };
    assert_eq!(
        say(Format::Logfmt),
        format!("ts={NOON} level=info msg=listening addr=127.0.0.1:9110 tls=false")
    );
    assert_eq!(
        say(Format::Json),
        format!(
            r#"{{"ts":"{NOON}","level":"info","msg":"listening","addr":"127.0.0.1:9110","tls":false}}"#
        )
    );
    assert_eq!(
        say(Format::Pretty),
        format!("{NOON} INFO  listening addr=127.0.0.1:9110 tls=false")
    );
    assert_eq!(
        say(Format::Color),
        format!(
            "\x1b[2m{NOON}\x1b[0m \x1b[32mINFO \x1b[0m listening\x1b[2m addr=\x1b[0m127.0.0.1:9110\
             \x1b[2m tls=\x1b[0mfalse"
        )
    );
}

#[test]
fn fields_keep_their_order_and_a_parent_never_gets_its_childs() {
    let (parent, writes) = logger(Format::Logfmt);
    let child = parent.with("a", 1).with("b", 2);
    let other = child.with("c", "x");
    let sibling = child.with("c", "y");
    child.info("m").field("d", 4).send();
    assert!(writes.line().ends_with("msg=m a=1 b=2 d=4"));
    other.info("m").send();
    assert!(writes.line().ends_with("msg=m a=1 b=2 c=x"));
    sibling.info("m").send();
    assert!(writes.line().ends_with("msg=m a=1 b=2 c=y"));
    parent.info("m").send();
    assert!(writes.line().ends_with("msg=m"));
}

#[test]
fn values_of_each_kind_are_written_as_what_they_are() {
    let (log, writes) = logger(Format::Logfmt);
    let (json, json_writes) = logger(Format::Json);
    for logger in [&log, &json] {
        logger
            .info("m")
            .field("min", i64::MIN)
            .field("max", u64::MAX)
            .field("half", 0.5)
            .field("nan", f64::NAN)
            .field("none", None::<&str>)
            .field("word", "null")
            .field("nothing", "")
            .field("drain", Duration::from_millis(250))
            .field("some", Some(true))
            .send();
    }
    assert!(writes.line().ends_with(
        "min=-9223372036854775808 max=18446744073709551615 half=0.5 nan=NaN none=null \
         word=\"null\" nothing=\"\" drain=250ms some=true"
    ));
    assert!(json_writes.line().ends_with(
        r#""min":-9223372036854775808,"max":18446744073709551615,"half":0.5,"nan":"NaN","none":null,"word":"null","nothing":"","drain":"250ms","some":true}"#
    ));
}

#[test]
fn lines_below_the_level_are_neither_written_nor_worked_out() {
    struct Never;
    impl fmt::Display for Never {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            unreachable!("nobody reads this")
        }
    }
    let (logger, writes) = logger(Format::Logfmt);
    logger.debug("m").field("a", &Never).lazy("b", || -> u8 { unreachable!() }).send();
    assert!(writes.take().is_empty());
    Logger::discard().error("m").field("a", &Never).send();
}

#[test]
fn the_level_of_all_that_share_it_changes_while_they_run() {
    let (logger, writes) = logger(Format::Logfmt);
    let child = logger.with("a", 1);
    logger.set_level(Level::Error);
    child.warn("m").send();
    assert!(!child.enabled(Level::Warn) && writes.take().is_empty());
    logger.set_level(Level::Debug);
    child.debug("m").send();
    assert!(writes.line().contains("level=debug"));
}

#[test]
fn levels_and_formats_have_the_names_they_are_read_by() {
    for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
        assert_eq!(level.to_string().parse(), Ok(level));
    }
    for format in [Format::Logfmt, Format::Json, Format::Pretty, Format::Color] {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert!("loud".parse::<Level>().is_err() && "xml".parse::<Format>().is_err());
}

#[test]
fn a_line_that_cannot_be_written_is_counted_and_nothing_else_happens() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let logger = Logger::logfmt(Full);
    let child = logger.with("a", 1);
    logger.info("m").send();
    child.info("m").send();
    child.debug("m").send();
    assert_eq!((logger.dropped(), child.dropped()), (2, 2));
}

#[test]
fn a_value_that_panics_or_fails_costs_its_own_text_only() {
    struct Panics;
    impl fmt::Display for Panics {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half ")?;
            panic!("on purpose")
        }
    }
    struct Fails;
    impl fmt::Display for Fails {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half")?;
            Err(fmt::Error)
        }
    }
    let (logger, writes) = logger(Format::Logfmt);
    logger.info("m").field("a", &Panics).field("b", &Fails).field("c", 1).send();
    assert!(writes.line().ends_with("a=\"panicked while it was displayed\" b=half c=1"));
}

#[test]
fn a_value_that_logs_while_it_is_displayed_makes_a_line_of_its_own() {
    struct Talks(Logger);
    impl fmt::Display for Talks {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.info("inner").send();
            f.write_str("done")
        }
    }
    let (logger, writes) = logger(Format::Logfmt);
    logger.info("outer").field("a", &Talks(logger.clone())).send();
    let lines = writes.take();
    assert!(lines[0].ends_with("msg=inner\n") && lines[1].ends_with("msg=outer a=done\n"));
}

#[test]
fn a_writer_that_logs_to_its_own_logger_is_not_listened_to() {
    struct Talks(Arc<OnceLock<Logger>>, Writes);
    impl io::Write for Talks {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(logger) = self.0.get() {
                logger.info("round").send();
            }
            self.1.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (itself, writes) = (Arc::<OnceLock<Logger>>::default(), Writes::default());
    let logger = Logger::logfmt(Talks(itself.clone(), writes.clone()));
    itself.set(logger.clone()).unwrap();
    logger.info("once").send();
    assert_eq!(logger.dropped(), 2, "one in the line, and one in that which says so");
    let lines = writes.take();
    assert!(lines[0].ends_with("msg=once\n") && lines[1].ends_with("lines=1\n"), "{lines:?}");
}

#[test]
fn a_long_line_is_whole_and_the_next_one_is_short() {
    let (logger, writes) = logger(Format::Json);
    let long = "x".repeat(100_000);
    logger.info(&long).send();
    assert!(writes.line().contains(&long));
    logger.info("short").send();
    assert_eq!(writes.line(), format!(r#"{{"ts":"{NOON}","level":"info","msg":"short"}}"#));
}
