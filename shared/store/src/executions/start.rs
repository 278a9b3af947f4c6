//! Everything that a run needs to know, read in one statement: what is asked, by whom, what was
//! said before, and what an earlier attempt has done already.

use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_types::{
    AgentId, ExecutionId, LlmCallId, MessageId, ProjectId, SessionId, TenantId, ToolCallId,
    TraceContext, TriggerId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::lanes::{self, Lease};
use crate::messages::trace_from_row;

/// What follows the selection of executions, as `started`, in the statements that read runs.
///
/// The past of a session is found by its index and cut by count before it is measured, so that it
/// costs the same however long the session is.
macro_rules! select_run {
    () => {
        "\
SELECT started.id, started.tenant_id, started.trigger_id, started.agent_id, started.session_id,
       started.message_ids, started.attempt_count, started.created_at, started.depth,
       started.timeout_ms, started.events_due AS is_untold,
       started.cancel_requested_at IS NOT NULL OR parent.finished_at IS NOT NULL
           AS cancel_requested,
       started.trace_context, started.span_id,
       -- One message is in the trace of its execution; several are linked with it.
       CASE WHEN started.trace_context IS NOT NULL AND cardinality(started.message_ids) > 1
            THEN ARRAY(SELECT m.trace_context FROM messages m
                        WHERE m.id = ANY (started.message_ids) AND m.trace_context IS NOT NULL
                        ORDER BY m.seq)
       END AS message_traces,
       started.supersede_count, started.agent_version, started.parent_execution_id,
       started.parent_tool_call_id, parent.session_id AS parent_session_id,
       coalesce((extract(epoch FROM now() - started.started_at) * 1000)::bigint
                - started.paused_ms, 0) AS running_ms,
       triggers.trigger_config, coalesce(sessions.status, 'active') AS session_status,
       versions.name AS agent_name, versions.spec AS agent_spec,
       versions.created_at AS agent_version_created_at,
       agents.project_id, agents.external_id AS agent_external_id,
       agents.labels AS agent_labels, agents.created_at AS agent_created_at,
       EXISTS (SELECT FROM event_endpoints e
                WHERE e.tenant_id = started.tenant_id AND e.deleted_at IS NULL
                  AND (e.agent_id IS NULL OR e.agent_id = started.agent_id)) AS has_endpoint,
       win.sequence AS window_sequence, win.summary AS window_summary,
       CASE WHEN win.execution_id = started.id THEN win.outputs_from END AS outputs_from,
       -- Of a run that has ended, as it was told then: free of hidden values.
       coalesce(CASE WHEN started.finished_at IS NOT NULL THEN started.normalized_query END,
                started.input,
                (SELECT string_agg(m.text, started.separator ORDER BY m.seq)
                   FROM messages m WHERE m.id = ANY (started.message_ids))) AS input,
       context.id AS context_from, context.context, context.accepted_at,
       -- Nobody is told of it who only repeats what was said last.
       CASE WHEN versions.spec ->> 'model' <> 'builtin.echo'
              OR versions.spec -> 'variations' <> '[]'
            THEN
       (SELECT json_agg(json_build_array(turn.seq, turn.normalized_query, turn.agent_response)
                        ORDER BY turn.seq)
          FROM (SELECT seq, normalized_query, agent_response,
                       sum(octet_length(normalized_query)
                           + coalesce(octet_length(agent_response), 0))
                           OVER (ORDER BY seq DESC) AS bytes
                  FROM (SELECT seq, normalized_query, agent_response FROM executions past
                         WHERE past.session_id = started.session_id AND past.seq < started.seq
                           AND past.seq >= coalesce(win.from_seq, 0)
                           AND (past.result = 'success'
                                OR past.error_code = 'session_handed_off')
                           AND past.normalized_query IS NOT NULL
                         ORDER BY past.seq DESC LIMIT $2) recent) turn
         WHERE turn.bytes <= $3) END AS history,
       (SELECT json_agg(json_build_object(
                   'id', c.id, 'number', c.number, 'purpose', c.purpose,
                   'iteration', c.iteration, 'window_sequence', c.window_sequence,
                   'response', c.response, 'input_tokens', c.input_tokens,
                   'output_tokens', c.output_tokens, 'cost_usd', c.cost_usd,
                   'created_at', c.created_at) ORDER BY c.number)
          FROM llm_calls c WHERE c.execution_id = started.id) AS calls,
       (SELECT json_agg(json_build_object(
                   'id', c.id, 'iteration', c.iteration, 'call_index', c.call_index,
                   'tool_updated_at', c.tool_updated_at, 'status', c.status, 'output', c.output,
                   'error_message', c.error_message, 'memo', c.memo,
                   'child_execution_id', c.child_execution_id,
                   'child_tokens', child.tokens_used, 'child_cost_usd', child.cost_usd,
                   'created_at', c.created_at,
                   'decided_at', c.decided_at, 'finished_at', c.finished_at,
                   'expired', c.status = 'waiting_for_approval'
                              AND c.approval_expires_at <= now())
                   ORDER BY c.iteration, c.call_index)
          FROM tool_calls c LEFT JOIN executions child ON child.id = c.child_execution_id
         WHERE c.execution_id = started.id) AS tool_calls,
       (SELECT json_agg(json_build_object(
                   'sequence', w.sequence, 'strategies', w.strategies, 'summary', w.summary,
                   'n_messages', w.n_messages, 'prompt_tokens', w.prompt_tokens,
                   'completion_tokens', w.completion_tokens, 'created_at', w.created_at)
                   ORDER BY w.sequence)
          FROM context_windows w
         WHERE w.session_id = started.session_id AND w.execution_id = started.id) AS windows
  FROM started
  JOIN triggers ON triggers.id = started.trigger_id
  JOIN agents ON agents.id = started.agent_id
  JOIN agent_versions versions
    ON versions.agent_id = started.agent_id AND versions.version = started.agent_version
  LEFT JOIN sessions ON sessions.id = started.session_id
  LEFT JOIN executions parent ON parent.id = started.parent_execution_id
  LEFT JOIN LATERAL (SELECT * FROM context_windows w WHERE w.session_id = started.session_id
                      ORDER BY w.sequence DESC LIMIT 1) win ON true
  LEFT JOIN messages context
    ON context.id = coalesce(started.context_from,
                             started.message_ids[cardinality(started.message_ids)])"
    };
}

/// Marks the heads of leased lanes as running, and reads all that a run needs. What they waited
/// for people is taken off their time; they keep the version of the agent that they began with.
/// The time of a sub-agent begins when it is asked, since somebody waits for it.
pub(super) const START: &str = concat!(
    "\
-- executions.start
WITH started AS (
    UPDATE executions
       SET status = 'running', attempt_count = attempt_count + 1,
           started_at = coalesce(started_at,
                                 CASE WHEN parent_execution_id IS NULL THEN now()
                                      ELSE least(now(), executions.created_at) END),
           agent_version = coalesce(agent_version, agents.version),
           paused_ms = paused_ms + coalesce(
               (extract(epoch FROM now() - paused_at) * 1000)::bigint, 0),
           paused_at = NULL,
           span_id = CASE WHEN trace_context IS NOT NULL
                          THEN right(replace(gen_random_uuid()::text, '-', ''), 16) END
      FROM unnest($1::uuid[]) AS lane (session_id), agents
     WHERE executions.id = (SELECT head.id FROM executions head
                             WHERE head.session_id = lane.session_id
                               AND head.finished_at IS NULL
                             ORDER BY head.seq LIMIT 1)
       AND agents.id = executions.agent_id
    RETURNING executions.*
)
",
    select_run!()
);

/// Reads runs again that have ended.
pub(super) const REPLAY: &str = concat!(
    "\
-- executions.replay
WITH started AS (
    SELECT * FROM executions WHERE id = ANY ($1) AND agent_version IS NOT NULL
)
",
    select_run!()
);

/// An execution and the right to run it.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The right.
    pub lease: Lease,
    /// Which execution.
    pub execution_id: ExecutionId,
    /// Whose.
    pub tenant_id: TenantId,
    /// The way its messages came in.
    pub trigger_id: TriggerId,
    /// Who answers.
    pub agent_id: AgentId,
    /// What was made of it when the execution began.
    pub agent: ClaimedAgent,
    /// Whose conversation.
    pub session_id: SessionId,
    /// Whether it may run.
    pub session_status: SessionStatus,
    /// How often it was claimed, this time included; waiting does not count.
    pub attempt: u32,
    /// How long ago it was claimed for the first time, without what it waited for people.
    pub running_for: Duration,
    /// Whether somebody wants it to end, or nobody waits for it any more.
    pub cancel_requested: bool,
    /// Whether what happened in it is not known to be told.
    pub is_untold: bool,
    /// Whether somewhere there is an endpoint that the agent's events have to be sent to.
    pub has_endpoint: bool,
    /// How often its messages were taken over from a run that they interrupted.
    pub supersede_count: u32,
    /// The call that it answers, if it is a sub-agent's.
    pub parent: Option<Parent>,
    /// How many agents stand above it.
    pub depth: u32,
    /// What it has in place of the trigger's time, as a sub-agent.
    pub timeout: Option<Duration>,
    /// The texts of its messages, joined.
    pub input: String,
    /// How many messages that are.
    pub n_messages: u32,
    /// The context of its last message, and which that is.
    pub context: Map<String, Value>,
    /// The message whose context it is.
    pub context_from: Option<MessageId>,
    /// The trigger's configuration, as it is now.
    pub trigger_config: Value,
    /// What it is told of the session's past.
    pub window: Window,
    /// The last exchanges of the session, oldest first.
    pub history: Vec<Turn>,
    /// The model calls that an earlier attempt made, in order.
    pub calls: Vec<PastCall>,
    /// The tool calls that an earlier attempt was asked for, in order.
    pub tool_calls: Vec<PastToolCall>,
    /// The windows that an earlier attempt began, in order.
    pub windows: Vec<PastWindow>,
    /// Its place in a trace, if that is recorded.
    pub trace: Option<RunTrace>,
    /// When the first message was admitted.
    pub created_at: DateTime<Utc>,
    /// When the message whose context it has was accepted, by the clock of whoever did.
    pub accepted_at: Option<DateTime<Utc>>,
}

