//! Runs the head of a session's lane: takes up what the journal says, lets the loop go on, and
//! writes down how it ended.

use std::collections::BTreeMap;
use std::time::Duration;

use recado_messages::ExecutionFinished;
use recado_service::lanes::LaneWork;
use recado_store::StoreError;
use recado_store::control::StopReason;
use recado_store::executions::{self, Claimed, History, Outcome, SessionStatus, Totals};
use recado_store::lanes::{self, LaneKind, Lease};
use recado_toolbox::Toolbox;
use recado_trace::spans::{self, Invocation};
use recado_types::agent::{AgentSpec, Chosen};
use recado_types::trigger::{OnNewMessage, TriggerConfig};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::agent_loop::{End, LastWord, Ledger, Parts, Run, RunError, Services};
use crate::control::{Control, Watch};
use crate::ending::{self, Ending, Telling};
use crate::events::{EventAgent, EventSource, EventStream, Events};
use crate::metrics::{ADMISSION_LAG_SECONDS, EXECUTION_SECONDS, FINISHED};
use crate::model::ModelError;

/// What the model is told of the session's past, before its window is looked at.
const HISTORY: History = History { turns: 200, bytes: 256 << 10 };
/// How often an execution is started before it counts as one that kills its runner.
const MAX_ATTEMPTS: u32 = 5;
/// How it ends then.
const ATTEMPTS_EXHAUSTED: &str = "attempts_exhausted";
/// How a run ends whose messages are taken over by newer ones.
const SUPERSEDED: &str = "superseded";
/// How often messages are taken over from a run that they interrupted: somebody who never stops
/// writing gets an answer nevertheless.
const MAX_SUPERSEDES: u32 = 5;

/// Runs executions.
pub(crate) struct RunExecution {
    pub(crate) services: Services,
    pub(crate) ending: Ending,
    pub(crate) control: Control,
    pub(crate) events: Events,
    pub(crate) lease: Duration,
    pub(crate) tenant_slots: usize,
}

/// How an attempt is to end.
pub(crate) enum Verdict {
    /// The execution is over.
    Over(Box<Over>),
    /// It waits; its lane is given back.
    Waits,
    /// What it needs is away: somebody else is to try, later.
    GiveBack(StoreError),
    /// The same for a tool.
    Again,
    /// Somebody else works the lane.
    Lost,
}

/// How an execution is over.
pub(crate) struct Over {
    pub(crate) outcome: Outcome,
    /// What was asked, if it got that far.
    pub(crate) input: Option<String>,
    pub(crate) variation: Option<String>,
    /// What the model said last, if it did.
    pub(crate) last: Option<LastWord>,
    pub(crate) totals: Totals,
    /// Whether it gives way to newer messages, if there are any.
    pub(crate) gives_way: bool,
}

/// What an execution runs by.
struct Plan {
    config: TriggerConfig,
    spec: AgentSpec,
}

impl LaneWork for RunExecution {
    type Lease = Lease;
    type Claimed = Claimed;
    type Error = StoreError;

    async fn claim(&self, limit: usize) -> Result<Vec<Claimed>, StoreError> {
        let (store, lease) = (&self.services.store, self.lease);
        executions::claim(store, limit, lease, self.tenant_slots, HISTORY).await
    }

    fn lease_of(claimed: &Claimed) -> Lease {
        claimed.lease
    }

    async fn renew(&self, held: &[Lease]) -> Result<Vec<Lease>, StoreError> {
        lanes::renew(&self.services.store, LaneKind::Execution, held, self.lease).await
    }

    async fn work(&self, claimed: Claimed, lost: CancellationToken) {
        let span = spans::invoke_agent(&invocation_of(&claimed));
        self.work_in_span(claimed, lost).instrument(span).await;
    }
}

