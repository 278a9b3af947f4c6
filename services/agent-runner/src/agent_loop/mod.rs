//! The loop of an agent: ask the model, make the calls it wants, tell it what came of them, until
//! it has an answer.
//!
//! What a model or a tool said is in the journal before it is used. So a run can stop at any line,
//! and another one goes on from what the journal says: finished calls are not repeated, and the one
//! that was under way is repeated under the same idempotency key.
//!
//! * `memory`: what the run knows, and the conversation that the model reads.
//! * `tool_turn`: the calls of one turn.
//! * `compact`: keeps the conversation within the context window.
//! * `narrate`: tells of it all as events.

mod compact;
mod memory;
mod narrate;
mod tool_turn;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use recado_clock::Clock;
use recado_service::lanes::Wake;
use recado_store::executions::{
    self, Claimed, LlmCall, NewToolCall, Purpose, ToolCallStatus, Totals,
};
use recado_store::lanes::Held;
use recado_store::{Store, StoreError};
use recado_toolbox::{Prepared, Toolbox, Tools};
use recado_types::agent::{AgentSpec, Chosen};
use recado_types::{LlmCallId, ToolCallId};
use serde_json::Value;
use tokio::time::Instant;

use crate::control::Watch;
use crate::events::{Event, EventStream};
use crate::model::{Ask, ModelError, Models, Reply, ToolRequest};
use crate::prompt;
use memory::{Memory, Said, Step, StepCall, UnreadableJournal};
use tool_turn::Calls;

/// How many agents may stand above one, and how many times one execution may call others: an
/// agent that calls itself must not become a crowd.
const MAX_DEPTH: u32 = 3;
const MAX_SUB_AGENTS: usize = 16;
/// How much a run may have said and been told by tools altogether. It is in memory as long as it
/// runs, and read anew when it is taken up.
const MAX_JOURNAL_BYTES: usize = 8 << 20;
/// The pause between two tries to write to the journal while the database is away.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// What all runs of a process share.
pub(crate) struct Services {
    pub(crate) store: Store,
    pub(crate) models: Models,
    pub(crate) tools: Tools,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wake: Wake,
}

/// What a run's calls have come to, for whoever ends it: it may be ended from outside.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Totals>);

/// What a model said that wants nothing done any more.
#[derive(Debug)]
pub(crate) struct LastWord {
    /// The call, which is not in the journal.
    pub(crate) call: LlmCall,
    /// The event, which is not told.
    pub(crate) told: Event,
}

/// How far a run came.
#[derive(Debug)]
pub(crate) enum End {
    /// The agent has answered.
    Answer {
        /// Everything it said.
        response: String,
        /// What it said last.
        last: Box<LastWord>,
    },
    /// It waits for people or for sub-agents.
    Waiting,
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// Somebody else works the lane now.
    #[error("the lease is lost")]
    Lost,
    /// No model may be asked for now.
    #[error("the session is suspended")]
    Suspended,
    /// Tools cannot be reached whose calls are to be made.
    #[error("a tool cannot be reached at present")]
    ToolsAway,
    /// The database refused something.
    #[error("the journal cannot be written")]
    Store(#[source] StoreError),
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[source] UnreadableJournal),
    /// The model gave no answer.
    #[error("the model gave no answer")]
    Model(#[source] ModelError),
    /// The model has spoken its last, and there is nothing to tell.
    #[error("{message}")]
    NoAnswer {
        /// A stable code.
        code: &'static str,
        /// For an admin.
        message: String,
        /// What it said last.
        last: Box<LastWord>,
    },
    /// A limit of the agent is reached.
    #[error("{message}")]
    Limit {
        /// A stable code.
        code: &'static str,
        /// Which limit, for an admin.
        message: String,
    },
}

/// One attempt to run an execution.
pub(crate) struct Run<'a> {
    services: &'a Services,
    claimed: &'a Claimed,
    spec: &'a AgentSpec,
    form: Chosen<'a>,
    toolbox: &'a Toolbox,
    events: &'a EventStream,
    ledger: &'a Ledger,
    watch: &'a Watch,
    deadline: Instant,
    memory: Memory,
}

/// What a run is made of.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) services: &'a Services,
    pub(crate) claimed: &'a Claimed,
    pub(crate) spec: &'a AgentSpec,
    pub(crate) form: Chosen<'a>,
    pub(crate) toolbox: &'a Toolbox,
    pub(crate) events: &'a EventStream,
    pub(crate) ledger: &'a Ledger,
    pub(crate) watch: &'a Watch,
    pub(crate) deadline: Instant,
}

