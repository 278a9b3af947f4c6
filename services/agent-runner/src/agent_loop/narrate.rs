//! What happens in a run, told as events. Told again from the journal they are the same events.

use chrono::{DateTime, Utc};
use recado_store::executions::{Claimed, PastWindow, ToolCallStatus};
use recado_toolbox::{Named, Toolbox};

use super::memory::{Memory, Step, StepCall};
use crate::events::{AskedCall, AskedTool, Compaction, Event, What};
use crate::model::ToolRequest;

/// Names the tool behind a name that a model uses.
pub(super) trait NameTools {
    fn asked(&self, name: &str) -> Option<AskedTool>;
}

/// For when it does not matter any more.
pub(super) struct NoTools;

impl NameTools for NoTools {
    fn asked(&self, _name: &str) -> Option<AskedTool> {
        None
    }
}

impl NameTools for Toolbox {
    fn asked(&self, name: &str) -> Option<AskedTool> {
        Some(match self.named(name)? {
            Named::Tool { id, name } => AskedTool::Tool { id, name: name.to_owned() },
            Named::Agent { id, name } => AskedTool::Agent { id, name: name.to_owned() },
        })
    }
}

pub(super) fn user_message(memory: &Memory, claimed: &Claimed) -> Event {
    let what = What::UserMessage { content: memory.input.clone() };
    Event { occurred_at: claimed.created_at, window: memory.window.sequence, what }
}

pub(super) fn assistant_message(step: &Step, tools: &impl NameTools) -> Event {
    let asked = |request: &ToolRequest| AskedCall {
        function: request.name.clone(),
        arguments: request.arguments.clone(),
        tool: tools.asked(&request.name),
    };
    let what = What::AssistantMessage {
        llm_call: step.llm_call,
        content: step.said.text.clone(),
        tool_calls: step.said.tool_calls.iter().map(asked).collect(),
    };
    Event { occurred_at: step.said_at, window: step.window, what }
}

/// What is known about the calls of a turn before any of them is made: those that are refused, and
/// those that wait.
pub(super) fn asked(step: &Step) -> Vec<Event> {
    let tell = |call: &StepCall| match call.status {
        ToolCallStatus::Error => Some(result(step, call)),
        ToolCallStatus::WaitingForApproval => {
            let what = What::ToolApprovalRequested { tool_call: call.id };
            Some(event(step, call.created_at, what))
        }
        _ => None,
    };
    step.calls.iter().filter_map(tell).collect()
}

/// What a person decided about a call.
pub(super) fn decision(step: &Step, call: &StepCall) -> Event {
    let what = match call.status {
        ToolCallStatus::Denied => {
            What::ToolDenied { tool_call: call.id, memo: call.memo.clone().unwrap_or_default() }
        }
        _ => What::ToolApproved { tool_call: call.id },
    };
    event(step, call.decided_at.unwrap_or(call.created_at), what)
}

/// That a call is being made.
pub(super) fn called(step: &Step, call: &StepCall) -> Vec<Event> {
    let at = call.decided_at.unwrap_or(call.created_at);
    let mut events = vec![event(step, at, What::ToolCalled { tool_call: call.id })];
    events.extend(
        call.child
            .map(|child| event(step, at, What::SubObjectiveCreated { child, created_at: at })),
    );
    events
}

/// What came of a call.
pub(super) fn result(step: &Step, call: &StepCall) -> Event {
    let content = call.output.clone().unwrap_or_default();
    let what = match call.status {
        ToolCallStatus::Success => What::ToolResult { tool_call: call.id, content },
        _ => What::ToolError { tool_call: call.id, message: call.error.clone().unwrap_or(content) },
    };
    event(step, call.finished_at.unwrap_or(call.created_at), what)
}

pub(super) fn compacted(window: &PastWindow) -> Event {
    let what = What::ContextWindowCompacted(Compaction {
        sequence: window.sequence,
        n_messages: window.n_messages.into(),
        strategies: window.strategies.clone(),
        summary: window.summary.clone(),
        prompt_tokens: window.prompt_tokens.unwrap_or(0),
        completion_tokens: window.completion_tokens.unwrap_or(0),
    });
    Event { occurred_at: window.created_at, window: window.sequence, what }
}

/// Everything that the journal says has happened: after a crash nobody knows how much of it was
/// told.
pub(super) fn everything(memory: &Memory, claimed: &Claimed, tools: &impl NameTools) -> Vec<Event> {
    let mut events = vec![user_message(memory, claimed)];
    let mut windows = claimed.windows.iter().peekable();
    for step in &memory.steps {
        while let Some(window) = windows.next_if(|window| window.sequence <= step.window) {
            events.push(compacted(window));
        }
        events.push(assistant_message(step, tools));
        events.extend(step.calls.iter().flat_map(|call| history_of(step, call)));
    }
    events.extend(windows.map(compacted));
    events
}

/// What happened while a run that has told everything waited: decisions and the answers of
/// sub-agents.
pub(super) fn meanwhile(memory: &Memory) -> Vec<Event> {
    let Some(step) = memory.steps.last() else { return Vec::new() };
    let tell = |call: &StepCall| match call.status {
        ToolCallStatus::Approved | ToolCallStatus::Denied => Some(decision(step, call)),
        ToolCallStatus::Success | ToolCallStatus::Error if call.child.is_some() => {
            Some(result(step, call))
        }
        _ => None,
    };
    step.calls.iter().filter_map(tell).collect()
}

/// All that has happened to a call.
fn history_of(step: &Step, call: &StepCall) -> Vec<Event> {
    let mut events = Vec::new();
    let was_asked = call.decided_at.is_some() || call.status == ToolCallStatus::WaitingForApproval;
    if was_asked {
        let what = What::ToolApprovalRequested { tool_call: call.id };
        events.push(event(step, call.created_at, what));
    }
    if call.decided_at.is_some() {
        events.push(decision(step, call));
    }
    match call.status {
        // A call that was refused has ended when it began.
        ToolCallStatus::Error if call.finished_at == Some(call.created_at) => {
            events.push(result(step, call));
        }
        ToolCallStatus::Success | ToolCallStatus::Error => {
            events.extend(called(step, call));
            events.push(result(step, call));
        }
        ToolCallStatus::Delegated => events.extend(called(step, call)),
        ToolCallStatus::Requested
        | ToolCallStatus::WaitingForApproval
        | ToolCallStatus::Approved
        | ToolCallStatus::Denied => {}
    }
    events
}

fn event(step: &Step, occurred_at: DateTime<Utc>, what: What) -> Event {
    Event { occurred_at, window: step.window, what }
}
