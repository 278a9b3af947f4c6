//! Another agent as a tool.

use serde_json::{Value, json};

use crate::AgentId;
use crate::shape::ObjectReader;

/// An agent that others may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentToolSpec {
    /// Which.
    pub agent_id: AgentId,
}

impl AgentToolSpec {
    pub(super) fn read(fields: &mut ObjectReader<'_>) -> Option<Self> {
        let id = fields.required_string("agent_id", 1..=64)?;
        let parsed = id.parse().map_err(|_not_shown| "must be the id of an agent");
        Some(Self { agent_id: fields.accept("agent_id", parsed)? })
    }

    /// What it is called with: `input`, a text.
    pub fn parameters() -> Value {
        json!({
            "type": "object",
            "properties": {
                "input": {"type": "string", "description": "What to ask, with all it takes to answer."},
            },
            "required": ["input"],
            "additionalProperties": false,
        })
    }
}
