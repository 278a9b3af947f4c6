//! What a dead letter says about itself.
//!
//! Nothing here trusts a message: it is in a dead-letter queue because something is wrong with it,
//! and anybody who may publish can have put it there.

use chrono::{DateTime, Utc};
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::ShortString;
use recado_types::{DeadLetterId, TenantId};
use serde::{Deserialize, Serialize};

use crate::headers;
use crate::topology::Queue;

/// The longest text of a header that is shown, in characters: as long as we write them ourselves.
const TEXT_LIMIT: usize = 300;

/// A message that nobody could handle, without its body.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Derived from queue, message id and body: the same however often it is looked at. Copies of
    /// one message share it.
    pub id: DeadLetterId,
    /// The work queue that it comes from, and is redriven to.
    pub queue: &'static str,
    /// `undecodable`, `failed` or `panicked`; the broker's own word (`delivery_limit`, …) if the
    /// broker gave it up; `unknown` for what somebody else put there.
    pub reason: String,
    /// What the handler said, at most 300 characters.
    pub error: Option<String>,
    /// How often it failed before it was given up; `None` if a handler never said so.
    pub attempts: Option<i64>,
    /// How often it has come here: once, and once more for each time it was redriven.
    pub times_dead_lettered: i64,
    /// AMQP's message id.
    pub message_id: Option<String>,
    /// AMQP's type: what kind of message it is.
    pub kind: Option<String>,
    /// When it was published first, to the second.
    pub published_at: Option<DateTime<Utc>>,
    /// The length of its body.
    pub size_bytes: usize,
    /// Whose it is, if its body tells.
    pub tenant_id: Option<TenantId>,
    /// The trace that it is part of.
    pub trace_id: Option<String>,
}

impl DeadLetter {
    /// Reads what was got from the dead-letter queue of `queue`.
    pub(super) fn of(delivery: &Delivery, queue: &Queue) -> Self {
        let properties = &delivery.properties;
        let message_id = properties.message_id().as_ref().map(shown);
        let cause = Cause::of(properties, queue);
        let id = message_id.as_deref().unwrap_or_default();
        Self {
            id: DeadLetterId::derived(queue.name, id, &delivery.data),
            queue: queue.name,
            reason: cause.reason,
            error: cause.error,
            attempts: cause.attempts,
            times_dead_lettered: headers::times_redriven(properties).saturating_add(1),
            message_id,
            kind: properties.kind().as_ref().map(shown),
            published_at: properties.timestamp().and_then(instant),
            size_bytes: delivery.data.len(),
            tenant_id: tenant(&delivery.data),
            trace_id: trace_id(properties),
        }
    }
}

/// Why it is here.
struct Cause {
    reason: String,
    error: Option<String>,
    attempts: Option<i64>,
}

impl Cause {
    fn of(properties: &BasicProperties, queue: &Queue) -> Self {
        // A message that failed, was retried and then killed its consumer has both: the broker's
        // word is the last one, because our copies leave it out.
        if let Some(reason) = headers::broker_gave_up(properties, queue.name) {
            return Self { reason: cut(&reason), error: None, attempts: None };
        }
        let Some(reason) = headers::text(properties, headers::REASON) else {
            return Self { reason: "unknown".to_owned(), error: None, attempts: None };
        };
        Self {
            reason: cut(&reason),
            error: headers::text(properties, headers::ERROR).map(|error| cut(&error)),
            attempts: Some(headers::failed_attempts(properties)),
        }
    }
}

fn shown(text: &ShortString) -> String {
    text.as_str().to_owned()
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_LIMIT).collect()
}

fn instant(seconds: u64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)
}

/// The second part of a W3C `traceparent`.
fn trace_id(properties: &BasicProperties) -> Option<String> {
    let parent = headers::text(properties, "traceparent")?;
    let id = parent.split('-').nth(1)?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

/// As much of a body as tells whose it is.
#[derive(Deserialize)]
struct Owned {
    tenant_id: Option<TenantId>,
    message: Option<Part>,
    #[serde(default)]
    messages: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    tenant_id: TenantId,
}

/// The one tenant that a body names. None if it names several: then it is nobody's to see.
fn tenant(body: &[u8]) -> Option<TenantId> {
    let owned: Owned = serde_json::from_str(std::str::from_utf8(body).ok()?).ok()?;
    let parts = owned.message.into_iter().chain(owned.messages).map(|part| part.tenant_id);
    let mut named = owned.tenant_id.into_iter().chain(parts);
    let first = named.next()?;
    named.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use lapin::types::{AMQPValue, FieldTable};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::topology::INBOUND;

    fn delivery(body: &[u8], properties: BasicProperties) -> Delivery {
        let mut delivery = Delivery::mock(1, "".into(), "k".into(), false, body.to_vec());
        delivery.properties = properties;
        delivery
    }

    #[test]
    fn a_body_tells_its_owner_where_our_messages_have_it() {
        let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let of = |body: serde_json::Value| tenant(body.to_string().as_bytes()).map(|it| it.0);
        assert_eq!(of(json!({"tenant_id": ours, "x": 1})), Some(ours));
        assert_eq!(of(json!({"message": {"tenant_id": ours}, "buffer": {}})), Some(ours));
        let two = |second: Uuid| json!({"messages": [{"tenant_id": ours}, {"tenant_id": second}]});
        assert_eq!(of(two(ours)), Some(ours));
        assert_eq!(of(two(theirs)), None, "it is not for one of them alone");
        let nested = json!({"tenant_id": theirs, "message": {"tenant_id": ours}});
        assert_eq!(of(nested), None);
        for odd in [json!({}), json!([]), json!({"tenant_id": 1}), json!({"messages": [1]})] {
            assert_eq!(of(odd.clone()), None, "{odd}");
        }
        assert_eq!(tenant(b"\xff"), None);
    }

    #[test]
    fn junk_has_an_id_and_no_more() {
        let junk = DeadLetter::of(&delivery(b"\xff{", BasicProperties::default()), &INBOUND);
        assert_eq!(junk.id, DeadLetterId::derived("buffer.inbound", "", b"\xff{"));
        assert_eq!((junk.reason.as_str(), junk.size_bytes), ("unknown", 2));
        assert_eq!((junk.times_dead_lettered, junk.attempts), (1, None));
        let nothing = (junk.error, junk.message_id, junk.kind, junk.published_at);
        assert_eq!(nothing, (None, None, None, None));
    }

    #[test]
    fn what_is_on_a_copy_of_ours_is_read() {
        let mut table = FieldTable::default();
        headers::set_text(&mut table, headers::REASON, "failed");
        headers::set_text(&mut table, headers::ERROR, &"e".repeat(1_000));
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers::set_text(&mut table, "traceparent", parent);
        table.insert(headers::ATTEMPTS.into(), AMQPValue::LongLongInt(3));
        table.insert(headers::REDRIVEN.into(), AMQPValue::LongLongInt(2));
        let properties = BasicProperties::default()
            .with_message_id("m-1".into())
            .with_type("message.received".into())
            .with_timestamp(1_795_000_000)
            .with_headers(table);
        let letter = DeadLetter::of(&delivery(b"{}", properties), &INBOUND);
        assert_eq!((letter.reason.as_str(), letter.attempts), ("failed", Some(3)));
        assert_eq!(letter.error.map(|error| error.len()), Some(TEXT_LIMIT));
        assert_eq!(letter.times_dead_lettered, 3);
        assert_eq!(letter.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(letter.published_at.map(|at| at.timestamp()), Some(1_795_000_000));
        assert_eq!(letter.kind.as_deref(), Some("message.received"));
    }
}
