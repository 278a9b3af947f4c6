//! From open messages to requests for executions.

use std::collections::BTreeMap;

use recado_messages::ExecutionRequested;
use recado_store::messages::OpenMessage;
use recado_types::{MessageId, SessionId};

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

/// One request of all of `messages`; `None` of none.
pub(crate) fn request(messages: Vec<OpenMessage>) -> Option<ExecutionRequested> {
    let buffer = messages.first()?.message_buffer.as_ref();
    let separator = buffer.map_or(DEFAULT_SEPARATOR, |buffer| buffer.separator.as_str()).to_owned();
    let messages = messages.into_iter().map(|open| open.message).collect();
    Some(ExecutionRequested { messages, separator })
}

/// As many requests as it takes for none to have more messages than a full window.
pub(crate) fn requests(mut messages: Vec<OpenMessage>) -> Vec<ExecutionRequested> {
    let mut requests = Vec::new();
    while let Some(first) = messages.first() {
        let policy = first.message_buffer.as_ref().map(|buffer| buffer.policy).unwrap_or_default();
        let most = usize::try_from(policy.max_messages).unwrap_or(usize::MAX).max(1);
        let rest = messages.split_off(most.min(messages.len()));
        requests.extend(request(messages));
        messages = rest;
    }
    requests
}

/// Those of `messages` whose ids are claimed, in the order of the messages.
pub(crate) fn claimed(messages: Vec<OpenMessage>, ids: &[MessageId]) -> Vec<OpenMessage> {
    messages.into_iter().filter(|open| ids.contains(&open.message.id)).collect()
}

#[cfg(test)]
mod tests {
    use recado_messages::Inbound;
    use recado_types::buffer::BufferPolicy;
    use recado_types::trigger::MessageBuffer;
    use recado_types::{AgentId, TenantId, TriggerId};
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
                agent_id: AgentId(id(3)),
                session_id: SessionId(id(session)),
                accepted_at: chrono::DateTime::UNIX_EPOCH,
                text: format!("m{n}"),
                context: Map::new(),
            },
            message_buffer: Some(MessageBuffer {
                policy: BufferPolicy::new(1_000, max_messages, None),
                separator: " / ".into(),
            }),
        }
    }

    #[test]
    fn requests_are_as_large_as_a_full_window() {
        let messages = (0..5).map(|n| open(n, 7, 2)).collect();
        let requests = requests(messages);
        let texts: Vec<Vec<&str>> = requests
            .iter()
            .map(|request| request.messages.iter().map(|m| m.text.as_str()).collect())
            .collect();
        assert_eq!(texts, [vec!["m0", "m1"], vec!["m2", "m3"], vec!["m4"]]);
        assert_eq!(requests[0].separator, " / ");
    }

    #[test]
    fn a_claim_takes_its_own_messages_only() {
        let messages = (0..4).map(|n| open(n, 7, 10)).collect();
        let ids = [MessageId(Uuid::from_u128(2)), MessageId(Uuid::from_u128(1))];
        let taken = claimed(messages, &ids);
        let texts: Vec<&str> = taken.iter().map(|open| open.message.text.as_str()).collect();
        assert_eq!(texts, ["m1", "m2"], "in their own order, not the claim's");
    }

    #[test]
    fn nothing_open_is_nothing_to_request() {
        assert!(request(Vec::new()).is_none());
        assert!(requests(Vec::new()).is_empty());
    }
}