impl RunExecution {
    async fn work_in_span(&self, claimed: Claimed, lost: CancellationToken) {
        let started = Instant::now();
        self.note_lag(&claimed);
        let attempt = Box::pin(self.attempt(&claimed));
        // Whether the lease is lost comes first: a process that was frozen may find the answer of
        // the database waiting, and would go on to a call that somebody else has made meanwhile.
        let outcome = tokio::select! {
            biased;
            () = lost.cancelled() => "lease_lost",
            label = attempt => label,
        };
        let seconds = started.elapsed().as_secs_f64();
        spans::ended(&Span::current(), outcome);
        FINISHED.with_label_values(&[outcome]).inc();
        EXECUTION_SECONDS.with_label_values(&[outcome]).observe(seconds);
        tracing::info!(
            execution.id = %claimed.execution_id,
            execution.outcome = outcome,
            execution.attempt = claimed.attempt,
            execution.n_messages = claimed.n_messages,
            duration_ms = started.elapsed().as_millis(),
            "execution {} ended: {outcome}", claimed.execution_id
        );
    }

    /// Counts how long it took from ingress to here, the first time. Clocks of two machines may
    /// differ: less than nothing is nothing.
    fn note_lag(&self, claimed: &Claimed) {
        // A sub-agent has the context of a message that was accepted for somebody else.
        let is_first = claimed.attempt == 1 && claimed.parent.is_none();
        let Some(accepted_at) = claimed.accepted_at.filter(|_| is_first) else { return };
        let lag = (self.services.clock.now() - accepted_at).to_std().unwrap_or_default();
        ADMISSION_LAG_SECONDS.observe(lag.as_secs_f64());
    }

    /// Answers how it ended, as a label.
    async fn attempt(&self, claimed: &Claimed) -> &'static str {
        let plan = match Plan::of(claimed) {
            Ok(plan) => plan,
            Err(outcome) => {
                let over = Box::new(Over::before_it_began(outcome));
                return self.ending.write(claimed, Verdict::Over(over), None).await;
            }
        };
        let form = plan.spec.variation_for(claimed.session_id);
        let telling = Telling {
            stream: self.events.open(source_of(claimed, form)),
            has_endpoint: claimed.has_endpoint,
            last: None,
        };
        let watch = self.control.watch(claimed.execution_id, plan.yields(claimed));
        let verdict = self.run(claimed, &plan, form, &telling.stream, &watch).await;
        self.ending.write(claimed, verdict, Some(telling)).await
    }

    async fn run(
        &self,
        claimed: &Claimed,
        plan: &Plan,
        form: Chosen<'_>,
        events: &EventStream,
        watch: &Watch,
    ) -> Verdict {
        // Opening tools takes its time too.
        let left = plan.timeout(claimed).saturating_sub(claimed.running_for);
        let deadline = Instant::now() + left;
        let toolbox = match self.open_tools(claimed, plan, form).await {
            Ok(toolbox) => toolbox,
            Err(error) => return verdict_on(error),
        };
        let ledger = Ledger::default();
        let parts = Parts {
            services: &self.services,
            claimed,
            spec: &plan.spec,
            form,
            toolbox: &toolbox,
            events,
            ledger: &ledger,
            watch,
            deadline,
        };
        let mut run = match Run::new(parts) {
            Ok(run) => run,
            Err(error) => return failed(claimed, &error, &ledger),
        };
        let input = run.input().to_owned();
        let over = |outcome, last| {
            let gives_way = watch.yields() && may_give_way(&outcome);
            Verdict::Over(Box::new(Over {
                outcome,
                input: Some(input.clone()),
                variation: Some(form.name.to_owned()),
                last,
                totals: ledger.totals(),
                gives_way,
            }))
        };
        if let Some(reason) = stop_reason(claimed) {
            return stopped(reason, over);
        }
        if claimed.attempt > MAX_ATTEMPTS {
            let message = format!("the execution was started {MAX_ATTEMPTS} times and never ended");
            return over(Outcome::Failed { code: ATTEMPTS_EXHAUSTED, message }, None);
        }
        tokio::select! {
            reason = watch.stopped() => stopped(reason, over),
            ended = timeout_at(deadline, Box::pin(run.complete())) => match ended {
                Err(_elapsed) => over(Outcome::Timeout, None),
                // The model was given all the time there was: it is a matter of chance who
                // notices first that it is over.
                Ok(Err(RunError::Model(_))) if Instant::now() >= deadline => {
                    over(Outcome::Timeout, None)
                }
                Ok(Ok(End::Waiting) | Err(RunError::Suspended)) => Verdict::Waits,
                Ok(Ok(End::Answer { response, last })) => {
                    let deliver = claimed.parent.is_none() && plan.config.sends_answers();
                    over(Outcome::Success { response, deliver }, Some(*last))
                }
                Ok(Err(RunError::Lost)) => Verdict::Lost,
                Ok(Err(RunError::ToolsAway)) => Verdict::Again,
                Ok(Err(RunError::Store(error))) if error.is_transient() => {
                    Verdict::GiveBack(error)
                }
                Ok(Err(RunError::NoAnswer { code, message, last })) => {
                    over(Outcome::Failed { code, message }, Some(*last))
                }
                Ok(Err(error)) => over(outcome_of(claimed, &error), None),
            },
        }
    }

    /// What the agent can do; nothing for a run that is not to go on.
    async fn open_tools(
        &self,
        claimed: &Claimed,
        plan: &Plan,
        form: Chosen<'_>,
    ) -> Result<Toolbox, StoreError> {
        let tools = &self.services.tools;
        if form.tools.is_empty() || stop_reason(claimed).is_some() {
            return Ok(tools.none(&claimed.context));
        }
        let (tenant, limits) = (claimed.tenant_id, &plan.spec.limits);
        tools.open(tenant, form.tools, &claimed.context, limits).await
    }
}

