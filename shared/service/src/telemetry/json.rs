//! One event, one line, one JSON object.
//!
//! `tracing_subscriber` has a JSON format too, but it writes an error without its causes, and the
//! causes are what one reads a log for.

use std::error::Error;
use std::fmt::{self, Debug, Display};

use opentelemetry::trace::TraceContextExt;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber, dispatcher};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// What logs are searched by most: on the line itself, whichever span it comes from.
const EXECUTION_ID: &str = "execution.id";

/// The format: time, level, target, the event's own fields, the fields of its spans from the
/// outermost to the innermost, the execution they are about, and the trace it belongs to.
pub(super) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Vec::with_capacity(256);
        let mut json = serde_json::Serializer::new(&mut line);
        write_event(&mut json, context, event).map_err(|_unwritable| fmt::Error)?;
        let line = String::from_utf8(line).map_err(|_unwritable| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// The fields of a span: a JSON object, written as they come.
///
/// Every span pays for it, whether anything is logged inside it or not. The format of
/// `tracing_subscriber` sorts the fields in a map first, and reads all of them again for each one
/// that is recorded later.
pub(super) struct Object;

impl<'w> FormatFields<'w> for Object {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        writer.write_str(&object_of(fields)?)
    }

    /// A field that was recorded before is there twice then; readers of JSON take the last.
    fn add_fields(&self, known: &'w mut FormattedFields<Self>, added: &Record<'_>) -> fmt::Result {
        let added = object_of(added)?;
        let known = &mut known.fields;
        if known.len() <= "{}".len() {
            *known = added;
        } else if added != "{}" {
            known.truncate(known.len() - "}".len());
            known.push(',');
            known.push_str(&added["{".len()..]);
        }
        Ok(())
    }
}

fn object_of(fields: impl RecordFields) -> Result<String, fmt::Error> {
    let mut text = Vec::with_capacity(256);
    let mut json = serde_json::Serializer::new(&mut text);
    let map = json.serialize_map(None).map_err(|_unwritable| fmt::Error)?;
    let mut written = Fields { map, failed: None };
    fields.record(&mut written);
    let ended = written.finish().and_then(SerializeMap::end);
    ended.map_err(|_unwritable| fmt::Error)?;
    String::from_utf8(text).map_err(|_unwritable| fmt::Error)
}

fn write_event<S, N>(
    json: &mut serde_json::Serializer<&mut Vec<u8>>,
    context: &FmtContext<'_, S, N>,
    event: &Event<'_>,
) -> serde_json::Result<()>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let mut map = json.serialize_map(None)?;
    map.serialize_entry("timestamp", &timestamp())?;
    map.serialize_entry("level", event.metadata().level().as_str())?;
    map.serialize_entry("target", event.metadata().target())?;

    let mut fields = Fields { map, failed: None };
    event.record(&mut fields);
    let mut map = fields.finish()?;
    let told_execution = event.metadata().fields().field(EXECUTION_ID).is_some();

    if let Some((trace, span)) = trace_of(context) {
        map.serialize_entry("trace_id", &trace)?;
        map.serialize_entry("span_id", &span)?;
    }
    let spans = spans_of(context);
    if !told_execution && let Some(execution) = spans.iter().rev().find_map(execution_of) {
        map.serialize_entry(EXECUTION_ID, execution)?;
    }
    if !spans.is_empty() {
        map.serialize_entry("spans", &spans)?;
    }
    map.end()
}