/// The place of an attempt in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunTrace {
    /// Where the execution was asked for.
    pub cause: TraceContext,
    /// The id that the span of this attempt has: what follows from it is below it.
    pub span_id: Option<String>,
    /// Where its messages were published, if they are several.
    pub messages: Vec<TraceContext>,
}

/// An agent, as of one version.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedAgent {
    /// What people call it.
    pub name: String,
    /// Which version.
    pub version: u32,
    /// What it is made of: an `AgentSpec`.
    pub spec: Value,
    /// Where it belongs.
    pub project_id: ProjectId,
    /// What its owner's system calls it.
    pub external_id: Option<String>,
    /// Its labels.
    pub labels: Value,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When this version was.
    pub version_created_at: DateTime<Utc>,
}

/// What a session's executions may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// Run.
    Active,
    /// Wait.
    Suspended,
    /// End: a person answers.
    HandedOff,
}

/// The call of a sub-agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Who called.
    pub execution_id: ExecutionId,
    /// Whose lane that is in.
    pub session_id: SessionId,
    /// The call.
    pub tool_call_id: ToolCallId,
}

/// How a session's past is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its place among the session's windows, from 1.
    pub sequence: u32,
    /// What happened before the history.
    pub summary: Option<String>,
    /// Tool outputs of this execution's earlier iterations are left out.
    pub outputs_from: u32,
}

