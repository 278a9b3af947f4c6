//! Gives messages their execution and queues it in the session's lane.

use std::sync::Arc;

use recado_broker::{Handler, OnError, Received};
use recado_clock::Clock;
use recado_messages::ExecutionRequested;
use recado_service::lanes::Wake;
use recado_store::executions;
use recado_store::{Failure, Store, StoreError};

use crate::metrics::ADMITTED;

/// Why requests were not admitted.
#[derive(Debug, thiserror::Error)]
#[error("the messages were not admitted")]
pub(crate) struct AdmitError(#[source] StoreError);

/// The handler of `agent-runner.executions`.
pub(crate) struct AdmitExecution {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wake: Wake,
}

impl Handler for AdmitExecution {
    type Message = ExecutionRequested;
    type Error = AdmitError;

    async fn handle(&self, batch: Vec<Received<ExecutionRequested>>) -> Result<(), AdmitError> {
        let requests: Vec<&ExecutionRequested> = batch.iter().map(|item| &item.message).collect();
        let admitted = executions::admit(&self.store, &requests, self.clock.now()).await;
        let admitted = admitted.map_err(AdmitError)?;
        ADMITTED.inc_by(admitted.n_messages);
        if admitted.n_executions > 0 {
            self.wake.wake();
        }
        Ok(())
    }

    fn on_error(&self, error: &AdmitError) -> OnError {
        match error.0.failure() {
            Failure::Unavailable => OnError::Hold,
            Failure::Duplicate | Failure::Rejected | Failure::Internal => OnError::Isolate,
        }
    }
}