impl<'a> Run<'a> {
    /// Takes up what the journal says.
    pub(crate) fn new(parts: Parts<'a>) -> Result<Self, RunError> {
        let Parts { services, claimed, spec, form, toolbox, events, ledger, watch, deadline } =
            parts;
        let max_output_bytes = spec.limits.max_tool_output_bytes as usize;
        let redact = |text: &str| toolbox.redact(text).into_owned();
        let memory = Memory::of(claimed, max_output_bytes, redact).map_err(RunError::Journal)?;
        for call in &claimed.calls {
            ledger.add(tokens_of(call.input_tokens, call.output_tokens), call.cost_usd);
        }
        // What sub-agents use is used for this execution, and counts against its budgets.
        for call in &claimed.tool_calls {
            ledger.add(call.child_tokens, call.child_cost_usd);
        }
        Ok(Self { services, claimed, spec, form, toolbox, events, ledger, watch, deadline, memory })
    }

    /// What the agent is asked, hidden values left out.
    pub(crate) fn input(&self) -> &str {
        &self.memory.input
    }

    /// Goes on until there is an answer, or something to wait for.
    pub(crate) async fn complete(&mut self) -> Result<End, RunError> {
        self.take_up().await;
        loop {
            if self.memory.open_step().is_some() {
                match self.work_calls().await? {
                    Calls::Answered => continue,
                    Calls::Waiting => return Ok(End::Waiting),
                }
            }
            if let Some(end) = self.turn().await? {
                return Ok(end);
            }
        }
    }

    /// Tells of what happened before: of nothing twice, unless a crash makes it unknown what was
    /// told.
    async fn take_up(&self) {
        if !self.memory.steps.is_empty() {
            self.watch.begin_effects();
        }
        let is_new = self.claimed.calls.is_empty();
        let is_known = self.claimed.attempt == 1 && !self.claimed.is_untold;
        let events = match (is_known, is_new) {
            (_, true) => vec![narrate::user_message(&self.memory, self.claimed)],
            (true, false) => narrate::meanwhile(&self.memory),
            (false, false) => narrate::everything(&self.memory, self.claimed, self.toolbox),
        };
        self.events.publish(events).await;
    }

    /// One turn of the model. Answers `None` if it wants something done.
    async fn turn(&mut self) -> Result<Option<End>, RunError> {
        self.check_budgets()?;
        let iteration = self.memory.n_iterations() + 1;
        let limits = &self.spec.limits;
        let calls_left =
            (limits.max_tool_calls as usize).saturating_sub(self.memory.n_tool_calls());
        // The last turn is for the answer, with whatever is known by then.
        let may_call_tools = iteration < limits.max_iterations && calls_left > 0;
        let (reply, call) = self.ask(iteration, may_call_tools).await?;
        if may_call_tools && !reply.tool_calls.is_empty() {
            // From here on there may be effects: giving way to newer messages would repeat them.
            self.watch.begin_effects();
            self.record_turn(&reply, call, calls_left).await?;
            return Ok(None);
        }
        self.answer(&reply, call, may_call_tools).map(Some)
    }

    fn answer(&self, reply: &Reply, call: LlmCall, may_call_tools: bool) -> Result<End, RunError> {
        let last = Step {
            iteration: call.iteration,
            llm_call: call.id,
            said_at: call.created_at,
            window: call.window_sequence,
            said: Said { text: reply.text.clone(), tool_calls: Vec::new() },
            calls: Vec::new(),
        };
        // Told once it is written down: until then a crash may have the model say something else.
        let told = narrate::assistant_message(&last, self.toolbox);
        let last = Box::new(LastWord { call, told });
        let response = self.memory.response(&reply.text);
        if response.is_empty() {
            return Err(self.no_answer(last, may_call_tools));
        }
        Ok(End::Answer { response, last })
    }

    fn no_answer(&self, last: Box<LastWord>, may_call_tools: bool) -> RunError {
        if may_call_tools || self.toolbox.definitions().is_empty() {
            let message = "the model said nothing".to_owned();
            return RunError::NoAnswer { code: "model_answer_empty", message, last };
        }
        let limits = &self.spec.limits;
        let message = format!(
            "the agent's limits ({} iterations, {} tool calls) were reached, and the model gave \
             no answer without tools",
            limits.max_iterations, limits.max_tool_calls
        );
        RunError::NoAnswer { code: "iteration_limit", message, last }
    }

