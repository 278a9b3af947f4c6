//! How events reach the broker: in order, beside the work.
//!
//! Each execution has a stream of its own. The loop hands events over and goes on; a task publishes
//! one after the other, each when the one before it is confirmed: an outage may delay and repeat
//! events, but it does not change their order.
//!
//! While the execution is worked on, an event is tried again until the broker has it. When it is
//! left with events unpublished, for whatever reason, they are tried once more and then given up:
//! what the journal knows can be published again, under the same ids.

use std::time::Duration;

use recado_broker::{PublishError, Publisher};
use recado_messages::ObjectiveEvent;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::envelope;
use super::event::{Event, EventSource};
use crate::metrics::EVENTS;

/// The events of one execution that may wait for the broker; more of them wait for their turn. One
/// may have 64 KiB, and all executions of a process may wait at the same time.
const MAX_WAITING: usize = 200;
/// The pauses between two tries double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Publishes what happens in executions. One for each process.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    publisher: Publisher,
    tasks: TaskTracker,
}

impl Events {
    /// Shutdown waits for `tasks`, and they for the streams to be dropped.
    pub(crate) fn new(publisher: Publisher, tasks: TaskTracker) -> Self {
        Self { publisher, tasks }
    }

    /// The stream of an execution that is being worked on. Of one execution there must not be two
    /// at a time, or their events mix.
    pub(crate) fn open(&self, source: EventSource) -> EventStream {
        let (line, waiting) = mpsc::channel(MAX_WAITING);
        let left = CancellationToken::new();
        let carrier = Carrier {
            publisher: self.publisher.clone(),
            waiting,
            left: left.clone(),
            given_up: GivenUp::default(),
        };
        self.tasks.spawn(carrier.run(source.execution_id.to_string()).in_current_span());
        EventStream { source, line, _left: left.drop_guard() }
    }
}

/// The events of one execution, on their way.
#[derive(Debug)]
pub(crate) struct EventStream {
    source: EventSource,
    line: mpsc::Sender<Item>,
    /// Tells the carrier that nobody waits any more.
    _left: DropGuard,
}

#[derive(Debug)]
enum Item {
    Event(Box<ObjectiveEvent>),
    /// Whether everything before it is published.
    Flush(oneshot::Sender<bool>),
}

impl EventStream {
    /// Hands `events` over, in order, and returns without waiting for the broker, unless 200 of
    /// the execution wait for it already.
    pub(crate) async fn publish(&self, events: Vec<Event>) {
        for event in events {
            let item = Item::Event(Box::new(message(&self.source, &event)));
            if self.line.send(item).await.is_err() {
                // The carrier is gone, with the runtime; a flush would say so.
                return;
            }
        }
    }

    /// Waits for at most `patience` until everything that was handed over is confirmed.
    ///
    /// `true` says that it is. `false` says that it is not known to be: some of it has to be
    /// published again from the journal.
    pub(crate) async fn flush(&self, patience: Duration) -> bool {
        let (answer, is_published) = oneshot::channel();
        let flushing = async {
            self.line.send(Item::Flush(answer)).await.ok()?;
            is_published.await.ok()
        };
        matches!(timeout(patience, flushing).await, Ok(Some(true)))
    }
}

fn message(source: &EventSource, event: &Event) -> ObjectiveEvent {
    ObjectiveEvent {
        event_id: event.id(source),
        tenant_id: source.tenant_id,
        session_id: source.session_id,
        execution_id: source.execution_id,
        agent_id: source.agent.id,
        event_type: event.what.kind().to_owned(),
        occurred_at: event.occurred_at,
        endpoint: source.agent.has_endpoint,
        payload: envelope::of(source, event),
    }
}

/// Carries the events of one execution to the broker.
struct Carrier {
    publisher: Publisher,
    waiting: mpsc::Receiver<Item>,
    /// Nobody works on the execution any more.
    left: CancellationToken,
    given_up: GivenUp,
}

#[derive(Default)]
struct GivenUp {
    n_events: usize,
    /// Why the first of them was.
    error: Option<PublishError>,
}

impl Carrier {
    async fn run(mut self, execution: String) {
        while let Some(item) = self.waiting.recv().await {
            match item {
                Item::Event(event) => self.carry(&event).await,
                Item::Flush(answer) => {
                    // Whoever asked may have lost patience.
                    let _ = answer.send(self.given_up.n_events == 0);
                }
            }
        }
        if let Some(error) = &self.given_up.error {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                execution.id = execution,
                event.count = self.given_up.n_events,
                "events of execution {execution} are not known to be published"
            );
        }
    }

    /// Publishes the next event, or gives it up: after one that was given up, so is all that
    /// follows, for it would come before what it follows from.
    async fn carry(&mut self, event: &ObjectiveEvent) {
        if self.given_up.n_events > 0 {
            return self.give_up(None);
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.publisher.publish(event).await {
                Ok(()) => return EVENTS.with_label_values(&["published"]).inc(),
                Err(error) => error,
            };
            if is_unsendable(&error) {
                return report_unsendable(event, &error);
            }
            if self.left.is_cancelled() {
                return self.give_up(Some(error));
            }
            let rest = pause.mul_f64(rand::random_range(0.5..=1.0));
            self.left.run_until_cancelled(sleep(rest)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn give_up(&mut self, error: Option<PublishError>) {
        EVENTS.with_label_values(&["given_up"]).inc();
        self.given_up.n_events += 1;
        self.given_up.error = self.given_up.error.take().or(error);
    }
}

/// Whether it fails however often it is tried.
fn is_unsendable(error: &PublishError) -> bool {
    match error {
        PublishError::Encode(_) | PublishError::TooLarge { .. } => true,
        PublishError::Blocked
        | PublishError::Unavailable
        | PublishError::Disconnected
        | PublishError::Timeout
        | PublishError::Unroutable
        | PublishError::Refused => false,
    }
}

/// It would fail from the journal too, so nobody is asked to publish it again.
fn report_unsendable(event: &ObjectiveEvent, error: &PublishError) {
    EVENTS.with_label_values(&["unsendable"]).inc();
    tracing::error!(
        error = error as &dyn std::error::Error,
        event.id = %event.event_id,
        "event {} cannot be published", event.event_id
    );
}

#[cfg(test)]
mod tests;
