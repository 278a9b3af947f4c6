//! What a `trigger_config` looks like, in JSON Schema (draft 2020-12): for the API's document, for
//! editors, and for whoever writes configurations by machine.
//!
//! [`TriggerConfig::parse`](super::TriggerConfig::parse) judges; this describes, and the tests hold
//! one against the other. Whatever is accepted fits the schema. What fits may still be refused for
//! what a schema cannot say, or not well:
//!
//! * what an expression, a path, a template, a pattern, an address or a schema within the
//!   configuration says, and limits of them that are counted in bytes, nodes or levels;
//! * what one part needs of another: a channel's secret, which may be left out if `auth` checks
//!   something else; somebody who can be told apart, for `sender_access` and `rate_limit`; names
//!   of `context_mapping` in templates; headers that are set twice; a pause that is longer than
//!   the longest.

mod callback;
mod channel;
mod db_event;
mod email;
mod generic;
mod inbound;
mod pieces;
mod schedule;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::TriggerType;
use pieces::{about, boolean, choice, integer, object, one_of, or, text};

/// The longest path, in characters; it is counted in bytes.
const MAX_PATH: usize = 512;

/// The JSON Schema of a `trigger_config`, whatever the type of its trigger.
pub fn config_schema() -> Value {
    one_of(
        "How a trigger takes messages, and what comes of them. One that is no webhook's has an \
         object that is called like its type.",
        TriggerType::ALL.map(config_schema_of),
    )
}

/// The JSON Schema of the `trigger_config` of a trigger of this type.
pub fn config_schema_of(trigger_type: TriggerType) -> Value {
    let mut schema = match trigger_type {
        TriggerType::Webhook => webhook(),
        TriggerType::Schedule => source(trigger_type, schedule::schema()),
        TriggerType::DbEvent => source(trigger_type, db_event::schema()),
        TriggerType::Email => email(),
    };
    schema["title"] = trigger_type.as_str().into();
    schema
}

fn webhook() -> Value {
    object(
        &[],
        [
            ("channel", channel::schema()),
            ("auth", inbound::auth()),
            ("query_extraction", inbound::query_extraction()),
            ("context_mapping", inbound::context_mapping()),
            ("session_strategy", inbound::session_strategy()),
            ("session", inbound::session()),
            ("response_adapter", inbound::response_adapter()),
            ("idempotency", inbound::idempotency()),
            ("sender_access", inbound::sender_access()),
            ("rate_limit", inbound::rate_limit()),
            ("timeout_ms", about(integer(1_000, 300_000), "How long a sender waits.")),
            ("execution", execution()),
        ],
    )
}

/// Of a trigger that nobody sends requests to.
fn source(trigger_type: TriggerType, source: Value) -> Value {
    let name = trigger_type.as_str();
    object(
        &[name],
        [
            (name, source),
            ("query_extraction", inbound::query_extraction()),
            ("context_mapping", inbound::context_mapping()),
            ("session_strategy", inbound::session_strategy()),
            ("session", inbound::session()),
            ("execution", execution_that_nobody_waits_for()),
        ],
    )
}

fn email() -> Value {
    let mut schema = source(TriggerType::Email, email::schema());
    let of_senders = [
        ("auth", inbound::auth()),
        ("sender_access", inbound::sender_access()),
        ("rate_limit", inbound::rate_limit()),
    ];
    for (name, field) in of_senders {
        schema["properties"][name] = pieces::maybe(field);
    }
    schema
}

/// The JSON Schema of a `channel` of type `generic`.
pub fn generic_channel_schema() -> Value {
    channel::described()
}

/// In `sync`, the webhook's answer is the agent's, so there is nothing to call back with.
fn execution() -> Value {
    let mode = |word: &str| json!({ "type": "string", "enum": [word] });
    let off = json!({
        "type": "object",
        "properties": { "enabled": { "type": ["boolean", "null"], "enum": [false, null] } },
    });
    let buffer_off = json!({ "allOf": [message_buffer(), off] });
    let asynchronous = object(
        &["mode"],
        [
            ("mode", mode("async")),
            ("timeout_ms", agent_timeout()),
            ("ack_response", ack_response()),
            ("message_buffer", message_buffer()),
            ("split_config", split_config()),
            ("callback", callback::schema()),
        ],
    );
    let synchronous = object(
        &[],
        [
            ("mode", or(mode("sync"), "sync")),
            ("timeout_ms", agent_timeout()),
            ("ack_response", json!({ "type": "null" })),
            ("message_buffer", buffer_off),
            ("split_config", split_config()),
            ("callback", json!({ "type": "null" })),
        ],
    );
    one_of("How the agent runs, and how its answer travels.", [asynchronous, synchronous])
}

fn execution_that_nobody_waits_for() -> Value {
    let execution = object(
        &[],
        [
            ("mode", or(choice(["async"]), "async")),
            ("timeout_ms", agent_timeout()),
            ("message_buffer", message_buffer()),
            ("split_config", split_config()),
            ("callback", callback::schema()),
        ],
    );
    about(execution, "How the agent runs, and how its answer travels.")
}

fn agent_timeout() -> Value {
    about(integer(1_000, 600_000), "How long the agent may take.")
}

fn ack_response() -> Value {
    let content_type = json!({ "type": "string", "pattern": "^[ -~]*/[ -~]*$" });
    let mut content_type = about(content_type, "Its media type.");
    content_type["minLength"] = 3.into();
    content_type["maxLength"] = 128.into();
    let body = about(json!({}), "A text is sent as it is, anything else as JSON.");
    object(&[], [("body", body), ("content_type", content_type)])
}

fn message_buffer() -> Value {
    object(
        &[],
        [
            ("enabled", or(boolean(), false)),
            ("window_ms", or(integer(100, 60_000), 5_000)),
            ("max_messages", or(integer(1, 100), 10)),
            ("max_wait_ms", integer(100, 600_000)),
            ("concat_separator", or(text(0, 64), "\n")),
        ],
    )
}

fn split_config() -> Value {
    let strategies = choice(["paragraph", "sentence", "length"]);
    object(
        &[],
        [
            ("enabled", or(boolean(), false)),
            ("max_chunk_size", or(integer(100, 50_000), 1_500)),
            ("max_chunks", or(integer(1, 50), 10)),
            ("chunk_strategy", or(strategies, "paragraph")),
            ("numbering", or(boolean(), true)),
            ("inter_chunk_delay_ms", or(integer(0, 10_000), 500)),
        ],
    )
}

/// A path into a payload.
fn path() -> Value {
    text(1, MAX_PATH)
}
