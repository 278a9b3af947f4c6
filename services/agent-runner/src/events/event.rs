//! What happens in an execution, in the words of the loop.
//!
//! An event says what happened, when, and to which row of the journal; that is all its id derives
//! from. So an event that is made again from the journal, after a crash, is the same event.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use recado_types::{
    AgentId, ContextWindowId, EventId, ExecutionId, LlmCallId, ProjectId, SessionId, TenantId,
    ToolCallId, ToolId, TriggerId,
};
use uuid::Uuid;

/// The execution in which things happen: what all of its events have in common.
#[derive(Clone, Debug)]
pub(crate) struct EventSource {
    pub(crate) tenant_id: TenantId,
    /// The project of the agent.
    pub(crate) project_id: ProjectId,
    pub(crate) trigger_id: TriggerId,
    pub(crate) session_id: SessionId,
    pub(crate) execution_id: ExecutionId,
    /// When the execution was created.
    pub(crate) created_at: DateTime<Utc>,
    /// Of a sub-agent's execution: the one that waits for it.
    pub(crate) parent: Option<ExecutionId>,
    pub(crate) agent: EventAgent,
}

/// The agent that runs, as it was when the execution began.
#[derive(Clone, Debug)]
pub(crate) struct EventAgent {
    pub(crate) id: AgentId,
    pub(crate) name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) created_at: DateTime<Utc>,
    /// The name of the form that the session got.
    pub(crate) variation: String,
    /// When the version that runs was made; its variations are as old.
    pub(crate) version_created_at: DateTime<Utc>,
    /// Whether the agent has an endpoint for its events.
    pub(crate) has_endpoint: bool,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// When it happened, as the journal has it: the same when the event is made again.
    pub(crate) occurred_at: DateTime<Utc>,
    /// The sequence of the session's context window in which it happened, from 1.
    pub(crate) window: u32,
    pub(crate) what: What,
}

/// What happened. Texts are free of hidden values and secrets already; they may be of any length.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The execution's input: one for each execution.
    UserMessage { content: String },
    /// What a model said in a turn, the last one included.
    AssistantMessage { llm_call: LlmCallId, content: String, tool_calls: Vec<AskedCall> },
    /// A tool is being called: written before the call is made.
    ToolCalled { tool_call: ToolCallId },
    /// What a tool answered.
    ToolResult { tool_call: ToolCallId, content: String },
    /// A call failed, or was refused before it was made.
    ToolError { tool_call: ToolCallId, message: String },
    /// The execution waits until somebody approves or denies the call.
    ToolApprovalRequested { tool_call: ToolCallId },
    /// Somebody approved the call.
    ToolApproved { tool_call: ToolCallId },
    /// Somebody denied the call, or nobody decided in time.
    ToolDenied { tool_call: ToolCallId, memo: String },
    /// A new window of the session's past has begun.
    ContextWindowCompacted(Compaction),
    /// A sub-agent was given something to do.
    SubObjectiveCreated { child: ExecutionId, created_at: DateTime<Utc> },
    /// The execution ended without a response: one for each execution.
    Error { code: String, message: String },
}

/// A call that a model asks for.
#[derive(Clone, Debug)]
pub(crate) struct AskedCall {
    /// The name it was asked for by.
    pub(crate) function: String,
    /// As they are shown to people.
    pub(crate) arguments: String,
    /// `None` if there is no such tool.
    pub(crate) tool: Option<AskedTool>,
}

/// What a call goes to.
#[derive(Clone, Debug)]
pub(crate) enum AskedTool {
    /// A tool over HTTP or MCP.
    Tool { id: ToolId, name: String },
    /// Another agent.
    Agent { id: AgentId, name: String },
}

/// How a session's past was shortened.
#[derive(Clone, Debug)]
pub(crate) struct Compaction {
    /// The sequence of the new window.
    pub(crate) sequence: u32,
    /// How many messages the summary stands for, or lost their tool output.
    pub(crate) n_messages: i64,
    /// `drop_tool_output`, `summarize`: in the order in which they were applied.
    pub(crate) strategies: Vec<String>,
    /// What the new window is told of the messages before it.
    pub(crate) summary: Option<String>,
    /// What the new window has used so far.
    pub(crate) prompt_tokens: i64,
    /// What the new window has produced so far.
    pub(crate) completion_tokens: i64,
}

impl What {
    /// Its name in routing keys: `tool_called`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::UserMessage { .. } => "user_message",
            Self::AssistantMessage { .. } => "assistant_message",
            Self::ToolCalled { .. } => "tool_called",
            Self::ToolResult { .. } => "tool_result",
            Self::ToolError { .. } => "tool_error",
            Self::ToolApprovalRequested { .. } => "tool_approval_requested",
            Self::ToolApproved { .. } => "tool_approved",
            Self::ToolDenied { .. } => "tool_denied",
            Self::ContextWindowCompacted(_) => "context_window_compacted",
            Self::SubObjectiveCreated { .. } => "sub_objective_created",
            Self::Error { .. } => "error",
        }
    }

    /// What it happened to: of one kind, nothing happens to a subject twice.
    fn subject(&self, source: &EventSource) -> Uuid {
        match self {
            Self::UserMessage { .. } | Self::Error { .. } => source.execution_id.0,
            Self::AssistantMessage { llm_call, .. } => llm_call.0,
            Self::ToolCalled { tool_call }
            | Self::ToolResult { tool_call, .. }
            | Self::ToolError { tool_call, .. }
            | Self::ToolApprovalRequested { tool_call }
            | Self::ToolApproved { tool_call }
            | Self::ToolDenied { tool_call, .. } => tool_call.0,
            Self::ContextWindowCompacted(compaction) => {
                ContextWindowId::derived(source.session_id, compaction.sequence).0
            }
            Self::SubObjectiveCreated { child, .. } => child.0,
        }
    }
}

impl Event {
    /// Whether it is a model's saying that wants nothing done: the end of an execution.
    pub(crate) fn is_last_word(&self) -> bool {
        matches!(&self.what, What::AssistantMessage { tool_calls, .. } if tool_calls.is_empty())
    }

    /// The same for every publication of the same event.
    pub(crate) fn id(&self, source: &EventSource) -> EventId {
        EventId::derived(source.execution_id, self.what.kind(), self.what.subject(source))
    }
}