    /// Asks for the next turn, in a conversation that fits the window.
    async fn ask(
        &mut self,
        iteration: u32,
        may_call_tools: bool,
    ) -> Result<(Reply, LlmCall), RunError> {
        self.compact(iteration, false).await?;
        loop {
            let conversation = self.memory.conversation(self.system_prompt());
            let number = self.memory.n_llm_calls + 1;
            let ask = Ask {
                conversation: &conversation,
                tools: self.toolbox.definitions(),
                may_call_tools,
                sampling: self.form.sampling,
                call_id: self.call_id(number),
                patience: self.left(),
            };
            match self.ask_model(&ask, number, Purpose::Turn, iteration).await {
                // Its window is smaller than the agent's settings say. Each time around the
                // conversation is shorter.
                Err(RunError::Model(ModelError::ContextTooLong))
                    if self.compact(iteration, true).await? => {}
                answered => return answered,
            }
        }
    }

    /// Asks the model, unless or until the session is suspended.
    async fn ask_model(
        &mut self,
        ask: &Ask<'_>,
        number: u32,
        purpose: Purpose,
        iteration: u32,
    ) -> Result<(Reply, LlmCall), RunError> {
        let model = self.form.model;
        let (created_at, started) = (self.services.clock.now(), Instant::now());
        // Even if it fails: whatever is asked next is another call.
        self.memory.n_llm_calls = number;
        let asked = self.services.models.ask_in_span(self.claimed.tenant_id, model, ask);
        let reply = tokio::select! {
            biased;
            () = self.watch.suspended() => return Err(RunError::Suspended),
            reply = Box::pin(asked) => reply.map_err(|error| match error {
                ModelError::Store(error) => RunError::Store(error),
                error => RunError::Model(error),
            })?,
        };
        self.ledger.add(tokens_of(reply.input_tokens, reply.output_tokens), reply.cost_usd);
        let call = LlmCall {
            id: ask.call_id,
            number,
            purpose,
            iteration,
            window_sequence: self.memory.window.sequence,
            provider: model.provider.clone(),
            model: model.model.clone(),
            response: serde_json::to_value(Said::from(&reply)).unwrap_or(Value::Null),
            input_tokens: reply.input_tokens,
            output_tokens: reply.output_tokens,
            cached_input_tokens: reply.cached_input_tokens,
            cost_usd: reply.cost_usd,
            response_time_ms: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
            finish_reason: reply.finish_reason.clone(),
            created_at,
        };
        Ok((reply, call))
    }

    /// Writes down what the model wants before any of it is done.
    async fn record_turn(
        &mut self,
        reply: &Reply,
        call: LlmCall,
        calls_left: usize,
    ) -> Result<(), RunError> {
        let requests = (0..).zip(&reply.tool_calls);
        let new: Vec<NewToolCall> = requests
            .map(|(index, request)| self.judged(request, &call, index, calls_left))
            .collect();
        let store = &self.services.store;
        self.persist(|| executions::record_turn(store, self.claimed, &call, &new)).await?;
        let step = Step {
            iteration: call.iteration,
            llm_call: call.id,
            said_at: call.created_at,
            window: call.window_sequence,
            said: Said::from(reply),
            calls: new.iter().map(StepCall::from).collect(),
        };
        let mut events = vec![narrate::assistant_message(&step, self.toolbox)];
        events.extend(narrate::asked(&step));
        self.memory.steps.push(step);
        self.events.publish(events).await;
        Ok(())
    }

    /// What becomes of one request: refused, to be approved, or to be made.
    fn judged(
        &self,
        request: &ToolRequest,
        call: &LlmCall,
        index: u32,
        calls_left: usize,
    ) -> NewToolCall {
        let mut new = NewToolCall {
            id: ToolCallId::derived(call.id, index),
            iteration: call.iteration,
            call_index: index,
            provider_call_id: request.id.clone(),
            tool_name: request.name.clone(),
            tool_id: None,
            tool_updated_at: None,
            input: Value::Null,
            status: ToolCallStatus::Requested,
            output: None,
            error_message: None,
            approval_expires_after_ms: None,
            created_at: call.created_at,
        };
        let refusal = match self.toolbox.prepare(request) {
            Prepared::Refused { tool_id, shown, message, .. } => {
                (new.tool_id, new.input) = (tool_id, shown);
                Some(message)
            }
            Prepared::Ready(call) => {
                let too_many_agents =
                    call.delegate.as_ref().and_then(|_| self.too_many_agents(index));
                if call.needs_approval {
                    let expires = self.spec.approval.expires_after_ms;
                    new.status = ToolCallStatus::WaitingForApproval;
                    new.approval_expires_after_ms =
                        Some(i64::try_from(expires).unwrap_or(i64::MAX));
                }
                (new.tool_id, new.input) = (Some(call.tool_id), call.shown);
                new.tool_updated_at = Some(call.tool_updated_at);
                if index as usize >= calls_left {
                    Some("the limit of tool calls is reached: answer with what you know".to_owned())
                } else {
                    too_many_agents
                }
            }
        };
        if let Some(message) = refusal {
            new.status = ToolCallStatus::Error;
            new.approval_expires_after_ms = None;
            new.output = Some(message.clone());
            new.error_message = Some(message);
        }
        new
    }

