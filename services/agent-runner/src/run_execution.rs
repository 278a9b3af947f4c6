//! Runs the head of a session's lane: prompt, model, result.

use std::sync::Arc;
use std::time::Duration;

use recado_broker::Publisher;
use recado_clock::Clock;
use recado_http::guard::GuardedClient;
use recado_messages::{DeliveryRequested, ExecutionFinished};
use recado_service::lanes::{LaneWork, Wake};
use recado_store::executions::{self, Claimed, Finish, Finished, History, LlmCall, Outcome};
use recado_store::lanes::{self, LaneKind, Lease};
use recado_store::{Store, StoreError};
use recado_types::agent::ModelName;
use recado_types::trigger::TriggerConfig;
use recado_types::{DeliveryId, LlmCallId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::{EXECUTION_SECONDS, FINISHED};
use crate::model::{self, ModelError};
use crate::news::News;
use crate::prompt;

/// What the model is told of the session's past.
const HISTORY: History = History { turns: 20, bytes: 256 << 10 };
/// How often an execution is started before it counts as one that kills its runner.
const MAX_ATTEMPTS: u32 = 5;
/// The pause between two tries to write down a result while the database is away.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// How long an execution rests for which something was away.
const GIVE_BACK_PAUSE: Duration = Duration::from_secs(1);

/// Runs executions.
pub(crate) struct RunExecution {
    pub(crate) store: Store,
    pub(crate) publisher: Publisher,
    pub(crate) client: GuardedClient,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lease: Duration,
    pub(crate) wake: Wake,
    pub(crate) news: News,
}

impl LaneWork for RunExecution {
    type Claimed = Claimed;
    type Error = StoreError;

    async fn claim(&self, limit: usize) -> Result<Vec<Claimed>, StoreError> {
        executions::claim(&self.store, limit, self.lease, HISTORY).await
    }

    fn lease_of(claimed: &Claimed) -> Lease {
        claimed.lease
    }

    async fn renew(&self, held: &[Lease]) -> Result<Vec<Lease>, StoreError> {
        lanes::renew(&self.store, LaneKind::Execution, held, self.lease).await
    }

    #[tracing::instrument(
        name = "execution.run",
        skip_all,
        fields(
            execution.id = %claimed.execution_id,
            tenant.id = %claimed.tenant_id,
            session.id = %claimed.session_id,
        )
    )]
    async fn work(&self, claimed: Claimed, lost: CancellationToken) {
        let started = Instant::now();
        let outcome = match lost.run_until_cancelled(self.run(&claimed)).await {
            None => "lease_lost",
            Some(Ok(finish)) => self.record(&claimed, finish).await,
            Some(Err(error)) => self.give_back(&claimed, &error).await,
        };
        let seconds = started.elapsed().as_secs_f64();
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
}

impl RunExecution {
    /// Runs the agent within what is left of the execution's time.
    async fn run(&self, claimed: &Claimed) -> Result<Finish, StoreError> {
        let config = match TriggerConfig::parse(&claimed.trigger_config) {
            Ok(config) => config,
            Err(problems) => {
                let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
                let message = format!("the trigger's configuration is wrong: {}", paths.join(", "));
                return Ok(self.ended(claimed, failed("trigger_invalid", message), None));
            }
        };
        if claimed.attempt > MAX_ATTEMPTS {
            let message = format!("the execution was started {MAX_ATTEMPTS} times and never ended");
            return Ok(self.ended(claimed, failed("attempts_exhausted", message), None));
        }
        let timeout = Duration::from_millis(config.execution.timeout_ms.into());
        let left = timeout.saturating_sub(claimed.running_for);
        let deliver = config.execution.callback.is_some();
        match tokio::time::timeout(left, self.think(claimed, left)).await {
            Err(_elapsed) => Ok(self.ended(claimed, Outcome::Timeout, None)),
            Ok(Ok((response, call))) => {
                Ok(self.ended(claimed, Outcome::Success { response, deliver }, Some(call)))
            }
            Ok(Err(ModelError::Store(error))) if error.is_transient() => Err(error),
            Ok(Err(error)) => {
                if let ModelError::Store(source) = &error {
                    let error = source as &dyn std::error::Error;
                    tracing::error!(error, "the provider cannot be looked up");
                }
                Ok(self.ended(claimed, failed(error.code(), error.to_string()), None))
            }
        }
    }

