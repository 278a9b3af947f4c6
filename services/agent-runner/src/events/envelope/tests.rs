//! What listeners rely on: every field of seed 002, and the examples in the documentation.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::events::fixtures::{call, events, source};

const GUIDE: &str = include_str!("../../../../../docs/events.md");

/// The full examples, by type.
const EXAMPLES: [(&str, &str); 11] = [
    ("user_message", include_str!("../../../../../docs/events/user_message.json")),
    ("assistant_message", include_str!("../../../../../docs/events/assistant_message.json")),
    ("tool_called", include_str!("../../../../../docs/events/tool_called.json")),
    ("tool_result", include_str!("../../../../../docs/events/tool_result.json")),
    ("tool_error", include_str!("../../../../../docs/events/tool_error.json")),
    (
        "tool_approval_requested",
        include_str!("../../../../../docs/events/tool_approval_requested.json"),
    ),
    ("tool_approved", include_str!("../../../../../docs/events/tool_approved.json")),
    ("tool_denied", include_str!("../../../../../docs/events/tool_denied.json")),
    (
        "sub_objective_created",
        include_str!("../../../../../docs/events/sub_objective_created.json"),
    ),
    (
        "context_window_compacted",
        include_str!("../../../../../docs/events/context_window_compacted.json"),
    ),
    ("error", include_str!("../../../../../docs/events/error.json")),
];

fn envelopes() -> Vec<Value> {
    events().iter().map(|event| of(&source(), event)).collect()
}

#[test]
fn every_kind_is_pinned_by_its_example() {
    assert_eq!(events().len(), EXAMPLES.len());
    for (event, (kind, example)) in events().iter().zip(EXAMPLES) {
        assert_eq!(event.what.kind(), kind);
        let envelope = of(&source(), event);
        let example: Value = serde_json::from_str(example).unwrap();
        assert_eq!(envelope, example, "{kind}:\n{envelope:#}");
    }
}

/// The first JSON block under a heading.
fn block_under(heading: &str) -> Value {
    let (_, section) = GUIDE.split_once(&format!("\n{heading}\n")).expect(heading);
    let (_, block) = section.split_once("```json\n").expect(heading);
    let (block, _) = block.split_once("\n```").expect(heading);
    serde_json::from_str(block).expect(heading)
}

#[test]
fn the_guide_shows_what_is_sent() {
    assert_eq!(block_under("## The envelope"), envelopes()[2]);
    for (event, envelope) in events().iter().zip(envelopes()) {
        let heading = format!("### `{}`", event.what.kind());
        assert_eq!(block_under(&heading), envelope["data"]["objectiveEvent"]["data"], "{heading}");
    }
}

