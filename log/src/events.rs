//! Events of `tracing` become lines, and lines become events.

use crate::{Fields, Format, Level, Logger, sink::Sink, sink::Text};
use std::{error::Error as StdError, fmt, sync::Arc};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, Scope},
};

/// Writes events of [`tracing`](::tracing) as lines, with their `target`, the fields of the spans
/// that they are in, the outermost first, and their own.
///
/// `main` puts it into a subscriber and installs that. Its levels are those of the logger, and
/// [`TRACE`](::tracing::Level::TRACE) is debug; since these may change, a filter that says what is
/// never to be looked at spares the rest of the program much work.
///
/// ```
/// use purlin_log::{FromTracing, Logger};
/// use tracing_subscriber::{Layer as _, filter::LevelFilter, layer::SubscriberExt as _};
///
/// let logger = Logger::logfmt(std::io::stderr());
/// let lines = FromTracing::new(logger.clone()).with_filter(LevelFilter::DEBUG);
/// tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
///     tracing::info!(port = 9110, "listening");
/// });
/// # assert_eq!(logger.dropped(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct FromTracing {
    logger: Logger,
    /// Tells this layer's fields of a span from those that another one has written.
    id: Arc<()>,
}

impl FromTracing {
    /// Writes events here.
    pub fn new(logger: Logger) -> Self {
        Self { logger, id: Arc::new(()) }
    }

    fn write(&self, spans: &mut SpanFields, record: impl FnOnce(&mut Visitor<'_>)) {
        let id = Arc::as_ptr(&self.id).addr();
        let known = spans.0.iter().position(|(layer, _)| *layer == id);
        let at = known.unwrap_or_else(|| {
            spans.0.push((id, Vec::new()));
            spans.0.len() - 1
        });
        if let Some((_, text)) = spans.0.get_mut(at) {
            record(&mut Visitor(self.logger.fields(text)));
        }
    }
}

/// The fields of a span, as each of our layers writes them.
#[derive(Default)]
struct SpanFields(Vec<(usize, Vec<u8>)>);

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for FromTracing {
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if extensions.get_mut::<SpanFields>().is_none() {
            extensions.insert(SpanFields::default());
        }
        if let Some(spans) = extensions.get_mut() {
            self.write(spans, |visitor| attributes.record(visitor));
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(spans) = span.extensions_mut().get_mut() {
            self.write(spans, |visitor| values.record(visitor));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let level = level(*metadata.level());
        // What comes from this very logger is a line already.
        if !self.logger.enabled(level) || self.logger.is_writing() {
            return;
        }
        let mut message = Message::default();
        event.record(&mut message);
        let line = self.logger.line_at(level, &message.0, metadata.file(), metadata.line());
        let line = line.field("target", metadata.target());
        let id = Arc::as_ptr(&self.id).addr();
        let line = line.write(|_, text| {
            for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
                let extensions = span.extensions();
                let spans = extensions.get::<SpanFields>().map_or(&[][..], |spans| &spans.0);
                let own = spans.iter().filter(|(layer, _)| *layer == id);
                own.for_each(|(_, fields)| text.extend_from_slice(fields));
            }
            event.record(&mut Visitor(self.logger.fields(text)));
        });
        line.send();
    }
}

fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        _ => Level::Debug,
    }
}

/// The field that is an event's message.
const MESSAGE: &str = "message";

/// Reads an event's message.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            let mut text = Vec::new();
            crate::format::display(&mut text, &format_args!("{value:?}"));
            // Only text was written there.
            self.0 = String::from_utf8(text).unwrap_or_default();
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            value.clone_into(&mut self.0);
        }
    }
}

/// Adds all other fields to a line.
struct Visitor<'a>(Fields<'a>);

macro_rules! record {
    ($($name:ident: $value:ty;)*) => {
        $(fn $name(&mut self, field: &Field, value: $value) {
            if field.name() != MESSAGE {
                self.0.add(field.name(), value);
            }
        })*
    };
}

impl Visit for Visitor<'_> {
    record! {
        record_str: &str;
        record_i64: i64;
        record_u64: u64;
        record_f64: f64;
        record_bool: bool;
    }

    fn record_error(&mut self, field: &Field, value: &(dyn StdError + 'static)) {
        self.0.add(field.name(), &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != MESSAGE {
            self.0.add(field.name(), &format_args!("{value:?}"));
        }
    }
}

impl Logger {
    /// Hands lines on as events of [`tracing`](::tracing), to whatever subscriber is installed.
    ///
    /// Their target is `purlin`. A line's message is the event's, and its fields are one field of
    /// the event, `fields`, written [for people](Format::Pretty): what an event may be asked for is
    /// fixed when a program is built.
    pub fn to_tracing() -> Self {
        Self::to(Format::Pretty, Sink::Tracing)
    }
}

/// The target of the events that lines become.
const TARGET: &str = "purlin";

/// Makes an event of a line.
pub(crate) fn emit(line: Text<'_>) -> bool {
    let text = String::from_utf8_lossy(line.whole);
    let (message, fields) = text.split_at_checked(line.message).unwrap_or((&text, ""));
    let fields = fields.trim();
    macro_rules! event {
        ($level:ident) => {
            match fields {
                "" => tracing::event!(target: TARGET, tracing::Level::$level, "{message}"),
                _ => tracing::event!(target: TARGET, tracing::Level::$level, fields, "{message}"),
            }
        };
    }
    match line.level {
        Level::Debug => event!(DEBUG),
        Level::Info => event!(INFO),
        Level::Warn => event!(WARN),
        Level::Error => event!(ERROR),
    }
    true
}
