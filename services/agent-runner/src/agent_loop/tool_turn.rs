//! The calls of one turn: made side by side, written down as they end, told of in their order.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use recado_store::executions::{self, Delegation, ToolCallStatus, ToolResult};
use recado_toolbox::{Call, CallOutcome, Delegate, Prepared};
use tokio::time::Instant;

use super::memory::{Step, StepCall};
use super::{MAX_JOURNAL_BYTES, Run, RunError, narrate};

/// How many calls of one turn are made at a time.
const AT_ONCE: usize = 16;
/// How many results are written down in one statement.
const RECORDED_AT_ONCE: usize = 64;

/// What the model reads of a call that nobody decided about.
const EXPIRED: &str = "the approval expired";

/// What the model reads of a call whose tool was changed after somebody had looked at it.
const CHANGED: &str = "the call was approved, but its tool was changed since: ask for it again";

/// What the model reads of an output that is too much.
const NO_ROOM: &str = "[left out: the outputs of this execution have become too large]";

/// Whether a turn is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    /// Every call is answered.
    Answered,
    /// Some wait for a person or a sub-agent.
    Waiting,
}

/// The calls of a turn that are to be made now, by their place.
#[derive(Default)]
struct Due {
    to_make: Vec<(usize, Call)>,
    to_delegate: Vec<(usize, Delegate)>,
    /// With what the model is told.
    impossible: Vec<(usize, String)>,
    /// Whether some cannot be made at present: an MCP server is away, for example. They were
    /// approved, or may have been made already, so they are not refused for that.
    must_wait: bool,
}