/// A window that an execution began.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PastWindow {
    /// Its place among the session's windows.
    pub sequence: u32,
    /// What was done to make it shorter than the one before.
    pub strategies: Vec<String>,
    /// What happened before its history.
    pub summary: Option<String>,
    /// How many messages were left out or summarised.
    pub n_messages: u32,
    /// How large the window before it had become, in tokens.
    pub prompt_tokens: Option<i64>,
    /// What the model had said in it, in tokens.
    pub completion_tokens: Option<i64>,
    /// When it began.
    pub created_at: DateTime<Utc>,
}

/// One earlier exchange of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its place in the session.
    pub seq: i64,
    /// What the agent was asked.
    pub query: String,
    /// What it answered; `None` if a person did.
    pub response: Option<String>,
}

/// What a model call was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A step of the loop.
    Turn,
    /// It shortened the past.
    Summary,
}

/// A model call that is in the journal.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PastCall {
    /// Which.
    pub id: LlmCallId,
    /// Its place among all calls of the execution, from 1.
    pub number: u32,
    /// What it was for.
    pub purpose: Purpose,
    /// Which turn of the loop it was, from 1.
    pub iteration: u32,
    /// The window it was made in.
    pub window_sequence: u32,
    /// What the model said, as the runner wrote it.
    #[serde(default)]
    pub response: Value,
    /// What the provider counted.
    pub input_tokens: Option<i64>,
    /// What the provider counted.
    pub output_tokens: Option<i64>,
    /// What it cost.
    pub cost_usd: Option<f64>,
    /// When it began.
    pub created_at: DateTime<Utc>,
}