fn timestamp() -> String {
    let mut text = String::with_capacity(27);
    // Writing to a string cannot fail; a clock before 1970 leaves it empty.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

#[derive(serde::Serialize)]
struct SpanFields {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Box<RawValue>>,
}

fn spans_of<S, N>(context: &FmtContext<'_, S, N>) -> Vec<SpanFields>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let Some(scope) = context.event_scope() else { return Vec::new() };
    let spans = scope.from_root().map(|span| {
        let extensions = span.extensions();
        let text = extensions.get::<FormattedFields<N>>().map(|fields| fields.fields.clone());
        let fields = text.and_then(|text| RawValue::from_string(text).ok());
        SpanFields { name: span.name(), fields: fields.filter(|fields| fields.get() != "{}") }
    });
    spans.collect()
}

/// The execution that a span is about. Inside of texts quotes are escaped, so it is the field.
fn execution_of(span: &SpanFields) -> Option<&str> {
    let (_, value) = span.fields.as_ref()?.get().split_once("\"execution.id\":\"")?;
    value.split('"').next()
}

fn trace_of<S, N>(context: &FmtContext<'_, S, N>) -> Option<(String, String)>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let span = context.lookup_current()?.id();
    let trace = dispatcher::get_default(|dispatch| get_otel_context(&span, dispatch))?;
    let span = trace.span();
    let span = span.span_context();
    // What is not recorded is found nowhere.
    span.is_sampled().then(|| (span.trace_id().to_string(), span.span_id().to_string()))
}

/// Writes an event's fields into a map; the first failure stops the rest.
struct Fields<M: SerializeMap> {
    map: M,
    failed: Option<M::Error>,
}

impl<M: SerializeMap> Fields<M> {
    fn write(&mut self, field: &Field, value: &impl serde::Serialize) {
        if self.failed.is_none() {
            self.failed = self.map.serialize_entry(field.name(), value).err();
        }
    }

    fn finish(self) -> Result<M, M::Error> {
        self.failed.map_or(Ok(self.map), Err)
    }
}

impl<M: SerializeMap> Visit for Fields<M> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, &format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, &value);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.write(field, &format_args!("{}", Chain(error)));
    }
}

/// An error and its causes, from the outermost to the root.
struct Chain<'a>(&'a (dyn Error + 'static));

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("failed to load endpoint 7")]
    struct Outer(#[source] io::Error);

    fn logged(log: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let writer = sink.clone();
        let lines =
            fmt::layer().fmt_fields(Object).event_format(Lines).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
        let bytes = sink.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        let error = Outer(io::Error::other("connection reset"));
        let lines = logged(|| tracing::error!(error = &error as &dyn Error, "request failed"));
        assert_eq!(lines[0]["error"], "failed to load endpoint 7: connection reset");
        assert_eq!(lines[0]["level"], "ERROR");
    }

    #[test]
    fn what_a_span_learns_later_is_among_its_fields() {
        let lines = logged(|| {
            let span = tracing::info_span!("s", a = "x\"}", b = 1, c = tracing::field::Empty);
            span.record("c", "y");
            let _span = span.enter();
            let inner = tracing::info_span!("n", d = tracing::field::Empty);
            inner.record("d", true);
            let _inner = inner.enter();
            tracing::info_span!("empty").in_scope(|| tracing::info!("hello"));
        });
        let expected = serde_json::json!([
            {"name": "s", "fields": {"a": "x\"}", "b": 1, "c": "y"}},
            {"name": "n", "fields": {"d": true}},
            {"name": "empty"},
        ]);
        assert_eq!(lines[0]["spans"], expected);
    }

    #[test]
    fn the_execution_that_a_span_is_about_is_on_the_line_itself() {
        let lines = logged(|| {
            let name = "\"execution.id\":\"forged\"";
            let span = tracing::info_span!("run", name, execution.id = "e-1");
            let _span = span.enter();
            tracing::info_span!("inner", name).in_scope(|| tracing::info!("hello"));
            tracing::info!(execution.id = "e-2", "another");
        });
        assert_eq!(lines[0]["execution.id"], "e-1");
        assert_eq!(lines[1]["execution.id"], "e-2");
    }

    #[test]
    fn a_user_cannot_break_a_line() {
        let name = "x\n{\"level\":\"ERROR\"}\u{1b}[2J\r";
        let lines = logged(|| tracing::info!(sender = name, debug = ?name, "hello {name}"));
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["sender"], name);
    }

    #[test]
    fn fields_of_spans_are_on_the_line() {
        let lines = logged(|| {
            let span =
                tracing::info_span!("http.request", route = "/x", status = tracing::field::Empty);
            let _entered = span.enter();
            span.record("status", 200);
            tracing::info!(answer = 42, "done");
        });
        assert_eq!(lines[0]["answer"], 42);
        assert_eq!(lines[0]["spans"][0]["name"], "http.request");
        assert_eq!(lines[0]["spans"][0]["fields"]["route"], "/x");
        assert_eq!(lines[0]["spans"][0]["fields"]["status"], 200);
    }
}
