//! The types of events: what can happen in an execution that somebody outside may be told of.

/// Every type that an event can have, as it stands in routing keys and in the configuration of
/// event endpoints.
pub const EVENT_TYPES: [&str; 11] = [
    "user_message",
    "assistant_message",
    "tool_called",
    "tool_result",
    "tool_error",
    "tool_approval_requested",
    "tool_approved",
    "tool_denied",
    "context_window_compacted",
    "sub_objective_created",
    "error",
];