// --- The tables of seed 002 ---------------------------------------------------------------------

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    /// From text to text.
    Labels,
    Texts,
    List(&'static [Field]),
    Object(&'static [Field]),
    /// One of these.
    Union(&'static [Field]),
}

type Field = (&'static str, Kind);

use Kind::{Labels, List, Number, Object, Text, Texts, Union};

const RESOURCE: &[Field] = &[
    ("id", Text),
    ("accountId", Text),
    ("createdAt", Text),
    ("name", Text),
    ("profileId", Text),
    ("workspaceId", Text),
    ("externalId", Text),
    ("labels", Labels),
];
const OPERATION: &[Field] = &[
    ("id", Text),
    ("accountId", Text),
    ("createdAt", Text),
    ("profileId", Text),
    ("workspaceId", Text),
    ("externalId", Text),
    ("labels", Labels),
];
const ACCOUNT_RESOURCE: &[Field] = &[
    ("id", Text),
    ("accountId", Text),
    ("name", Text),
    ("profileId", Text),
    ("externalId", Text),
    ("labels", Labels),
];
const PROFILE: &[Field] = &[
    ("metadata", Object(ACCOUNT_RESOURCE)),
    ("spec", Object(&[("type", Text), ("email", Text), ("name", Text)])),
];
const ASKED_CALL: &[Field] = &[
    ("arguments", Text),
    ("functionName", Text),
    ("tool", Union(&[("agent", Object(RESOURCE)), ("tool", Object(RESOURCE))])),
    // Not in the seed.
    ("toolCallId", Text),
];
const TOOL_RESULT: &[Field] = &[
    ("content", Text),
    ("toolCallId", Text),
    // Not in the seed.
    (
        "result",
        Object(&[("content", List(&[("type", Text), ("text", Object(&[("text", Text)]))]))]),
    ),
];
const WINDOW: &[Field] = &[
    ("completionTokens", Number),
    ("objectiveId", Text),
    ("previousWindowContinueInstructions", Text),
    ("promptTokens", Number),
    ("sequence", Number),
];
const TOOL_CALL: &[Field] = &[("toolCallId", Text)];
const DATA: &[Field] = &[
    ("assistantMessage", Object(&[("content", Text), ("toolCalls", List(ASKED_CALL))])),
    (
        "contextWindowCompacted",
        Object(&[
            ("messagesCompacted", Number),
            ("newContextWindow", Object(WINDOW)),
            ("strategies", Texts),
            ("summary", Text),
        ]),
    ),
    ("error", Object(&[("message", Text), ("type", Text)])),
    ("subObjectiveCreated", Object(&[("metadata", Object(OPERATION))])),
    ("toolApprovalRequested", Object(TOOL_CALL)),
    ("toolApproved", Object(TOOL_CALL)),
    ("toolCalled", Object(TOOL_CALL)),
    ("toolDenied", Object(&[("memo", Text), ("toolCallId", Text)])),
    ("toolError", Object(&[("message", Text), ("toolCallId", Text)])),
    ("toolResult", Object(TOOL_RESULT)),
    ("userMessage", Object(&[("content", Text)])),
];
const ENVELOPE: &[Field] = &[
    ("type", Text),
    ("timestamp", Text),
    (
        "data",
        Object(&[
            ("agent", Object(RESOURCE)),
            ("agentVariation", Object(RESOURCE)),
            ("objective", Object(OPERATION)),
            (
                "objectiveEvent",
                Object(&[
                    ("data", Union(DATA)),
                    ("metadata", Object(OPERATION)),
                    ("contextWindowId", Text),
                    (
                        "info",
                        Object(&[("createdBy", Object(PROFILE)), ("objective", Object(OPERATION))]),
                    ),
                ]),
            ),
        ]),
    ),
];

/// Expects that `value` is what the table says: these fields, of these types, and no other.
fn check(value: &Value, kind: Kind, path: &str) {
    match kind {
        Text => assert!(value.is_string(), "{path} is {value}"),
        Number => assert!(value.is_number(), "{path} is {value}"),
        Labels => assert!(object(value, path).values().all(Value::is_string), "{path} is {value}"),
        Texts => assert!(list(value, path).iter().all(Value::is_string), "{path} is {value}"),
        List(fields) => list(value, path).iter().for_each(|it| check(it, Object(fields), path)),
        Object(fields) => {
            let names: HashSet<&str> = object(value, path).keys().map(String::as_str).collect();
            assert_eq!(names, fields.iter().map(|(name, _)| *name).collect(), "{path}");
            for (name, kind) in fields {
                check(&value[name], *kind, &format!("{path}.{name}"));
            }
        }
        Union(choices) => {
            let object = object(value, path);
            let (name, kind) = choices
                .iter()
                .find(|(name, _)| object.contains_key(*name))
                .unwrap_or_else(|| panic!("{path} is {value}"));
            check(&object[*name], *kind, &format!("{path}.{name}"));
            let others = object.iter().filter(|(key, _)| key != name);
            for (key, other) in others {
                assert_eq!((key.as_str(), other.as_str()), ("type", Some(*name)), "{path}");
            }
        }
    }
}

fn object<'v>(value: &'v Value, path: &str) -> &'v Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{path} is {value}"))
}

fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    value.as_array().unwrap_or_else(|| panic!("{path} is {value}"))
}

#[test]
fn every_field_of_the_tables_is_there() {
    for envelope in envelopes() {
        check(&envelope, Object(ENVELOPE), "");
    }
}