/// Where a tool call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolCallStatus {
    /// To be made.
    Requested,
    /// To be approved or denied.
    WaitingForApproval,
    /// To be made.
    Approved,
    /// Not to be made.
    Denied,
    /// A sub-agent is at it.
    Delegated,
    /// Made.
    Success,
    /// Made, or refused.
    Error,
}

impl ToolCallStatus {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::WaitingForApproval => "waiting_for_approval",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Delegated => "delegated",
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

/// A tool call that is in the journal.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PastToolCall {
    /// Which.
    pub id: ToolCallId,
    /// The turn in which the model asked for it.
    pub iteration: u32,
    /// Its place in that turn, from 0.
    pub call_index: u32,
    /// When its tool was last changed, at the time when it was asked for; `None` if there is no
    /// such tool.
    pub tool_updated_at: Option<DateTime<Utc>>,
    /// Where it stands.
    pub status: ToolCallStatus,
    /// What the model is told of it, once it is made.
    pub output: Option<String>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// What the person who decided on it says.
    pub memo: Option<String>,
    /// The sub-agent's execution.
    pub child_execution_id: Option<ExecutionId>,
    /// What the sub-agent's execution has used, once it has ended.
    pub child_tokens: Option<i64>,
    /// What that cost.
    pub child_cost_usd: Option<f64>,
    /// When the model asked for it.
    pub created_at: DateTime<Utc>,
    /// When somebody decided on it.
    pub decided_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Whether it waits for an approval that cannot come any more.
    pub expired: bool,
}

/// How much of a session's past an execution is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// How many exchanges, at most.
    pub turns: u32,
    /// How many bytes of text, at most; older exchanges are left out first.
    pub bytes: u32,
}

impl Claimed {
    pub(super) fn from_row(row: &Row, leases: &[Lease]) -> Option<Self> {
        let session_id = SessionId(row.get("session_id"));
        Some(Self::with_lease(row, lanes::lease_of(leases, session_id)?))
    }

