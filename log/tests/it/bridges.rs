use crate::{NOON, Writes, noon};
use log::Log as _;
use purlin_log::{FromTracing, Level, Logger};
use std::{
    fmt, io,
    sync::{Arc, Mutex},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt as _, registry};

/// Keeps each event as its level and its fields.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                self.0 += &format!(" {field}={value:?}");
            }
        }
        let metadata = event.metadata();
        let mut text = Text(format!("{} {}", metadata.level(), metadata.target()));
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
}

fn lines() -> (Logger, Writes) {
    let writes = Writes::default();
    (Logger::logfmt(writes.clone()).clock(noon), writes)
}

#[test]
fn ad_01_records_of_the_log_crate_become_lines_with_their_level_and_target() {
    let (logger, writes) = lines();
    let logger = logger.caller();
    for (theirs, ours) in [
        (log::Level::Error, Some("error")),
        (log::Level::Warn, Some("warn")),
        (log::Level::Info, Some("info")),
        (log::Level::Debug, None),
        (log::Level::Trace, None),
    ] {
        let record = log::Record::builder()
            .level(theirs)
            .target("hyper::conn")
            .file(Some("conn.rs"))
            .line(Some(7))
            .args(format_args!("two\nlines"))
            .build();
        assert_eq!(log::Log::enabled(&logger, record.metadata()), ours.is_some());
        logger.log(&record);
        let expected = ours.map(|level| {
            format!(
                "ts={NOON} level={level} msg=\"two\\nlines\" caller=conn.rs:7 target=hyper::conn\n"
            )
        });
        assert_eq!(writes.take(), Vec::from_iter(expected));
    }
    log::Log::flush(&logger);
}

#[test]
fn ad_02_events_of_tracing_become_lines_with_their_fields_and_those_of_their_spans() {
    let (logger, writes) = lines();
    let logger = logger.level(Level::Debug);
    let subscriber = registry().with(FromTracing::new(logger));
    tracing::subscriber::with_default(subscriber, || {
        let outer =
            tracing::info_span!(target: "t", "outer", id = 7, later = tracing::field::Empty);
        let _outer = outer.enter();
        let _inner = tracing::info_span!(target: "t", "inner", password = "swordfish").entered();
        outer.record("later", true);
        let cause = io::Error::other("disk 7");
        let cause: &(dyn std::error::Error + 'static) = &cause;
        tracing::warn!(target: "t", a = 0.5, b = ?Some("x"), token = 1, cause, "half {}", "done");
        tracing::trace!(target: "t", "seen");
    });
    let expected = [
        format!(
            "ts={NOON} level=warn msg=\"half done\" target=t id=7 later=true password=*** a=0.5 \
             b=\"Some(\\\"x\\\")\" token=*** cause=\"disk 7\"\n"
        ),
        format!("ts={NOON} level=debug msg=seen target=t id=7 later=true password=***\n"),
    ];
    assert_eq!(writes.take(), expected);
}

#[test]
fn ad_03_lines_become_events_with_their_level_message_and_fields() {
    let events = Events::default();
    let logger = Logger::to_tracing().with("a", 1).level(Level::Debug);
    tracing::subscriber::with_default(registry().with(events.clone()), || {
        logger.debug("m").send();
        Logger::to_tracing().info("m").send();
        logger.warn("two\nlines").field("b", "c d").send();
        logger.error("m").send();
        logger.flush().unwrap();
    });
    assert_eq!(
        *events.0.lock().unwrap(),
        [
            "DEBUG purlin fields=\"a=1\" message=m",
            "INFO purlin message=m",
            "WARN purlin fields=\"a=1 b=\\\"c d\\\"\" message=two\\nlines",
            "ERROR purlin fields=\"a=1\" message=m",
        ]
        .map(|text| {
            // The message is the first field of an event.
            let (head, message) = text.split_once(" message=").unwrap();
            match head.split_once(" fields=") {
                Some((head, fields)) => format!("{head} message={message} fields={fields}"),
                None => format!("{head} message={message}"),
            }
        })
    );
}

#[test]
fn a_line_that_comes_back_to_its_own_logger_goes_round_no_further() {
    let (events, (other, writes)) = (Events::default(), lines());
    let logger = Logger::to_tracing();
    let subscriber = registry()
        .with(events.clone())
        .with(FromTracing::new(logger.clone()))
        .with(FromTracing::new(other.clone()));
    tracing::subscriber::with_default(subscriber, || {
        logger.info("once").send();
        logger.info("twice").send();
    });
    assert_eq!(events.0.lock().unwrap().len(), 2);
    // Another logger hears of it: that is what the bridges are for.
    assert_eq!(writes.take().len(), 2);
    assert_eq!((logger.dropped(), other.dropped()), (0, 0));
}

#[test]
fn events_of_a_writer_do_not_come_back_to_its_logger() {
    struct Talks(Writes);
    impl io::Write for Talks {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            tracing::info!("writing");
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let writes = Writes::default();
    let logger = Logger::logfmt(Talks(writes.clone()));
    let subscriber = registry().with(FromTracing::new(logger.clone()));
    tracing::subscriber::with_default(subscriber, || logger.info("once").send());
    assert!(writes.line().ends_with("msg=once"));
    assert_eq!(logger.dropped(), 0);
}