impl Run<'_> {
    /// Brings the open turn as far as it gets without people and sub-agents.
    pub(super) async fn work_calls(&mut self) -> Result<Calls, RunError> {
        let Some(mut step) = self.memory.steps.pop() else { return Ok(Calls::Answered) };
        let worked = self.work_step(&mut step).await;
        let over = step.calls.iter().all(StepCall::is_over);
        self.memory.steps.push(step);
        worked?;
        Ok(if over { Calls::Answered } else { Calls::Waiting })
    }

    async fn work_step(&self, step: &mut Step) -> Result<(), RunError> {
        self.expire_approvals(step).await?;
        let due = self.due(step);
        self.refuse(step, &due.impossible).await?;
        self.delegate(step, &due.to_delegate).await?;
        self.make(step, due.to_make).await?;
        if due.must_wait { Err(RunError::ToolsAway) } else { Ok(()) }
    }

    /// Prepared again from what the journal has: a tool may have been changed or taken away since.
    fn due(&self, step: &Step) -> Due {
        let mut due = Due::default();
        for (place, (call, request)) in step.calls.iter().zip(&step.said.tool_calls).enumerate() {
            if !call.is_due() {
                continue;
            }
            match self.toolbox.prepare(request) {
                Prepared::Refused { unreachable: true, .. } => due.must_wait = true,
                Prepared::Refused { message, .. } => due.impossible.push((place, message)),
                Prepared::Ready(prepared) if is_another_tool(call, &prepared) => {
                    due.impossible.push((place, CHANGED.to_owned()));
                }
                Prepared::Ready(mut call) => match call.delegate.take() {
                    Some(delegate) => due.to_delegate.push((place, delegate)),
                    None => due.to_make.push((place, call)),
                },
            }
        }
        due
    }

    async fn expire_approvals(&self, step: &mut Step) -> Result<(), RunError> {
        if !step.calls.iter().any(|call| call.expired) {
            return Ok(());
        }
        self.persist(|| executions::expire_approvals(&self.services.store, self.claimed, EXPIRED))
            .await?;
        let now = self.services.clock.now();
        for call in step.calls.iter_mut().filter(|call| call.expired) {
            call.status = ToolCallStatus::Denied;
            call.memo = Some(EXPIRED.to_owned());
            call.decided_at.get_or_insert(now);
            call.expired = false;
        }
        let denied = step.calls.iter().filter(|call| call.memo.as_deref() == Some(EXPIRED));
        let events = denied.map(|call| narrate::decision(step, call)).collect();
        self.events.publish(events).await;
        Ok(())
    }

    async fn refuse(
        &self,
        step: &mut Step,
        impossible: &[(usize, String)],
    ) -> Result<(), RunError> {
        if impossible.is_empty() {
            return Ok(());
        }
        let refused = impossible.iter().map(|(place, message)| {
            let outcome = CallOutcome {
                output: message.clone(),
                error: Some(message.clone()),
                error_code: None,
                truncated: false,
                duration: Duration::ZERO,
            };
            (*place, outcome)
        });
        self.record(step, refused.collect()).await?;
        let events = impossible.iter().map(|(place, _)| narrate::result(step, &step.calls[*place]));
        self.events.publish(events.collect()).await;
        Ok(())
    }

    async fn delegate(
        &self,
        step: &mut Step,
        to_delegate: &[(usize, Delegate)],
    ) -> Result<(), RunError> {
        if to_delegate.is_empty() {
            return Ok(());
        }
        let now = self.services.clock.now();
        let left = self.deadline.saturating_duration_since(Instant::now());
        let delegations: Vec<Delegation> = to_delegate
            .iter()
            .map(|(place, delegate)| {
                let call = step.calls[*place].id;
                Delegation {
                    tool_call_id: call,
                    execution_id: call.sub_execution(),
                    session_id: call.sub_session(),
                    agent_id: delegate.agent_id,
                    input: delegate.input.clone(),
                    timeout_ms: i64::try_from(left.as_millis()).unwrap_or(i64::MAX).max(1),
                    created_at: now,
                }
            })
            .collect();
        self.persist(|| executions::delegate(&self.services.store, self.claimed, &delegations))
            .await?;
        self.services.wake.wake();
        for ((place, _), delegation) in to_delegate.iter().zip(&delegations) {
            step.calls[*place].status = ToolCallStatus::Delegated;
            step.calls[*place].child = Some(delegation.execution_id);
        }
        let events = to_delegate.iter().flat_map(|(at, _)| narrate::called(step, &step.calls[*at]));
        self.events.publish(events.collect()).await;
        Ok(())
    }

    /// Makes calls side by side. Each result is written down before anything else is done with it,
    /// those that come together in one statement.
    async fn make(&self, step: &mut Step, to_make: Vec<(usize, Call)>) -> Result<(), RunError> {
        let places: Vec<usize> = to_make.iter().map(|(place, _)| *place).collect();
        let events = places.iter().flat_map(|place| narrate::called(step, &step.calls[*place]));
        self.events.publish(events.collect()).await;
        let ids: Vec<_> = step.calls.iter().map(|call| call.id).collect();
        let calls = to_make.into_iter().map(|(place, call)| {
            let key = ids[place];
            async move {
                let left = self.deadline.saturating_duration_since(Instant::now());
                (place, self.toolbox.call(&call, key, left).await)
            }
        });
        let mut ended =
            Box::pin(stream::iter(calls).buffer_unordered(AT_ONCE).ready_chunks(RECORDED_AT_ONCE));
        while let Some(mut outcomes) = ended.next().await {
            self.leave_room(step, &mut outcomes);
            self.record(step, outcomes).await?;
        }
        let results = places.iter().map(|place| narrate::result(step, &step.calls[*place]));
        self.events.publish(results.collect()).await;
        Ok(())
    }

    /// The journal has a limit. A call that was made and whose output does not fit any more has
    /// been made nevertheless, and the model is told so.
    fn leave_room(&self, step: &Step, outcomes: &mut [(usize, CallOutcome)]) {
        let used = self.memory.n_bytes() + step.n_bytes();
        let mut room = MAX_JOURNAL_BYTES.saturating_sub(used);
        for (_, outcome) in outcomes {
            if outcome.output.len() > room {
                NO_ROOM.clone_into(&mut outcome.output);
                outcome.truncated = true;
            }
            room = room.saturating_sub(outcome.output.len());
        }
    }

    async fn record(
        &self,
        step: &mut Step,
        outcomes: Vec<(usize, CallOutcome)>,
    ) -> Result<(), RunError> {
        let finished_at = self.services.clock.now();
        let results: Vec<ToolResult> = outcomes
            .iter()
            .map(|(place, outcome)| ToolResult {
                id: step.calls[*place].id,
                status: match outcome.error {
                    None => ToolCallStatus::Success,
                    Some(_) => ToolCallStatus::Error,
                },
                output: outcome.output.clone(),
                truncated: outcome.truncated,
                error_message: outcome.error.clone(),
                duration_ms: i64::try_from(outcome.duration.as_millis()).unwrap_or(i64::MAX),
                finished_at,
            })
            .collect();
        self.persist(|| executions::record_results(&self.services.store, self.claimed, &results))
            .await?;
        for ((place, _), result) in outcomes.iter().zip(results) {
            let call = &mut step.calls[*place];
            call.status = result.status;
            call.output = Some(result.output);
            call.error = result.error_message;
            call.finished_at = Some(finished_at);
        }
        Ok(())
    }
}

/// Whether what was approved would not be what is called.
fn is_another_tool(call: &StepCall, prepared: &Call) -> bool {
    call.status == ToolCallStatus::Approved
        && call.tool_updated_at != Some(prepared.tool_updated_at)
}