    /// Why another agent may not be called, if so: `index` counts the calls of this turn, as if all
    /// before it were calls of agents too.
    fn too_many_agents(&self, index: u32) -> Option<String> {
        if self.claimed.depth >= MAX_DEPTH {
            return Some(format!("agents may not be nested deeper than {MAX_DEPTH}"));
        }
        let n_called = self.memory.n_sub_agents() + index as usize;
        (n_called >= MAX_SUB_AGENTS)
            .then(|| format!("an agent may not call others more than {MAX_SUB_AGENTS} times"))
    }

    fn check_budgets(&self) -> Result<(), RunError> {
        if self.memory.n_bytes() > MAX_JOURNAL_BYTES {
            let message = format!("the execution has gathered more than {MAX_JOURNAL_BYTES} bytes");
            return Err(RunError::Limit { code: "journal_too_large", message });
        }
        let (spent, limits) = (self.ledger.totals(), &self.spec.limits);
        let tokens = u64::try_from(spent.tokens.unwrap_or(0)).unwrap_or(0);
        if let Some(budget) = limits.max_tokens.filter(|budget| tokens >= *budget) {
            let message = format!("the budget of {budget} tokens is spent ({tokens} used)");
            return Err(RunError::Limit { code: "token_budget_spent", message });
        }
        let cost = spent.cost_usd.unwrap_or(0.0);
        if let Some(budget) = limits.max_cost_usd.filter(|budget| cost >= *budget) {
            let message = format!("the budget of {budget} USD is spent ({cost} used)");
            return Err(RunError::Limit { code: "cost_budget_spent", message });
        }
        Ok(())
    }

    fn system_prompt(&self) -> String {
        prompt::system(self.claimed, self.form.system_prompt, self.memory.window.summary.as_deref())
    }

    fn call_id(&self, number: u32) -> LlmCallId {
        LlmCallId::derived(self.claimed.execution_id, number)
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Writes to the journal. While the database is away it waits: whoever runs this has the
    /// clock.
    async fn persist<F>(&self, write: impl Fn() -> F) -> Result<(), RunError>
    where
        F: Future<Output = Result<Held, StoreError>>,
    {
        loop {
            match write().await {
                Ok(Held::Yes) => return Ok(()),
                Ok(Held::No) => return Err(RunError::Lost),
                Err(error) if error.is_transient() => tokio::time::sleep(RETRY_PAUSE).await,
                Err(error) => return Err(RunError::Store(error)),
            }
        }
    }
}

impl Ledger {
    fn add(&self, tokens: Option<i64>, cost_usd: Option<f64>) {
        let mut totals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tokens) = tokens {
            totals.tokens = Some(totals.tokens.unwrap_or(0).saturating_add(tokens));
        }
        if let Some(cost) = cost_usd {
            totals.cost_usd = Some(totals.cost_usd.unwrap_or(0.0) + cost);
        }
    }

    /// What they have come to so far.
    pub(crate) fn totals(&self) -> Totals {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&NewToolCall> for StepCall {
    fn from(new: &NewToolCall) -> Self {
        let is_over = new.status == ToolCallStatus::Error;
        Self {
            id: new.id,
            status: new.status,
            tool_updated_at: new.tool_updated_at,
            output: new.output.clone(),
            error: new.error_message.clone(),
            memo: None,
            expired: false,
            child: None,
            created_at: new.created_at,
            decided_at: None,
            finished_at: is_over.then_some(new.created_at),
        }
    }
}

/// Both together, if both are known.
fn tokens_of(input: Option<i64>, output: Option<i64>) -> Option<i64> {
    input.zip(output).map(|(input, output)| input.saturating_add(output))
}

/// The beginning of `text`, at most `limit` bytes, never half a character; says so if it is not all.
fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(limit);
    Cow::Owned(format!("{}\n[cut after {end} bytes]", &text[..end]))
}

/// Tells again what happened in a run that has ended, for those who may not have heard all of it.
pub(crate) fn retold(claimed: &Claimed) -> Result<Vec<Event>, UnreadableJournal> {
    let memory = Memory::of(claimed, usize::MAX, str::to_owned)?;
    Ok(narrate::everything(&memory, claimed, &narrate::NoTools))
}
