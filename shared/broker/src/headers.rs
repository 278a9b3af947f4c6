//! AMQP headers: reading and writing them, and the W3C trace context in them.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::{Context, global};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Ours, on copies in the retry and dead-letter queues.
pub(crate) const REASON: &str = "recado-reason";
pub(crate) const ERROR: &str = "recado-error";
pub(crate) const QUEUE: &str = "recado-queue";
pub(crate) const ATTEMPTS: &str = "recado-attempts";

/// Set by a quorum queue: how often the message was delivered and came back before.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// Headers that say how a message came here, or where else it should go: never copied.
///
/// A copied `x-death` would make the broker see a cycle and drop the message.
fn belongs_to_the_broker(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    header.starts_with("x-death")
        || header.starts_with("x-first-death-")
        || header.starts_with("x-last-death-")
        || [DELIVERY_COUNT, "cc", "bcc"].contains(&header.as_str())
}

/// How often the message came back unacknowledged: by a crash, a lost connection, a shutdown.
pub(crate) fn times_returned(properties: &BasicProperties) -> i64 {
    integer(properties, DELIVERY_COUNT)
}

/// How often the message failed on its own and was parked for a retry.
pub(crate) fn failed_attempts(properties: &BasicProperties) -> i64 {
    integer(properties, ATTEMPTS)
}

/// A header that is a number, whatever its width; 0 if it is none, or negative.
fn integer(properties: &BasicProperties, name: &str) -> i64 {
    let value = properties.headers().as_ref().and_then(|headers| headers.inner().get(name));
    let number = match value {
        Some(AMQPValue::LongLongInt(n)) => *n,
        Some(AMQPValue::LongInt(n)) => (*n).into(),
        Some(AMQPValue::LongUInt(n)) => (*n).into(),
        Some(AMQPValue::ShortInt(n)) => (*n).into(),
        Some(AMQPValue::ShortUInt(n)) => (*n).into(),
        Some(AMQPValue::ShortShortInt(n)) => (*n).into(),
        Some(AMQPValue::ShortShortUInt(n)) => (*n).into(),
        _ => 0,
    };
    number.max(0)
}

/// The headers of a copy: the original ones that are about the message itself.
pub(crate) fn copied(properties: &BasicProperties) -> FieldTable {
    let mut copy = FieldTable::default();
    for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
        if !belongs_to_the_broker(name.as_str()) {
            copy.insert(name.clone(), value.clone());
        }
    }
    copy
}

/// Sets a header to a text.
pub(crate) fn set_text(headers: &mut FieldTable, name: &'static str, text: &str) {
    headers.insert(name.into(), AMQPValue::LongString(LongString::from(text)));
}

/// The headers of a new message: the trace it belongs to.
pub(crate) fn of_current_span() -> FieldTable {
    let mut headers = FieldTable::default();
    let context = tracing::Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut Carrier(&mut headers));
    });
    headers
}

/// The trace a message belongs to.
pub(crate) fn trace(properties: &BasicProperties) -> Context {
    let Some(headers) = properties.headers() else {
        return Context::new();
    };
    global::get_text_map_propagator(|propagator| propagator.extract(&Reader(headers)))
}

struct Carrier<'a>(&'a mut FieldTable);

impl Injector for Carrier<'_> {
    fn set(&mut self, key: &str, value: String) {
        self.0.insert(key.into(), AMQPValue::LongString(value.into()));
    }
}

struct Reader<'a>(&'a FieldTable);

impl Extractor for Reader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match self.0.inner().get(key)? {
            AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
            AMQPValue::ShortString(text) => Some(text.as_str()),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.0.inner().keys().map(ShortString::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TraceContextExt;
    use opentelemetry_sdk::propagation::TraceContextPropagator;

    use super::*;

    fn with(headers: &[(&str, AMQPValue)]) -> BasicProperties {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        BasicProperties::default().with_headers(table)
    }

    #[test]
    fn numbers_of_any_width_are_read() {
        for value in [AMQPValue::LongLongInt(3), AMQPValue::LongInt(3), AMQPValue::ShortUInt(3)] {
            assert_eq!(times_returned(&with(&[("x-delivery-count", value)])), 3);
        }
        assert_eq!(times_returned(&BasicProperties::default()), 0);
        assert_eq!(failed_attempts(&with(&[(ATTEMPTS, AMQPValue::LongInt(-3))])), 0);
        assert_eq!(failed_attempts(&with(&[(ATTEMPTS, AMQPValue::Void)])), 0);
    }

    #[test]
    fn a_copy_keeps_what_is_about_the_message() {
        let original = with(&[
            ("traceparent", AMQPValue::LongString("00-".into())),
            ("x-death", AMQPValue::Void),
            ("x-first-death-queue", AMQPValue::Void),
            ("x-delivery-count", AMQPValue::LongInt(1)),
            ("CC", AMQPValue::Void),
        ]);
        let copy = copied(&original);
        assert_eq!(
            copy.inner().keys().map(ShortString::as_str).collect::<Vec<_>>(),
            ["traceparent"]
        );
    }

    #[test]
    fn the_trace_context_is_read() {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = trace(&with(&[("traceparent", AMQPValue::LongString(parent.into()))]));
        let id = context.span().span_context().trace_id().to_string();
        assert_eq!(id, "0af7651916cd43dd8448eb211c80319c");
    }
}
