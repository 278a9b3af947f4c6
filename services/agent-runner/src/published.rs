//! Sees to it that the last events of an execution are published, whatever dies meanwhile.
//!
//! An execution whose agent has an event endpoint ends with a note that its events are due. Once
//! the broker has confirmed them the note is taken away, many at a time; one that stays is found
//! here, and its events are told again from the journal.

use std::time::Duration;

use recado_store::Store;
use recado_store::executions::{self, EndedRun};
use recado_types::ExecutionId;
use recado_types::agent::AgentSpec;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::agent_loop::retold;
use crate::events::{Event, Events, What};
use crate::run_execution::source_of;

/// How many notes are taken away in one statement, at most, and how long one may wait for others.
const BATCH: usize = 500;
const GATHER: Duration = Duration::from_millis(200);
/// How often it is looked for notes that stayed, and how old they are then: longer than a runner
/// that lives takes to publish.
const SWEEP: Duration = Duration::from_secs(15);
const AGE: Duration = Duration::from_mins(1);
/// How many executions are told again at a time.
const RETOLD_AT_ONCE: i64 = 50;
/// How long the broker may take for one of them.
const PATIENCE: Duration = Duration::from_secs(10);

/// How executions end whose messages another one took over.
const SUPERSEDED: &str = "superseded";

/// Where it is said that all events of an execution are published.
#[derive(Clone, Debug)]
pub(crate) struct Published(mpsc::Sender<ExecutionId>);

/// Takes the notes away.
pub(crate) struct Notes(mpsc::Receiver<ExecutionId>);

impl Published {
    pub(crate) fn new() -> (Self, Notes) {
        let (sender, receiver) = mpsc::channel(BATCH);
        (Self(sender), Notes(receiver))
    }

    /// All events of an execution are published.
    pub(crate) async fn note(&self, id: ExecutionId) {
        // If nobody listens any more we are shutting down: it will be told again, in vain.
        let _ = self.0.send(id).await;
    }
}

impl Notes {
    /// Until nobody is left who could say anything.
    pub(crate) async fn run(mut self, store: Store) {
        let mut ids = Vec::with_capacity(BATCH);
        while self.0.recv_many(&mut ids, BATCH).await > 0 {
            // Others end at the same time; they share the statement.
            sleep(GATHER).await;
            while ids.len() < BATCH
                && let Ok(id) = self.0.try_recv()
            {
                ids.push(id);
            }
            if let Err(error) = executions::events_published(&store, &ids).await {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "some events will be published again");
            }
            ids.clear();
        }
    }
}

/// Looks for executions whose last events may not have been published, until `shutdown`.
pub(crate) async fn sweep(
    store: Store,
    events: Events,
    published: Published,
    shutdown: CancellationToken,
) {
    // At once: whoever starts may have died a while ago.
    let mut ticks = interval(SWEEP);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        match executions::with_events_due(&store, AGE, RETOLD_AT_ONCE).await {
            Ok(due) => {
                for ended in due {
                    retell(&events, &published, ended).await;
                }
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "nobody looks for unpublished events");
            }
        }
    }
}

async fn retell(events: &Events, published: &Published, ended: EndedRun) {
    let run = &ended.run;
    let Ok(spec) = AgentSpec::from_saved(&run.agent.spec) else {
        // It was understood when it ran. Who comes next must not be kept from their turn.
        tracing::error!(execution.id = %run.execution_id, "the agent is not understood: events are lost");
        published.note(run.execution_id).await;
        return;
    };
    let mut told = retold(run).unwrap_or_else(|error| {
        let error = &error as &dyn std::error::Error;
        tracing::error!(execution.id = %run.execution_id, error, "events are lost");
        Vec::new()
    });
    if ended.error_code.as_deref() == Some(SUPERSEDED) {
        // An answer that does not count is not told.
        told.retain(|event| !event.is_last_word());
    }
    if let Some(code) = ended.error_code {
        let message = ended.error_message.unwrap_or_default();
        let what = What::Error { code, message };
        told.push(Event { occurred_at: ended.finished_at, window: run.window.sequence, what });
    }
    let stream = events.open(source_of(run, spec.variation_for(run.session_id)));
    stream.publish(told).await;
    if stream.flush(PATIENCE).await {
        tracing::info!(execution.id = %run.execution_id, "events are told again");
        published.note(run.execution_id).await;
    }
}
