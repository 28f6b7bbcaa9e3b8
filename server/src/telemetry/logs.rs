//! Logs: lines for people on a terminal, else one flat JSON object a line, on standard error.
//!
//! What belongs here: where lines go and what they look like. What does not: what is logged. Fields of
//! an event and of the spans around it (such as `request_id`) are members of one object, so that a
//! line is found by any of them without knowing how deep it was.

use std::borrow::Cow;
use std::fmt;
use std::io::IsTerminal;

use serde::Serializer as _;
use serde::ser::SerializeMap;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::{DefaultFields, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::request::RequestName;
use super::traces::{TARGET, Traces};

/// How to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The form of a line; `None`: for people on a terminal, else for machines.
    pub format: Option<LogFormat>,
    /// What is logged, in the language of `RUST_LOG`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts to log and to record `traces`, once for the process; a second call changes nothing. Panics are
/// logged, too, as errors.
pub fn start(settings: &LogSettings, traces: &Traces) {
    let terminal = std::io::stderr().is_terminal();
    let colors = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let format = format_of(settings, terminal);
    let logs = Registry::default().with(layer(format, &settings.filter, colors, std::io::stderr));
    let started = match traces.layer() {
        Some(traces) => tracing::subscriber::set_global_default(logs.with(traces)),
        None => tracing::subscriber::set_global_default(logs),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let panic_message = panic.payload_as_str().unwrap_or("none");
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(panic_message, location, "a panic: this is a bug");
        }));
    }
}

/// The form of a line: as set, else by who reads it.
fn format_of(settings: &LogSettings, terminal: bool) -> LogFormat {
    settings.format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json })
}

fn layer<W>(format: LogFormat, filter: &str, colors: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // `config` has parsed the filter before; what it cannot use it refused.
    // Whatever the filter says, spans for traces are known here, too: they may lead to a span for logs, which
    // they are in. None of their fields is shown.
    let for_traces = filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET);
    let filter = EnvFilter::new(filter).or(for_traces.with_max_level_hint(LevelFilter::INFO));
    // A log that cannot be written must not stop the sale: no complaint about it on standard error,
    // whose loss would be a panic.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    match format {
        LogFormat::Text => lines.fmt_fields(TextFields).with_ansi(colors).with_filter(filter).boxed(),
        LogFormat::Json => lines.fmt_fields(JsonFields::new()).event_format(JsonLine).with_filter(filter).boxed(),
    }
}

/// Formats fields for people; those of spans that are for traces not at all.
struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut found = ForTraces(false);
        fields.record(&mut found);
        if found.0 {
            return Ok(());
        }
        DefaultFields::new().format_fields(writer.by_ref(), fields)?;
        let Some(request) = RequestName::current() else { return Ok(()) };
        let mut shown = Ok(());
        request.fields(|name, value| {
            if shown.is_ok() {
                shown = write!(writer, " {name}={value}");
            }
        });
        shown
    }
}

/// Looks for the field that only spans for traces have.
struct ForTraces(bool);

impl Visit for ForTraces {
    fn record_debug(&mut self, field: &Field, _value: &dyn fmt::Debug) {
        self.0 |= field.name() == "otel.kind";
    }
}

/// Formats an event as one flat JSON object.
struct JsonLine;

/// The members that every line has, first; no field takes their place.
const FIXED: [&str; 4] = ["timestamp", "level", "target", "message"];

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Members::new();
        if let Some(request) = RequestName::current() {
            request.fields(|name, value| fields.set(name, value));
        }
        // From the outermost span inwards, the event last: what is nearer says more.
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            if span.metadata().target() == TARGET {
                continue;
            }
            let extensions = span.extensions();
            let formatted = extensions.get::<FormattedFields<N>>().map_or("", |formatted| formatted.as_str());
            if let Ok(Value::Object(members)) = serde_json::from_str(formatted) {
                for (name, value) in members {
                    fields.set(name, value);
                }
            }
        }
        event.record(&mut fields);
        let timestamp = format!("{:.6}", jiff::Timestamp::now());
        let metadata = event.metadata();
        let line = line(&timestamp, metadata.level().as_str(), metadata.target(), &fields).map_err(|_| fmt::Error)?;
        writer.write_str(std::str::from_utf8(&line).map_err(|_| fmt::Error)?)
    }
}

