//! Log lines.
//!
//! ```text
//!   {"ts":"2026-01-02T03:04:05.000006Z","level":"WARN","target":"headworks::web","msg":"…","request_id":"…"}
//!   03:04:05.000 WARN  headworks::web  …  request_id=…
//! ```
//!
//! Fields of an event come first, then those of the spans around it, innermost first; of equal names the first wins.

pub use crate::config::Format;

use super::terminal::{escape, json_string};
use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// What the pools of the store say of each single connection while a server is away: those who use the store report that.
const OF_EACH_CONNECTION: [&str; 3] = ["sqlx::postgres::notice", "sqlx_core::pool", "sqlx::pool"];

/// Starts logging to standard error for the whole process, panics included.
///
/// `level` applies to headworks; libraries log from `warn` up, pools of connections with `debug` only.
///
/// # Errors
/// When logging was started before.
pub fn start(level: LevelFilter, format: Format) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    let json = match format {
        Format::Auto => !std::io::stderr().is_terminal(),
        Format::Json => true,
        Format::Pretty => false,
    };
    tracing::subscriber::set_global_default(subscriber(level, json, std::io::stderr()))?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let said = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, said, "panicked");
    }));
    Ok(())
}

/// What [`start`] installs, with any writer: each line is one `write_all`.
pub fn subscriber<W: Write + Send + 'static>(
    level: LevelFilter,
    json: bool,
    writer: W,
) -> impl Subscriber + Send + Sync {
    let libraries = level.min(LevelFilter::WARN);
    let pool = if level >= LevelFilter::DEBUG { libraries } else { level.min(LevelFilter::ERROR) };
    let mut filter = Targets::new().with_default(libraries).with_target("headworks", level);
    filter.extend(OF_EACH_CONNECTION.map(|target| (target, pool)));
    Registry::default().with(Lines { json, writer: Mutex::new(writer) }.with_filter(filter))
}

/// Writes one line per event.
struct Lines<W> {
    json: bool,
    writer: Mutex<W>,
}

/// Fields of one span or event, in their order; text values are not escaped yet.
#[derive(Default)]
struct Fields {
    message: String,
    named: Vec<(&'static str, Value)>,
}

/// A value that JSON writes without quotes, or text.
enum Value {
    Bare(String),
    Text(String),
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match value {
            Value::Text(text) if field.name() == "message" => self.message = text,
            value => {
                self.named.retain(|(name, _)| *name != field.name());
                self.named.push((field.name(), value));
            }
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::Text(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::Text(value.to_owned()));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Bare(value.to_string()));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Bare(value.to_string()));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bare(value.to_string()));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        let text = value.to_string();
        self.put(field, if value.is_finite() { Value::Bare(text) } else { Value::Text(text) });
    }
    /// An error with everything that caused it: `a: b: c`.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let said = error.to_string();
            // Several of our errors already include their cause.
            if !text.ends_with(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        self.put(field, Value::Text(text));
    }
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Write + Send + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = if self.json { Line::json(event, &fields) } else { Line::pretty(event, &fields) };
        line.add(&fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.add(fields);
            }
        }
        let text = line.end();
        if let Ok(mut writer) = self.writer.lock() {
            // A failure to write the log cannot be logged.
            drop(writer.write_all(text.as_bytes()));
        }
    }
}

/// A line being written.
struct Line {
    json: bool,
    text: String,
    names: Vec<&'static str>,
}

impl Line {
    fn json(event: &Event<'_>, fields: &Fields) -> Self {
        let (meta, now) = (event.metadata(), crate::ids::Timestamp::now());
        let mut text =
            format!(r#"{{"ts":"{now}","level":"{}","target":"{}","msg":"#, meta.level(), meta.target());
        json_string(&fields.message, &mut text);
        Self { json: true, text, names: vec!["ts", "level", "target", "msg"] }
    }

    fn pretty(event: &Event<'_>, fields: &Fields) -> Self {
        let (meta, now) = (event.metadata(), crate::ids::Timestamp::now().to_jiff());
        let level = match *meta.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN ",
            Level::INFO => "INFO ",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "TRACE",
        };
        let text = format!(
            "{} {level} {}  {}",
            now.strftime("%H:%M:%S%.3f"),
            meta.target(),
            escape(&fields.message)
        );
        Self { json: false, text, names: vec![] }
    }

    fn add(&mut self, fields: &Fields) {
        for (name, value) in &fields.named {
            if self.names.contains(name) {
                continue;
            }
            self.names.push(name);
            self.text.extend(if self.json { [",\"", name, "\":"] } else { ["  ", name, "="] });
            match value {
                Value::Bare(value) => self.text.push_str(value),
                Value::Text(value) if self.json => json_string(value, &mut self.text),
                Value::Text(value) => self.text.push_str(&escape(value)),
            }
        }
    }

    fn end(mut self) -> String {
        self.text.push_str(if self.json { "}\n" } else { "\n" });
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::subscriber;
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use tracing::level_filters::LevelFilter;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(json: bool, run: impl FnOnce()) -> String {
        let page = Page::default();
        tracing::subscriber::with_default(subscriber(LevelFilter::INFO, json, page.clone()), run);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_json_line_carries_the_fields_of_the_event_and_of_the_spans_around_it() {
        let line = written(true, || {
            let request = tracing::info_span!("request", request_id = "r1", caller = tracing::field::Empty);
            request.record("caller", "ops");
            let _in_request = request.entered();
            let _in_job = tracing::info_span!("job", job_id = 7, attempt = 1).entered();
            tracing::info!(attempt = 2, level = "mine", "a {}", "line");
        });
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["msg"], "a line");
        assert_eq!(value["level"], "INFO");
        assert_eq!(value["request_id"], "r1");
        assert_eq!(value["caller"], "ops");
        assert_eq!(value["job_id"], 7);
        assert_eq!(value["attempt"], 2, "the innermost wins");
        assert!(value["ts"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn text_from_strangers_cannot_break_a_line_or_move_a_cursor() {
        for json in [true, false] {
            let line =
                written(json, || tracing::warn!(subject = "a\n{\"level\"\x1b[2J\u{202e}", "odd\nmail"));
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert!(!line.contains(['\x1b', '\u{202e}']), "{line:?}");
        }
    }

    #[test]
    fn an_error_is_written_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("store is unavailable")]
        struct Unavailable(#[source] std::io::Error);
        let error = Unavailable(std::io::Error::other("disk on fire"));
        let line = written(false, || {
            tracing::error!(error = &error as &dyn std::error::Error, "write failed");
        });
        assert!(line.trim_end().ends_with("error=store is unavailable: disk on fire"), "{line}");
    }

    #[test]
    fn libraries_log_from_warn_up() {
        let text = written(true, || {
            tracing::info!(target: "sqlx::query", "chatter");
            tracing::warn!(target: "sqlx::query", "slow");
            tracing::debug!("below the level");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
