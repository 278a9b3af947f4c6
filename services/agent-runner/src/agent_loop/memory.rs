//! What an execution knows: the session's past, what it is asked, and its own turns so far.

use chrono::{DateTime, Utc};
use recado_store::executions::{
    Claimed, PastCall, PastToolCall, Purpose, ToolCallStatus, Turn, Window,
};
use recado_types::{ExecutionId, LlmCallId, ToolCallId};
use serde::{Deserialize, Serialize};

use super::cut;
use crate::model::{ChatMessage, Reply, ToolRequest};

/// What stands where a tool's output was left out.
const LEFT_OUT: &str = "[left out to save room]";

/// What a model said in a turn, as the journal keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// Its words.
    pub(super) text: String,
    /// The calls it wants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<ToolRequest>,
}

/// One turn of the loop in which the model wanted something done.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Which turn, from 1.
    pub(super) iteration: u32,
    /// The call of the model.
    pub(super) llm_call: LlmCallId,
    /// When that was.
    pub(super) said_at: DateTime<Utc>,
    /// The window it was made in.
    pub(super) window: u32,
    /// What it said.
    pub(super) said: Said,
    /// The calls it wants, one for each request.
    pub(super) calls: Vec<StepCall>,
}

/// A tool call of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepCall {
    pub(super) id: ToolCallId,
    pub(super) status: ToolCallStatus,
    /// When its tool was last changed, when it was asked for.
    pub(super) tool_updated_at: Option<DateTime<Utc>>,
    /// What the model is told of it.
    pub(super) output: Option<String>,
    pub(super) error: Option<String>,
    /// What the person who decided on it says.
    pub(super) memo: Option<String>,
    /// Whether it waits for an approval that cannot come any more.
    pub(super) expired: bool,
    pub(super) child: Option<ExecutionId>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) decided_at: Option<DateTime<Utc>>,
    pub(super) finished_at: Option<DateTime<Utc>>,
}

/// The journal says something that no runner writes.
#[derive(Debug, thiserror::Error)]
#[error("the journal has a model call that cannot be read")]
pub(crate) struct UnreadableJournal(#[source] serde_json::Error);

/// Everything an execution knows.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) window: Window,
    pub(super) history: Vec<Turn>,
    pub(super) input: String,
    pub(super) steps: Vec<Step>,
    /// How many model calls were made, summaries included.
    pub(super) n_llm_calls: u32,
    /// The longest output that the model is shown, in bytes.
    pub(super) max_output_bytes: usize,
}

impl Memory {
    /// What `claimed` knows, its texts seen through `redact`.
    pub(super) fn of(
        claimed: &Claimed,
        max_output_bytes: usize,
        redact: impl Fn(&str) -> String,
    ) -> Result<Self, UnreadableJournal> {
        let turns = claimed.calls.iter().filter(|call| call.purpose == Purpose::Turn);
        let steps = turns.map(|call| step_of(call, &claimed.tool_calls));
        let history = claimed.history.iter().map(|turn| Turn {
            seq: turn.seq,
            query: redact(&turn.query),
            response: turn.response.clone(),
        });
        Ok(Self {
            window: claimed.window.clone(),
            history: history.collect(),
            input: redact(&claimed.input),
            steps: steps.collect::<Result<_, _>>()?,
            n_llm_calls: claimed.calls.iter().map(|call| call.number).max().unwrap_or(0),
            max_output_bytes,
        })
    }

    /// How many turns of the loop there were.
    pub(super) fn n_iterations(&self) -> u32 {
        self.steps.last().map_or(0, |step| step.iteration)
    }

    /// How many tool calls were asked for.
    pub(super) fn n_tool_calls(&self) -> usize {
        self.steps.iter().map(|step| step.calls.len()).sum()
    }

    /// How many times other agents were called.
    pub(super) fn n_sub_agents(&self) -> usize {
        let calls = self.steps.iter().flat_map(|step| &step.calls);
        calls.filter(|call| call.child.is_some()).count()
    }

    /// How much this run has said and was told by tools.
    pub(super) fn n_bytes(&self) -> usize {
        self.steps.iter().map(Step::n_bytes).sum()
    }

    /// The turn whose calls are not all answered.
    pub(super) fn open_step(&mut self) -> Option<&mut Step> {
        self.steps.last_mut().filter(|step| !step.calls.iter().all(StepCall::is_over))
    }