fn invocation_of(claimed: &Claimed) -> Invocation<'_> {
    let trace = claimed.trace.as_ref();
    Invocation {
        execution_id: claimed.execution_id,
        tenant_id: claimed.tenant_id,
        session_id: claimed.session_id,
        agent_id: claimed.agent_id,
        agent_name: &claimed.agent.name,
        agent_version: claimed.agent.version,
        attempt: claimed.attempt,
        n_messages: claimed.n_messages,
        cause: trace.map(|trace| &trace.cause),
        span_id: trace.and_then(|trace| trace.span_id.as_deref()),
        messages: trace.map(|trace| trace.messages.as_slice()).unwrap_or_default(),
    }
}

impl Plan {
    fn of(claimed: &Claimed) -> Result<Self, Outcome> {
        let config = TriggerConfig::parse(&claimed.trigger_config)
            .map_err(|problems| ending::misconfigured("trigger_invalid", "trigger", &problems))?;
        let spec = AgentSpec::from_saved(&claimed.agent.spec)
            .map_err(|problems| ending::misconfigured("agent_invalid", "agent", &problems))?;
        Ok(Self { config, spec })
    }

    fn timeout(&self, claimed: &Claimed) -> Duration {
        let own = Duration::from_millis(self.config.execution.timeout_ms.into());
        claimed.timeout.unwrap_or(own)
    }

    /// Whether newer messages interrupt the run. A sub-agent has no sender who could write.
    fn yields(&self, claimed: &Claimed) -> bool {
        self.config.session.on_new_message == OnNewMessage::Supersede
            && claimed.parent.is_none()
            && claimed.supersede_count < MAX_SUPERSEDES
    }
}

impl Over {
    fn before_it_began(outcome: Outcome) -> Self {
        Self {
            outcome,
            input: None,
            variation: None,
            last: None,
            totals: Totals::default(),
            gives_way: false,
        }
    }
}

/// Whether the messages of a run that ends like this may still be answered with newer ones: not
/// those that somebody does not want answered, nor those that kill their runner.
fn may_give_way(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Success { .. } | Outcome::Timeout => true,
        Outcome::Failed { code, .. } => *code != ATTEMPTS_EXHAUSTED,
        Outcome::Cancelled { code, .. } => *code == SUPERSEDED,
    }
}

