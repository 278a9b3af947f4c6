//! Writes down how an attempt ended, and tells everybody who has to know: those who wait for the
//! answer, delivery, the listeners of events, and whoever is next in the lane.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_clock::Clock;
use recado_service::lanes::Wake;
use recado_store::control;
use recado_store::executions::{
    self, Claimed, Conclusion, Finish, Finished, Outcome, ParentAnswer, Superseded,
};
use recado_store::lanes::Held;
use recado_store::{Store, StoreError};
use recado_types::shape::FieldProblem;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::announcing::Announcing;
use crate::events::{Event, EventStream, What};
use crate::news::News;
use crate::published::Published;
use crate::results::{RETRY_PAUSE, Results};
use crate::run_execution::{Over, Verdict, news_of};

/// How long an execution rests for which something was away.
const GIVE_BACK_PAUSE: Duration = Duration::from_secs(1);
/// How long the broker may take for the last events of an execution.
const FLUSH_PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits for the broker before, which may be away too.
const GIVE_BACK_PATIENCE: Duration = Duration::from_secs(2);
/// How long a run that waits for people waits for the broker before: it does so beside the work.
const PARK_PATIENCE: Duration = Duration::from_secs(10);

/// The events of a run.
pub(crate) struct Telling {
    pub(crate) stream: EventStream,
    /// Whether there is an endpoint for them: then they are told in any case.
    pub(crate) has_endpoint: bool,
    /// What is told once it is written down.
    pub(crate) last: Option<Event>,
}

/// Ends attempts.
pub(crate) struct Ending {
    pub(crate) store: Store,
    pub(crate) results: Results,
    pub(crate) announcing: Announcing,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wake: Wake,
    pub(crate) news: News,
    pub(crate) published: Published,
    pub(crate) tasks: TaskTracker,
}