/// The object and the end of its line, in UTF-8.
fn line(timestamp: &str, level: &str, target: &str, fields: &Members) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = Vec::with_capacity(512);
    let mut serializer = serde_json::Serializer::new(&mut line);
    let mut object = serializer.serialize_map(None)?;
    object.serialize_entry("timestamp", timestamp)?;
    object.serialize_entry("level", level)?;
    object.serialize_entry("target", target)?;
    if let Some((_, message)) = fields.0.iter().find(|(name, _)| name == "message") {
        object.serialize_entry("message", message)?;
    }
    for (name, value) in fields.0.iter().filter(|(name, _)| !FIXED.contains(&&**name)) {
        object.serialize_entry(name, value)?;
    }
    object.end()?;
    line.push(b'\n');
    Ok(line)
}

/// Collects the fields of a line, with their types, in the order in which they come. A line has few, so that a list finds
/// them as soon as a tree, which is some allocations more.
struct Members(Vec<(Cow<'static, str>, Value)>);

impl Members {
    fn new() -> Self {
        Self(Vec::with_capacity(16))
    }

    /// In the place of what has this name, if anything has.
    fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }
}

impl Visit for Members {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}"));
    }
}

/// What `happen` logs: for tests of whatever logs.
#[cfg(test)]
pub(crate) fn logged(format: LogFormat, filter: &str, happen: impl FnOnce()) -> String {
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no test panicked with it").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let page = Page::default();
    let writer = page.clone();
    let subscriber = Registry::default().with(layer(format, filter, false, move || writer.clone()));
    tracing::subscriber::with_default(subscriber, happen);
    let bytes = page.0.lock().expect("no test panicked with it").clone();
    String::from_utf8(bytes).expect("UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_that_of_who_reads_unless_it_is_set() {
        let set = |format| LogSettings { format, filter: String::new() };
        assert_eq!(format_of(&set(None), true), LogFormat::Text);
        assert_eq!(format_of(&set(None), false), LogFormat::Json);
        assert_eq!(format_of(&set(Some(LogFormat::Json)), true), LogFormat::Json);
        assert_eq!(format_of(&set(Some(LogFormat::Text)), false), LogFormat::Text);
    }

    #[test]
    fn a_json_line_is_one_flat_object_with_the_fields_of_its_spans() {
        let text = logged(LogFormat::Json, "info", || {
            RequestName::from("r\"1").within(|| {
                let outer = tracing::info_span!("sale", status = tracing::field::Empty);
                let _entered = outer.enter();
                outer.record("status", 201);
                let inner = tracing::info_span!("order", order_id = 1);
                let _entered = inner.enter();
                tracing::info!(order_id = 12, paid = true, amount = 99.5, reason = ?Some("late"), level = "x", "an order\nwas made");
            });
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("one object");
        let timestamp = line.get("timestamp").and_then(Value::as_str).expect("a time");
        assert!(timestamp.ends_with('Z') && timestamp.contains('T'), "{timestamp}");
        for (name, value) in [
            ("level", Value::from("INFO")),
            ("message", "an order\nwas made".into()),
            ("request_id", "r\"1".into()),
            ("status", 201.into()),
            ("order_id", 12.into()),
            ("paid", true.into()),
            ("amount", 99.5.into()),
            ("reason", "Some(\"late\")".into()),
        ] {
            assert_eq!(line.get(name), Some(&value), "{name} in {text}");
        }
        assert!(text.starts_with("{\"timestamp\":"), "{text}");
    }

    #[test]
    fn a_text_line_is_for_people_and_the_filter_holds() {
        let text = logged(LogFormat::Text, "warn", || {
            tracing::info!("not this");
            RequestName::from("r1").within(|| tracing::warn!(product_id = 7, "this"));
        });
        assert!(!text.contains("not this"), "{text}");
        assert!(text.contains("WARN") && text.contains("this product_id=7"), "{text}");
        assert!(text.ends_with("request_id=r1\n"), "{text}");
    }

    #[test]
    fn a_span_for_traces_leads_to_the_one_it_is_in_and_shows_nothing_of_itself() {
        for (format, filter) in
            [(LogFormat::Json, "info"), (LogFormat::Text, "info"), (LogFormat::Json, "holdfast::telemetry=info")]
        {
            let text = logged(format, filter, || {
                let logged = tracing::info_span!("suspect", trace_id = "the-one-to-find");
                let recorded = tracing::info_span!(target: TARGET, parent: &logged, "quarantine", otel.kind = "internal", url.path = "/secret");
                // Only this one is entered.
                let _entered = recorded.enter();
                tracing::info!("an order was made");
            });
            assert!(text.contains("the-one-to-find") && text.contains("an order was made"), "{text}");
            assert!(!text.contains("otel.kind") && !text.contains("/secret"), "{text}");
        }
    }
}
