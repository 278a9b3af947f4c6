//! From open messages to requests for executions.

use std::collections::BTreeMap;

use recado_messages::{ExecutionRequested, Inbound};
use recado_store::messages::OpenMessage;
use recado_types::{MessageId, SessionId, TraceContext};

/// What stands between two texts when the trigger's buffer was switched off meanwhile.
const DEFAULT_SEPARATOR: &str = "\n";

/// Open messages by session, each session's in order.
pub(crate) fn by_session(open: Vec<OpenMessage>) -> BTreeMap<SessionId, Vec<OpenMessage>> {
    let mut sessions: BTreeMap<SessionId, Vec<OpenMessage>> = BTreeMap::new();
    for message in open {
        sessions.entry(message.message.session_id).or_default().push(message);
    }
    sessions
}

/// How much text and context one request carries, at most; a single message may be larger. Brokers
/// refuse messages beyond 16 MiB, and a large one delays those behind it.
const MAX_BYTES: usize = 2 << 20;

/// The messages up to the last claimed one, in their own order.
///
/// Normally that is the claim itself. After a wipe of Redis the window may have forgotten older
/// messages for a while: they come along, or later ones would overtake them.
pub(crate) fn up_to_last_claimed(
    mut messages: Vec<OpenMessage>,
    claimed: &[MessageId],
) -> Vec<OpenMessage> {
    let last = messages.iter().rposition(|open| claimed.contains(&open.message.id));
    messages.truncate(last.map_or(0, |last| last + 1));
    messages
}

/// A request, and where its messages were published, as far as that is recorded.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) requested: ExecutionRequested,
    pub(crate) traces: Vec<TraceContext>,
}

/// As many requests as it takes for none to have more messages than a full window, or more than
/// fits a message.
pub(crate) fn requests(messages: Vec<OpenMessage>) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    let mut bytes_left = 0;
    for OpenMessage { message, message_buffer, trace } in messages {
        let bytes = bytes_of(&message);
        let most = message_buffer.as_ref().map_or(1, |buffer| buffer.policy.max_messages);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        match requests.last_mut() {
            Some(Request { requested, traces })
                if requested.messages.len() < most && bytes <= bytes_left =>
            {
                bytes_left -= bytes;
                requested.messages.push(message);
                traces.extend(trace);
            }
            _ => {
                bytes_left = MAX_BYTES.saturating_sub(bytes);
                let separator = message_buffer
                    .map_or_else(|| DEFAULT_SEPARATOR.to_owned(), |buffer| buffer.separator);
                let messages = vec![message];
                let requested = ExecutionRequested { messages, separator, reply_to: None };
                requests.push(Request { requested, traces: trace.into_iter().collect() });
            }
        }
    }
    requests
}

fn bytes_of(message: &Inbound) -> usize {
    let context = message.context.iter();
    let context = context.map(|(name, value)| name.len() + value.to_string().len());
    message.text.len() + context.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use recado_types::buffer::BufferPolicy;
    use recado_types::trigger::MessageBuffer;
    use recado_types::{TenantId, TriggerId};
    use serde_json::Map;
    use uuid::Uuid;

    use super::*;

    fn open(n: u128, session: u128, max_messages: u32) -> OpenMessage {
        let id = Uuid::from_u128;
        OpenMessage {
            message: Inbound {
                id: MessageId(id(n)),
                tenant_id: TenantId(id(1)),
                trigger_id: TriggerId(id(2)),
                session_id: SessionId(id(session)),
                accepted_at: chrono::DateTime::UNIX_EPOCH,
                text: format!("m{n}"),
                context: Map::new(),
                fingerprint: None,
                payload: None,
            },
            message_buffer: Some(MessageBuffer {
                policy: BufferPolicy::new(1_000, max_messages, None),
                separator: " / ".into(),
            }),
            trace: None,
        }
    }

    #[test]
    fn requests_are_as_large_as_a_full_window() {
        let messages = (0..5).map(|n| open(n, 7, 2)).collect();
        let requests = requests(messages);
        let texts: Vec<Vec<&str>> = requests
            .iter()
            .map(|request| request.requested.messages.iter().map(|m| m.text.as_str()).collect())
            .collect();
        assert_eq!(texts, [vec!["m0", "m1"], vec!["m2", "m3"], vec!["m4"]]);
        assert_eq!(requests[0].requested.separator, " / ");
    }

    #[test]
    fn a_claim_takes_what_is_in_front_of_it_and_nothing_behind() {
        let messages: Vec<_> = (0..4).map(|n| open(n, 7, 10)).collect();
        let ids = [MessageId(Uuid::from_u128(2)), MessageId(Uuid::from_u128(1))];
        let taken = up_to_last_claimed(messages.clone(), &ids);
        let texts: Vec<&str> = taken.iter().map(|open| open.message.text.as_str()).collect();
        assert_eq!(texts, ["m0", "m1", "m2"], "in their own order, not the claim's");
        assert!(up_to_last_claimed(messages, &[MessageId(Uuid::from_u128(9))]).is_empty());
    }

    #[test]
    fn nothing_open_is_nothing_to_request() {
        assert!(requests(Vec::new()).is_empty());
    }

    #[test]
    fn a_request_is_bounded_in_bytes_too() {
        let messages = (0..5).map(|n| {
            let mut large = open(n, 7, 10);
            large.message.text = "x".repeat(MAX_BYTES / 2);
            large
        });
        let sizes: Vec<usize> =
            requests(messages.collect()).iter().map(|it| it.requested.messages.len()).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }
}
