//! An execution and one event of each kind, for tests; the examples in docs/events.md are of it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use recado_types::{
    AgentId, ExecutionId, LlmCallId, ProjectId, SessionId, TenantId, ToolCallId, ToolId, TriggerId,
};
use uuid::Uuid;

use super::{AskedCall, AskedTool, Compaction, Event, EventAgent, EventSource, What};

/// A `UUIDv7` of the day before, as a clock would give it.
fn fresh(n: u128) -> Uuid {
    Uuid::from_u128(0x01a1_e930_0200_7000_8000_0000_0000_0000 | n)
}

fn moment(millis: i64) -> DateTime<Utc> {
    let start = DateTime::from_timestamp(1_795_000_000, 0).expect("the time is in range");
    start + TimeDelta::milliseconds(millis)
}

fn execution() -> ExecutionId {
    ExecutionId(Uuid::from_u128(0x3f8a_11c2_94d7_8e60_b1a5_0c9d_e2f4_7713))
}

pub(super) fn source() -> EventSource {
    EventSource {
        tenant_id: TenantId(fresh(1)),
        project_id: ProjectId(fresh(2)),
        trigger_id: TriggerId(fresh(3)),
        session_id: SessionId(Uuid::from_u128(0x77d0_5e1b_c3a9_8f42_9e08_4b6f_1d2c_a095)),
        execution_id: execution(),
        created_at: moment(0),
        parent: None,
        agent: EventAgent {
            id: AgentId(fresh(4)),
            name: "Support".into(),
            external_id: Some("support-v2".into()),
            labels: BTreeMap::from([("team".into(), "platform".into())]),
            created_at: moment(-86_400_000),
            variation: "default".into(),
            version_created_at: moment(-3_600_000),
            has_endpoint: true,
        },
    }
}

/// The first call that the model asks for in the execution.
pub(super) fn call(index: u32) -> ToolCallId {
    ToolCallId::derived(LlmCallId::derived(execution(), 1), index)
}

/// One event of each kind, in an order in which they may happen.
pub(super) fn events() -> Vec<Event> {
    let happened = vec![
        What::UserMessage { content: "Where is my order 1042?".into() },
        What::AssistantMessage {
            llm_call: LlmCallId::derived(execution(), 1),
            content: "I'll look it up.".into(),
            tool_calls: vec![
                AskedCall {
                    function: "find_order".into(),
                    arguments: r#"{"number":1042}"#.into(),
                    tool: Some(AskedTool::Tool { id: ToolId(fresh(5)), name: "find_order".into() }),
                },
                AskedCall {
                    function: "ask_logistics".into(),
                    arguments: r#"{"input":"Is the truck of order 1042 late?"}"#.into(),
                    tool: Some(AskedTool::Agent {
                        id: AgentId(fresh(6)),
                        name: "Logistics".into(),
                    }),
                },
            ],
        },
        What::ToolCalled { tool_call: call(0) },
        What::ToolResult { tool_call: call(0), content: r#"{"status":"on its way"}"#.into() },
        What::ToolError { tool_call: call(0), message: "the tool answered 503".into() },
        What::ToolApprovalRequested { tool_call: call(0) },
        What::ToolApproved { tool_call: call(0) },
        What::ToolDenied {
            tool_call: call(0),
            memo: "Ask for the customer's number first.".into(),
        },
        What::SubObjectiveCreated { child: call(1).sub_execution(), created_at: moment(900) },
        What::ContextWindowCompacted(Compaction {
            sequence: 2,
            n_messages: 38,
            strategies: vec!["drop_tool_output".into(), "summarize".into()],
            summary: Some("The customer waits for order 1042.".into()),
            prompt_tokens: 412,
            completion_tokens: 0,
        }),
        What::Error {
            code: "provider_unavailable".into(),
            message: "the provider answered 503".into(),
        },
    ];
    let at = |(n, what)| Event { occurred_at: moment(100 * n), window: 1, what };
    (1_i64..).zip(happened).map(at).collect()
}