impl Ending {
    /// Does what `verdict` says and answers how it ended, as a label.
    pub(crate) async fn write(
        &self,
        claimed: &Claimed,
        verdict: Verdict,
        mut events: Option<Telling>,
    ) -> &'static str {
        let events = &mut events;
        match verdict {
            Verdict::Over(over) => self.finish(claimed, *over, events).await,
            Verdict::Waits => self.park(claimed, events).await,
            Verdict::GiveBack(error) => self.give_back(claimed, &error, events).await,
            Verdict::Again => self.again(claimed, events).await,
            Verdict::Lost => "lease_lost",
        }
    }

    /// Writes the result down and hands the lane on.
    async fn finish(
        &self,
        claimed: &Claimed,
        over: Over,
        events: &mut Option<Telling>,
    ) -> &'static str {
        let has_endpoint = events.as_ref().is_some_and(|events| events.has_endpoint);
        let (finish, last) = self.finish_of(claimed, over, has_endpoint);
        let finish = Arc::new(finish);
        if let Some(events) = events {
            events.last = last;
        }
        match self.concluded(claimed, &finish, events).await {
            Ok(Some(label)) => label,
            Ok(None) if finish.gives_way => self.give_way(claimed, &finish, events).await,
            Ok(None) => "lease_lost",
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    execution.id = %claimed.execution_id,
                    "a result cannot be stored"
                );
                // It is the result itself that the database refuses: less of it is written.
                if let Some(events) = events {
                    events.last = None;
                }
                let less = Finish {
                    outcome: internal("the result"),
                    normalized_query: None,
                    llm_calls: Vec::new(),
                    ..Finish::clone(&finish)
                };
                self.finish_anyway(claimed, &less, events).await
            }
        }
    }

    async fn finish_anyway(
        &self,
        claimed: &Claimed,
        finish: &Finish,
        events: &mut Option<Telling>,
    ) -> &'static str {
        let finish = Arc::new(Finish { gives_way: false, ..finish.clone() });
        match self.concluded(claimed, &finish, events).await {
            Ok(label) => label.unwrap_or("lease_lost"),
            Err(error) => self.give_back(claimed, &error, events).await,
        }
    }

    /// Ends the execution and tells everybody. `None` if the lease is lost, or if it gives way and
    /// there is somebody to give way to.
    async fn concluded(
        &self,
        claimed: &Claimed,
        finish: &Arc<Finish>,
        events: &mut Option<Telling>,
    ) -> Result<Option<&'static str>, StoreError> {
        let finished = match finish.parent_answer {
            None => self.results.write(Conclusion::of(claimed, Arc::clone(finish))).await?,
            Some(_) => self.sub_agent_finished(claimed, finish).await?,
        };
        match finished {
            Finished::Done { more, reply_to } => {
                self.hand_on(claimed, finish, more, reply_to, events.take()).await;
                Ok(Some(label(&finish.outcome)))
            }
            Finished::Not => Ok(None),
        }
    }

    /// By itself: it is one transaction with the answer to its caller. It is held like the others
    /// while the database is away.
    async fn sub_agent_finished(
        &self,
        claimed: &Claimed,
        finish: &Finish,
    ) -> Result<Finished, StoreError> {
        let mut in_doubt = false;
        loop {
            let tried = match executions::finish(&self.store, claimed, finish).await {
                // It was written by a try whose answer was lost, or it is somebody else's.
                Ok(Finished::Not) if in_doubt => self.finished_before(claimed, finish).await,
                tried => tried,
            };
            match tried {
                Err(error) if error.is_transient() => in_doubt |= !error.is_timeout(),
                tried => return tried,
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn finished_before(
        &self,
        claimed: &Claimed,
        finish: &Finish,
    ) -> Result<Finished, StoreError> {
        let own = [Conclusion::of(claimed, Arc::new(finish.clone()))];
        let known = executions::finished_before(&self.store, &own, vec![Finished::Not]).await?;
        Ok(known.into_iter().next().unwrap_or(Finished::Not))
    }

    fn finish_of(
        &self,
        claimed: &Claimed,
        over: Over,
        events_due: bool,
    ) -> (Finish, Option<Event>) {
        let Over { outcome, input, variation, last, totals, gives_way } = over;
        let (call, told) = last.map(|last| (last.call, last.told)).unzip();
        let finished_at = self.clock.now();
        let parent_answer = parent_answer(claimed, &outcome, finished_at);
        let finish = Finish {
            outcome,
            normalized_query: input,
            variation,
            llm_calls: call.into_iter().collect(),
            totals,
            gives_way,
            events_due,
            parent_answer,
            finished_at,
        };
        (finish, told)
    }

    async fn hand_on(
        &self,
        claimed: &Claimed,
        finish: &Finish,
        more: bool,
        reply_to: Vec<String>,
        events: Option<Telling>,
    ) {
        if more || finish.parent_answer.is_some() {
            self.wake.wake();
        }
        self.news.send(reply_to, news_of(claimed));
        if matches!(finish.outcome, Outcome::Success { deliver: true, .. }) {
            self.announcing.announce(claimed);
        }
        if !matches!(finish.outcome, Outcome::Success { .. }) {
            self.cancel_sub_agents(claimed).await;
        }
        self.tell_the_end(claimed, finish, events).await;
    }

    /// Its messages are in the next execution of the session, whose lane is free now.
    async fn give_way(
        &self,
        claimed: &Claimed,
        finish: &Finish,
        events: &mut Option<Telling>,
    ) -> &'static str {
        loop {
            match executions::supersede(&self.store, claimed, finish).await {
                Ok(Superseded::By { newer, reply_to }) => {
                    tracing::info!(
                        execution.id = %claimed.execution_id,
                        execution.superseded_by = %newer,
                        "an execution gives way to newer messages"
                    );
                    self.wake.wake();
                    self.news.send(reply_to, news_of(claimed));
                    // An answer that does not count is not told.
                    if let Some(events) = events {
                        events.last = None;
                    }
                    let told = Finish { outcome: superseded(), ..finish.clone() };
                    self.tell_the_end(claimed, &told, events.take()).await;
                    return "superseded";
                }
                Ok(Superseded::No) => return self.after_all(claimed, finish, events).await,
                Err(error) if error.is_transient() => tokio::time::sleep(RETRY_PAUSE).await,
                Err(error) => return self.give_back(claimed, &error, events).await,
            }
        }
    }

    /// Whoever wrote has been cancelled meanwhile (or the lease is lost): an answer counts after
    /// all, and a run that was interrupted for nothing is taken up again.
    async fn after_all(
        &self,
        claimed: &Claimed,
        finish: &Finish,
        events: &mut Option<Telling>,
    ) -> &'static str {
        match finish.outcome {
            Outcome::Success { .. } => self.finish_anyway(claimed, finish, events).await,
            _ => self.again(claimed, events).await,
        }
    }

    /// Nobody waits any more for those who work for it. If this fails they end by themselves.
    async fn cancel_sub_agents(&self, claimed: &Claimed) {
        let (tenant, id) = (claimed.tenant_id, claimed.execution_id);
        let cancelled = control::request_cancel(&self.store, tenant, id, self.clock.now()).await;
        if let Err(error) = cancelled {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(execution.id = %id, error, "sub-agents are not told to stop");
        }
    }

    /// Beside the work: the lane is somebody else's already.
    async fn tell_the_end(&self, claimed: &Claimed, finish: &Finish, events: Option<Telling>) {
        let Some(Telling { stream, has_endpoint, last }) = events else { return };
        let error = error_event(&finish.outcome, claimed, finish.finished_at);
        stream.publish(last.into_iter().chain(error).collect()).await;
        let (id, published) = (claimed.execution_id, self.published.clone());
        let telling = async move {
            if stream.flush(FLUSH_PATIENCE).await && has_endpoint {
                published.note(id).await;
            }
        };
        self.tasks.spawn(telling.in_current_span());
    }

    async fn park(&self, claimed: &Claimed, events: &mut Option<Telling>) -> &'static str {
        let is_told = all_told(claimed, events.as_ref(), PARK_PATIENCE).await;
        loop {
            let lease = &claimed.lease;
            match control::park(&self.store, lease, claimed.execution_id, is_told).await {
                Ok(Held::Yes) => return "waiting",
                Ok(Held::No) => return "lease_lost",
                Err(error) if error.is_transient() => tokio::time::sleep(RETRY_PAUSE).await,
                Err(error) => return self.give_back(claimed, &error, events).await,
            }
        }
    }

    /// What was needed is away: the execution is run again later, by whoever is first.
    async fn give_back(
        &self,
        claimed: &Claimed,
        error: &StoreError,
        events: &mut Option<Telling>,
    ) -> &'static str {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            execution.id = %claimed.execution_id,
            "an execution is given back"
        );
        self.again(claimed, events).await
    }

    async fn again(&self, claimed: &Claimed, events: &mut Option<Telling>) -> &'static str {
        let is_told = all_told(claimed, events.as_ref(), GIVE_BACK_PATIENCE).await;
        // If this fails too, the lease runs out.
        let _given = executions::give_back(&self.store, claimed, GIVE_BACK_PAUSE, is_told).await;
        "given_back"
    }
}