    pub(super) fn with_lease(row: &Row, lease: Lease) -> Self {
        let message_ids: Vec<Uuid> = row.get("message_ids");
        let context: Option<Json<Map<String, Value>>> = row.get("context");
        let timeout: Option<i64> = row.get("timeout_ms");
        Self {
            lease,
            execution_id: ExecutionId(row.get("id")),
            tenant_id: TenantId(row.get("tenant_id")),
            trigger_id: TriggerId(row.get("trigger_id")),
            agent_id: AgentId(row.get("agent_id")),
            agent: agent_from_row(row),
            session_id: SessionId(row.get("session_id")),
            session_status: session_status(row.get("session_status")),
            attempt: natural(row.get("attempt_count")),
            running_for: millis(row.get("running_ms")),
            cancel_requested: row.get("cancel_requested"),
            is_untold: row.get("is_untold"),
            has_endpoint: row.get("has_endpoint"),
            supersede_count: natural(row.get("supersede_count")),
            parent: parent_from_row(row),
            depth: natural(row.get("depth")),
            timeout: timeout.map(millis),
            input: row.get::<_, Option<String>>("input").unwrap_or_default(),
            n_messages: u32::try_from(message_ids.len()).unwrap_or(u32::MAX),
            context: context.map(|Json(context)| context).unwrap_or_default(),
            context_from: row.get::<_, Option<Uuid>>("context_from").map(MessageId),
            trigger_config: row.get("trigger_config"),
            window: window_from_row(row),
            history: history_from_row(row),
            calls: list(row, "calls"),
            tool_calls: list(row, "tool_calls"),
            windows: list(row, "windows"),
            trace: run_trace_from_row(row),
            created_at: row.get("created_at"),
            accepted_at: row.get("accepted_at"),
        }
    }
}

fn run_trace_from_row(row: &Row) -> Option<RunTrace> {
    let cause = trace_from_row(row)?;
    let messages: Option<Vec<&str>> = row.get("message_traces");
    let messages = messages.into_iter().flatten().filter_map(TraceContext::parse).collect();
    Some(RunTrace { cause, span_id: row.get("span_id"), messages })
}

fn agent_from_row(row: &Row) -> ClaimedAgent {
    ClaimedAgent {
        name: row.get("agent_name"),
        version: natural(row.get("agent_version")),
        spec: row.get("agent_spec"),
        project_id: ProjectId(row.get("project_id")),
        external_id: row.get("agent_external_id"),
        labels: row.get("agent_labels"),
        created_at: row.get("agent_created_at"),
        version_created_at: row.get("agent_version_created_at"),
    }
}

fn parent_from_row(row: &Row) -> Option<Parent> {
    Some(Parent {
        execution_id: ExecutionId(row.get::<_, Option<Uuid>>("parent_execution_id")?),
        session_id: SessionId(row.get::<_, Option<Uuid>>("parent_session_id")?),
        tool_call_id: ToolCallId(row.get::<_, Option<Uuid>>("parent_tool_call_id")?),
    })
}

fn window_from_row(row: &Row) -> Window {
    let natural_or = |column, default| row.get::<_, Option<i32>>(column).map_or(default, natural);
    Window {
        sequence: natural_or("window_sequence", 1),
        summary: row.get("window_summary"),
        outputs_from: natural_or("outputs_from", 0),
    }
}

fn history_from_row(row: &Row) -> Vec<Turn> {
    let turns: Vec<(i64, String, Option<String>)> = list(row, "history");
    turns.into_iter().map(|(seq, query, response)| Turn { seq, query, response }).collect()
}

fn list<'r, T: Deserialize<'r> + std::fmt::Debug>(row: &'r Row, column: &str) -> Vec<T> {
    row.get::<_, Option<Json<Vec<T>>>>(column).map(|Json(items)| items).unwrap_or_default()
}

fn session_status(column: &str) -> SessionStatus {
    match column {
        "suspended" => SessionStatus::Suspended,
        "handed_off" => SessionStatus::HandedOff,
        _ => SessionStatus::Active,
    }
}

fn natural(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

fn millis(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or_default())
}
