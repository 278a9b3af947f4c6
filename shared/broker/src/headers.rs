//! AMQP headers: reading and writing them, and the W3C trace context in them.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString};
use recado_types::TraceContext;

/// Ours, on copies in the retry and dead-letter queues.
pub(crate) const REASON: &str = "recado-reason";
pub(crate) const ERROR: &str = "recado-error";
pub(crate) const QUEUE: &str = "recado-queue";
pub(crate) const ATTEMPTS: &str = "recado-attempts";
/// W3C Trace Context, as in HTTP; not there if nothing is recorded.
const TRACE_PARENT: &str = "traceparent";
const TRACE_STATE: &str = "tracestate";

/// How often a message was taken out of a dead-letter queue and sent to work again.
pub(crate) const REDRIVEN: &str = "recado-redriven";

/// When a message was first published, in milliseconds since 1970: AMQP's own timestamp has seconds.
const PUBLISHED_MS: &str = "recado-published-ms";

/// Set by the broker on what it dead-letters: a table for each queue and reason, the last first.
const DEATHS: &str = "x-death";

/// For the broker: what it routes a message by besides its routing key (`RabbitMQ`'s sender-selected
/// distribution).
const SECOND_KEYS: &str = "CC";

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

/// How often the message was redriven.
pub(crate) fn times_redriven(properties: &BasicProperties) -> i64 {
    integer(properties, REDRIVEN)
}

/// When the message was first published, in milliseconds since 1970, if it says so: messages of
/// older versions do not, nor do those that were redriven.
pub(crate) fn published_ms(properties: &BasicProperties) -> Option<i64> {
    Some(integer(properties, PUBLISHED_MS)).filter(|milliseconds| *milliseconds > 0)
}

/// Notes when a message is published. A retry keeps it: its waiting is part of its age.
pub(crate) fn set_published_ms(headers: &mut FieldTable, milliseconds: i64) {
    headers.insert(PUBLISHED_MS.into(), AMQPValue::LongLongInt(milliseconds));
}

/// Why the broker itself took the message out of `queue`, if it did.
pub(crate) fn broker_gave_up(properties: &BasicProperties, queue: &str) -> Option<String> {
    let deaths = properties.headers().as_ref()?.inner().get(DEATHS)?.as_array()?;
    let deaths = deaths.as_slice().iter().filter_map(AMQPValue::as_field_table);
    let of_queue = |death: &&FieldTable| table_text(death, "queue").as_deref() == Some(queue);
    deaths.filter(of_queue).find_map(|death| table_text(death, "reason"))
}

/// A header that is a text.
pub(crate) fn text(properties: &BasicProperties, name: &str) -> Option<String> {
    table_text(properties.headers().as_ref()?, name)
}

fn table_text(table: &FieldTable, name: &str) -> Option<String> {
    match table.inner().get(name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
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

/// The headers of a message that goes back to work: without what was said of its failure, and
/// without the time of its publication, or the days it lay there would look like a jam.
pub(crate) fn redriven(properties: &BasicProperties) -> FieldTable {
    let mut headers = FieldTable::default();
    for (name, value) in copied(properties).inner() {
        if ![REASON, ERROR, QUEUE, ATTEMPTS, PUBLISHED_MS].contains(&name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    let times = times_redriven(properties).saturating_add(1);
    headers.insert(REDRIVEN.into(), AMQPValue::LongLongInt(times));
    headers
}

/// Sets a header to a text.
pub(crate) fn set_text(headers: &mut FieldTable, name: &'static str, text: &str) {
    headers.insert(name.into(), AMQPValue::LongString(LongString::from(text)));
}

/// Has the broker route a message by `key` too.
pub(crate) fn set_second_key(headers: &mut FieldTable, key: &'static str) {
    let keys = FieldArray::from(vec![AMQPValue::LongString(key.into())]);
    headers.insert(SECOND_KEYS.into(), AMQPValue::FieldArray(keys));
}

/// The headers of a new message: the trace it belongs to.
pub(crate) fn of_current_span() -> FieldTable {
    let mut headers = FieldTable::default();
    if let Some(context) = recado_trace::current() {
        set_text(&mut headers, TRACE_PARENT, context.parent());
        if !context.state().is_empty() {
            set_text(&mut headers, TRACE_STATE, context.state());
        }
    }
    headers
}

/// Where in a trace a message was published, if that is recorded.
pub(crate) fn trace(properties: &BasicProperties) -> Option<TraceContext> {
    let parent = text(properties, TRACE_PARENT)?;
    TraceContext::of(&parent, &text(properties, TRACE_STATE).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use lapin::types::ShortString;

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
            (PUBLISHED_MS, AMQPValue::LongLongInt(1)),
            ("x-death", AMQPValue::Void),
            ("x-first-death-queue", AMQPValue::Void),
            ("x-delivery-count", AMQPValue::LongInt(1)),
            ("CC", AMQPValue::Void),
        ]);
        let copy = copied(&original);
        assert_eq!(
            copy.inner().keys().map(ShortString::as_str).collect::<Vec<_>>(),
            [PUBLISHED_MS, "traceparent"]
        );
    }

    #[test]
    fn what_goes_back_to_work_is_told_apart_by_its_count_only() {
        let dead = with(&[
            ("traceparent", AMQPValue::LongString("00-".into())),
            (REASON, AMQPValue::LongString("failed".into())),
            (ERROR, AMQPValue::LongString("no such trigger".into())),
            (QUEUE, AMQPValue::LongString("q".into())),
            (ATTEMPTS, AMQPValue::LongLongInt(3)),
            (PUBLISHED_MS, AMQPValue::LongLongInt(1_700_000_000_000)),
            (REDRIVEN, AMQPValue::LongLongInt(1)),
            (DEATHS, AMQPValue::Void),
        ]);
        let headers = redriven(&dead);
        let names: Vec<_> = headers.inner().keys().map(ShortString::as_str).collect();
        assert_eq!(names, [REDRIVEN, "traceparent"]);
        let again = BasicProperties::default().with_headers(headers);
        assert_eq!((times_redriven(&again), failed_attempts(&again)), (2, 0));
    }

    #[test]
    fn only_a_death_in_the_queue_itself_says_why_the_broker_gave_up() {
        let death = |queue: &str, reason: &str| {
            let mut death = FieldTable::default();
            set_text(&mut death, "queue", queue);
            set_text(&mut death, "reason", reason);
            AMQPValue::FieldTable(death)
        };
        let deaths = vec![death("q", "delivery_limit"), death("q.retry.5s", "expired")];
        let dead = with(&[(DEATHS, AMQPValue::FieldArray(deaths.into()))]);
        assert_eq!(broker_gave_up(&dead, "q").as_deref(), Some("delivery_limit"));
        assert_eq!(broker_gave_up(&dead, "other"), None);
        for odd in [AMQPValue::Void, AMQPValue::FieldArray(vec![AMQPValue::Void].into())] {
            assert_eq!(broker_gave_up(&with(&[(DEATHS, odd)]), "q"), None);
        }
    }

    #[test]
    fn the_trace_context_is_read() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let with_state = with(&[
            (TRACE_PARENT, AMQPValue::LongString(parent.into())),
            (TRACE_STATE, AMQPValue::ShortString("a=1".into())),
        ]);
        assert_eq!(trace(&with_state), TraceContext::of(parent, "a=1"));
        assert_eq!(trace(&with(&[(TRACE_PARENT, AMQPValue::LongString("00-".into()))])), None);
        assert_eq!(trace(&BasicProperties::default()), None);
    }
}
