//! Takes events in: a row for each endpoint that wants them, then the acknowledgement.

use std::sync::Arc;

use recado_broker::{Handler, OnError, Received};
use recado_clock::Clock;
use recado_messages::ObjectiveEvent;
use recado_store::event_deliveries::{self, NewEvent};
use recado_store::{Failure, Store, StoreError};
use tokio::sync::Notify;

/// The handler of `delivery.events`. What comes again is recorded already.
pub(super) struct RecordEvents {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    /// Notified when there is something new to send.
    pub(super) wake: Arc<Notify>,
}

impl Handler for RecordEvents {
    type Message = ObjectiveEvent;
    type Error = StoreError;

    async fn handle(&self, batch: Vec<Received<ObjectiveEvent>>) -> Result<(), StoreError> {
        let events: Vec<NewEvent> = batch.into_iter().map(new_event).collect();
        let n_due = event_deliveries::record(&self.store, &events, self.clock.now()).await?;
        if n_due > 0 {
            self.wake.notify_one();
        }
        Ok(())
    }

    fn on_error(&self, error: &StoreError) -> OnError {
        match error.failure() {
            Failure::Unavailable => OnError::Hold,
            Failure::Duplicate | Failure::Rejected | Failure::Internal => OnError::Isolate,
        }
    }
}

/// The payload becomes text here, once: what is signed is what was stored, byte for byte.
fn new_event(received: Received<ObjectiveEvent>) -> NewEvent {
    let event = received.message;
    NewEvent {
        id: event.event_id,
        tenant_id: event.tenant_id,
        agent_id: event.agent_id,
        session_id: event.session_id,
        execution_id: event.execution_id,
        event_type: event.event_type,
        occurred_at: event.occurred_at,
        payload: event.payload.to_string(),
        trace: received.trace,
    }
}