/// Why a run is not to begin.
fn stop_reason(claimed: &Claimed) -> Option<StopReason> {
    match claimed.session_status {
        _ if claimed.cancel_requested => Some(StopReason::CancelRequested),
        SessionStatus::Active => None,
        SessionStatus::Suspended => Some(StopReason::Suspended),
        SessionStatus::HandedOff => Some(StopReason::HandedOff),
    }
}

fn stopped(reason: StopReason, over: impl FnOnce(Outcome, Option<LastWord>) -> Verdict) -> Verdict {
    let (code, message) = match reason {
        StopReason::Suspended => return Verdict::Waits,
        StopReason::CancelRequested => ("cancelled", "the execution was cancelled"),
        StopReason::HandedOff => ("session_handed_off", "a person answers in this session"),
        // If nobody waits any more by then, it ends like this.
        StopReason::Superseded => (SUPERSEDED, "a newer message came before the agent answered"),
    };
    over(Outcome::Cancelled { code, message: message.to_owned() }, None)
}

fn failed(claimed: &Claimed, error: &RunError, ledger: &Ledger) -> Verdict {
    let outcome = outcome_of(claimed, error);
    let totals = ledger.totals();
    Verdict::Over(Box::new(Over { totals, ..Over::before_it_began(outcome) }))
}

fn verdict_on(error: StoreError) -> Verdict {
    if error.is_transient() {
        return Verdict::GiveBack(error);
    }
    tracing::error!(error = &error as &dyn std::error::Error, "the tools cannot be looked up");
    Verdict::Over(Box::new(Over::before_it_began(ending::internal("the tools"))))
}

/// For the agent's admin: a stable code, and words without internals.
fn outcome_of(claimed: &Claimed, error: &RunError) -> Outcome {
    let (code, message) = match error {
        RunError::Limit { code, message } | RunError::NoAnswer { code, message, .. } => {
            (*code, message.clone())
        }
        RunError::Model(ModelError::Store(_))
        | RunError::Store(_)
        | RunError::Journal(_)
        | RunError::Suspended
        | RunError::ToolsAway
        | RunError::Lost => {
            tracing::error!(
                execution.id = %claimed.execution_id,
                error = error as &dyn std::error::Error,
                "an execution cannot go on"
            );
            return ending::internal("the journal");
        }
        // Its author is who reads it.
        RunError::Model(error @ ModelError::Script(mistake)) => {
            (error.code(), format!("{error}: {mistake}"))
        }
        RunError::Model(error) => (error.code(), error.to_string()),
    };
    Outcome::Failed { code, message }
}

/// What all events of a run have in common.
pub(crate) fn source_of(claimed: &Claimed, form: Chosen<'_>) -> EventSource {
    let agent = &claimed.agent;
    let labels = serde_json::from_value::<BTreeMap<String, String>>(agent.labels.clone());
    EventSource {
        tenant_id: claimed.tenant_id,
        project_id: agent.project_id,
        trigger_id: claimed.trigger_id,
        session_id: claimed.session_id,
        execution_id: claimed.execution_id,
        created_at: claimed.created_at,
        parent: claimed.parent.map(|parent| parent.execution_id),
        agent: EventAgent {
            id: claimed.agent_id,
            name: agent.name.clone(),
            external_id: agent.external_id.clone(),
            labels: labels.unwrap_or_default(),
            created_at: agent.created_at,
            variation: form.name.to_owned(),
            version_created_at: agent.version_created_at,
            has_endpoint: claimed.has_endpoint,
        },
    }
}

/// The news that a run has ended.
pub(crate) fn news_of(claimed: &Claimed) -> ExecutionFinished {
    ExecutionFinished { session_id: claimed.session_id, execution_id: claimed.execution_id }
}