    /// The answer of the agent: whatever it said on the way to it, and at last.
    pub(super) fn response(&self, last: &str) -> String {
        let said = self.steps.iter().map(|step| step.said.text.trim());
        let all: Vec<&str> = said.chain([last.trim()]).filter(|text| !text.is_empty()).collect();
        all.join("\n\n")
    }

    /// The conversation as a model reads it.
    pub(super) fn conversation(&self, system: String) -> Vec<ChatMessage> {
        let mut messages = vec![ChatMessage::System(system)];
        for turn in &self.history {
            if has_query(turn) {
                messages.push(ChatMessage::User(turn.query.clone()));
            }
            messages.extend(
                turn.response
                    .clone()
                    .map(|text| ChatMessage::Assistant { text, tool_calls: Vec::new() }),
            );
        }
        messages.push(ChatMessage::User(self.input.clone()));
        for step in &self.steps {
            messages.push(ChatMessage::Assistant {
                text: step.said.text.clone(),
                tool_calls: step.said.tool_calls.clone(),
            });
            let answers = step.said.tool_calls.iter().zip(&step.calls);
            messages.extend(answers.map(|(request, call)| self.answer(step, request, call)));
        }
        messages
    }

    fn answer(&self, step: &Step, request: &ToolRequest, call: &StepCall) -> ChatMessage {
        let (content, is_error) = call.told();
        let is_left_out =
            step.iteration < self.window.outputs_from && content.len() > LEFT_OUT.len();
        let content = if is_left_out {
            LEFT_OUT.to_owned()
        } else {
            cut(&content, self.max_output_bytes).into_owned()
        };
        ChatMessage::Tool {
            call_id: request.id.clone(),
            name: request.name.clone(),
            content,
            is_error,
        }
    }
}

impl Step {
    pub(super) fn n_bytes(&self) -> usize {
        let asked: usize = self.said.tool_calls.iter().map(|call| call.arguments.len()).sum();
        let told: usize =
            self.calls.iter().filter_map(|call| call.output.as_ref()).map(String::len).sum();
        self.said.text.len() + asked + told
    }
}

impl StepCall {
    /// Whether nothing more happens to it.
    pub(super) fn is_over(&self) -> bool {
        match self.status {
            ToolCallStatus::Success | ToolCallStatus::Error | ToolCallStatus::Denied => true,
            ToolCallStatus::Requested
            | ToolCallStatus::WaitingForApproval
            | ToolCallStatus::Approved
            | ToolCallStatus::Delegated => false,
        }
    }

    /// Whether it is to be made now.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.status, ToolCallStatus::Requested | ToolCallStatus::Approved)
    }

    /// What the model is told of it, and whether that is bad news.
    fn told(&self) -> (String, bool) {
        let output = || self.output.clone().unwrap_or_default();
        match self.status {
            ToolCallStatus::Success => (output(), false),
            ToolCallStatus::Denied => {
                let memo = self.memo.as_deref().filter(|memo| !memo.trim().is_empty());
                let memo = memo.map(|memo| format!(": {memo}")).unwrap_or_default();
                (format!("The call was not made, since it was not approved{memo}"), true)
            }
            _ => (output(), true),
        }
    }
}

/// What a person said in the agent's place answers nothing.
pub(super) fn has_query(turn: &Turn) -> bool {
    !turn.query.is_empty() || turn.response.is_none()
}

fn step_of(call: &PastCall, tool_calls: &[PastToolCall]) -> Result<Step, UnreadableJournal> {
    let said = Said::deserialize(&call.response).map_err(UnreadableJournal)?;
    let calls = tool_calls.iter().filter(|past| past.iteration == call.iteration);
    Ok(Step {
        iteration: call.iteration,
        llm_call: call.id,
        said_at: call.created_at,
        window: call.window_sequence,
        said,
        calls: calls.map(StepCall::from).collect(),
    })
}

impl From<&PastToolCall> for StepCall {
    fn from(past: &PastToolCall) -> Self {
        Self {
            id: past.id,
            status: past.status,
            tool_updated_at: past.tool_updated_at,
            output: past.output.clone(),
            error: past.error_message.clone(),
            memo: past.memo.clone(),
            expired: past.expired,
            child: past.child_execution_id,
            created_at: past.created_at,
            decided_at: past.decided_at,
            finished_at: past.finished_at,
        }
    }
}

impl From<&Reply> for Said {
    fn from(reply: &Reply) -> Self {
        Self { text: reply.text.clone(), tool_calls: reply.tool_calls.clone() }
    }
}