    /// One turn of the model: there are no tools yet, so the first answer is the last.
    async fn think(
        &self,
        claimed: &Claimed,
        patience: Duration,
    ) -> Result<(String, LlmCall), ModelError> {
        let model: ModelName = claimed.model.parse().map_err(|_not_used| ModelError::ModelName)?;
        let conversation = prompt::conversation(claimed);
        // Derived, so that the call has the same key when it is made again after a crash.
        let id = LlmCallId::derived(claimed.execution_id, 1);
        let (created_at, started) = (self.clock.now(), Instant::now());
        let (store, client, tenant) = (&self.store, &self.client, claimed.tenant_id);
        let asked = model::ask(store, client, tenant, &model, &conversation, id, patience);
        let reply = asked.await?;
        let call = LlmCall {
            id,
            iteration: 1,
            provider: model.provider,
            model: model.model,
            input_tokens: reply.input_tokens,
            output_tokens: reply.output_tokens,
            cached_input_tokens: reply.cached_input_tokens,
            cost_usd: reply.cost_usd,
            response_time_ms: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
            finish_reason: reply.finish_reason,
            created_at,
        };
        Ok((reply.text, call))
    }

    fn ended(&self, claimed: &Claimed, outcome: Outcome, call: Option<LlmCall>) -> Finish {
        Finish {
            outcome,
            normalized_query: Some(claimed.input.clone()),
            llm_calls: call.into_iter().collect(),
            finished_at: self.clock.now(),
        }
    }

    /// Writes the result down, hands the lane on, and answers how it ended, as a label.
    ///
    /// While the database is away the result is held, for as long as it takes: running the agent
    /// again would cost more. If somebody else has the lane by then, nothing is written.
    async fn record(&self, claimed: &Claimed, finish: Finish) -> &'static str {
        let unstorable = match self.stored(claimed, &finish).await {
            Ok(finished) => return self.hand_on(claimed, &finish, finished).await,
            Err(error) => error,
        };
        tracing::error!(
            error = &unstorable as &dyn std::error::Error,
            execution.id = %claimed.execution_id,
            "a result cannot be stored"
        );
        let failure = Finish {
            outcome: failed("internal_error", "the result could not be stored".to_owned()),
            normalized_query: None,
            llm_calls: Vec::new(),
            finished_at: self.clock.now(),
        };
        match self.stored(claimed, &failure).await {
            Ok(finished) => self.hand_on(claimed, &failure, finished).await,
            Err(error) => self.give_back(claimed, &error).await,
        }
    }

    async fn stored(&self, claimed: &Claimed, finish: &Finish) -> Result<Finished, StoreError> {
        loop {
            match executions::finish(&self.store, claimed, finish).await {
                Err(error) if error.is_transient() => tokio::time::sleep(RETRY_PAUSE).await,
                answered => return answered,
            }
        }
    }

    async fn hand_on(
        &self,
        claimed: &Claimed,
        finish: &Finish,
        finished: Finished,
    ) -> &'static str {
        let Finished::Done { more, reply_to } = finished else { return "lease_lost" };
        if more {
            self.wake.wake();
        }
        let Claimed { session_id, execution_id, .. } = *claimed;
        self.news.send(reply_to, ExecutionFinished { session_id, execution_id });
        if matches!(finish.outcome, Outcome::Success { deliver: true, .. }) {
            self.announce(claimed).await;
        }
        label(&finish.outcome)
    }

    /// Lets delivery know. If it does not hear this, it finds the lane by itself.
    async fn announce(&self, claimed: &Claimed) {
        let news = DeliveryRequested {
            tenant_id: claimed.tenant_id,
            session_id: claimed.session_id,
            delivery_id: DeliveryId::of(claimed.execution_id),
        };
        if let Err(error) = self.publisher.publish(&news).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "delivery will find the response by itself");
        }
    }

    /// What was needed is away: the execution is run again later, by whoever is first.
    async fn give_back(&self, claimed: &Claimed, error: &StoreError) -> &'static str {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            execution.id = %claimed.execution_id,
            "an execution is given back"
        );
        // If this fails too, the lease runs out.
        let _given = executions::give_back(&self.store, claimed, GIVE_BACK_PAUSE).await;
        "given_back"
    }
}

fn failed(code: &'static str, message: String) -> Outcome {
    Outcome::Failed { code, message }
}

fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Success { .. } => "success",
        Outcome::Failed { .. } => "failed",
        Outcome::Timeout => "timeout",
    }
}