#[test]
fn what_happened_is_named_in_both_ways() {
    for (event, envelope) in events().iter().zip(envelopes()) {
        assert_eq!(envelope["type"], format!("objective_event.{}", event.what.kind()));
        let name = envelope["data"]["objectiveEvent"]["data"]["type"].as_str().unwrap();
        let snake: String = name
            .chars()
            .flat_map(|c| c.is_uppercase().then_some('_').into_iter().chain(c.to_lowercase()))
            .collect();
        assert_eq!(snake, event.what.kind());
    }
}

// --- Ids ----------------------------------------------------------------------------------------

#[test]
fn every_event_has_an_id_of_its_own_that_lasts() {
    let ids = || events().iter().map(|event| event.id(&source())).collect::<Vec<_>>();
    assert_eq!(ids(), ids());
    assert_eq!(ids().iter().collect::<HashSet<_>>().len(), events().len());
}

#[test]
fn a_tool_call_is_named_as_the_api_takes_it() {
    let envelope = &envelopes()[2];
    let id = &envelope["data"]["objectiveEvent"]["data"]["toolCalled"]["toolCallId"];
    assert_eq!(id.as_str().unwrap().parse(), Ok(call(0)));
    let objective = envelope["data"]["objective"]["id"].as_str().unwrap();
    assert_eq!(objective.parse(), Ok(source().execution_id));
}

#[test]
fn what_is_asked_for_is_named_as_what_comes_of_it() {
    let data = |n: usize| envelopes()[n]["data"]["objectiveEvent"]["data"].clone();
    let asked = &data(1)["assistantMessage"]["toolCalls"][0]["toolCallId"];
    assert_eq!(asked, &data(2)["toolCalled"]["toolCallId"]);
}

#[test]
fn a_sub_agents_execution_names_its_parent() {
    let parent = ExecutionId(Uuid::from_u128(7));
    let source = EventSource { parent: Some(parent), ..source() };
    let envelope = of(&source, &events()[0]);
    let labels = &envelope["data"]["objective"]["labels"];
    assert_eq!(labels["parent"], parent.prefixed().to_string());
}

// --- Limits -------------------------------------------------------------------------------------

#[test]
fn a_long_text_is_cut_and_says_so() {
    let content = "é".repeat(MAX_TEXT_BYTES);
    let shown = user_message(&content);
    let text = shown["content"].as_str().unwrap();
    assert!(text.len() < MAX_TEXT_BYTES + 100);
    assert!(text.ends_with("é… [cut: 65536 of 131072 bytes]"), "{}", &text[MAX_TEXT_BYTES..]);
}

#[test]
fn a_turn_that_asks_for_too_much_is_still_an_event() {
    let asked =
        AskedCall { function: "f".repeat(999), arguments: "\u{1}".repeat(99_999), tool: None };
    let event = Event {
        what: What::AssistantMessage {
            llm_call: LlmCallId(Uuid::nil()),
            content: "\u{1}".repeat(1 << 20),
            tool_calls: vec![asked; 2_000],
        },
        ..events().remove(0)
    };
    let envelope = of(&source(), &event);
    let message = &envelope["data"]["objectiveEvent"]["data"]["assistantMessage"];
    assert_eq!(message["toolCalls"].as_array().unwrap().len(), MAX_CALLS);
    assert_eq!(message["toolCalls"][0]["tool"], json!({}));
    let n_bytes = envelope.to_string().len();
    assert!(n_bytes < recado_broker::MAX_MESSAGE_BYTES / 2, "{n_bytes}");
}

proptest! {
    #[test]
    fn a_cut_text_begins_as_the_text_does(text in "[a-zé€😀]{0,40}", max in 0_usize..60) {
        let shown = cut(&text, max);
        let (kept, note) = shown.split_once('…').unwrap_or((&shown, ""));
        prop_assert!(text.starts_with(kept));
        prop_assert_eq!(note.is_empty(), text.len() <= max);
        prop_assert!(note.is_empty() || (kept.len() <= max && max < kept.len() + 4));
    }
}