/// Whether everything that happened in a run is known to be told.
async fn all_told(claimed: &Claimed, events: Option<&Telling>, patience: Duration) -> bool {
    match events {
        Some(Telling { stream, .. }) => stream.flush(patience).await,
        None => !claimed.is_untold,
    }
}

/// What the caller of a sub-agent is told.
fn parent_answer(
    claimed: &Claimed,
    outcome: &Outcome,
    finished_at: DateTime<Utc>,
) -> Option<ParentAnswer> {
    let (output, error_message) = match outcome {
        Outcome::Success { response, .. } => (response.clone(), None),
        Outcome::Failed { code, .. } | Outcome::Cancelled { code, .. } => {
            let told = format!("the agent gave no answer: {code}");
            (told.clone(), Some(told))
        }
        Outcome::Timeout => {
            let told = "the agent did not answer in time".to_owned();
            (told.clone(), Some(told))
        }
    };
    let duration_ms = (finished_at - claimed.created_at).num_milliseconds().max(0);
    claimed.parent.map(|parent| ParentAnswer { parent, output, error_message, duration_ms })
}

/// The event of an end without an answer.
pub(crate) fn error_event(
    outcome: &Outcome,
    claimed: &Claimed,
    occurred_at: DateTime<Utc>,
) -> Option<Event> {
    let (code, message) = match outcome {
        Outcome::Success { .. } => return None,
        Outcome::Failed { code, message } | Outcome::Cancelled { code, message } => {
            ((*code).to_owned(), message.clone())
        }
        Outcome::Timeout => ("timeout".to_owned(), "the agent did not answer in time".to_owned()),
    };
    let window = claimed.window.sequence;
    Some(Event { occurred_at, window, what: What::Error { code, message } })
}

/// A configuration that was accepted once and is not understood any more.
pub(crate) fn misconfigured(code: &'static str, whose: &str, problems: &[FieldProblem]) -> Outcome {
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    let message = format!("the {whose}'s configuration is wrong: {}", paths.join(", "));
    Outcome::Failed { code, message }
}

/// A bug, or a hand in the database; the log has more.
pub(crate) fn internal(what: &str) -> Outcome {
    Outcome::Failed { code: "internal_error", message: format!("{what} could not be handled") }
}

fn superseded() -> Outcome {
    let message = "a newer message came before the agent answered".to_owned();
    Outcome::Cancelled { code: "superseded", message }
}

fn label(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Success { .. } => "success",
        Outcome::Failed { .. } => "failed",
        Outcome::Timeout => "timeout",
        Outcome::Cancelled { .. } => "cancelled",
    }
}
