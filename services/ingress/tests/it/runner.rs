//! Plays the agent runner, one step at a time.

use std::time::Duration;

use recado_broker::Publisher;
use recado_messages::{ExecutionFinished, ExecutionRequested};
use recado_store::executions::{self, Admitted, Finish, Finished, History, Outcome, Totals};
use recado_types::ExecutionId;

use crate::queue::Queue;
use crate::running::Running;

const LEASE: Duration = Duration::from_mins(1);
const HISTORY: History = History { turns: 0, bytes: 0 };

/// Who takes on what ingress asks for.
pub(crate) struct Runner<'r> {
    running: &'r Running,
    pub(crate) queue: Queue<ExecutionRequested>,
    publisher: Publisher,
}

/// A success, for which no callback waits.
pub(crate) fn success(response: &str) -> Outcome {
    Outcome::Success { response: response.to_owned(), deliver: false }
}

impl<'r> Runner<'r> {
    pub(crate) fn of(running: &'r Running) -> Self {
        Self { running, queue: running.requested(), publisher: running.publisher() }
    }

    /// The next request, of one message and with somebody who waits.
    pub(crate) async fn next(&self) -> ExecutionRequested {
        let requested = self.queue.next().await;
        assert_eq!(requested.messages.len(), 1);
        assert!(requested.reply_to.is_some(), "{requested:?}");
        requested
    }

    /// Admits the execution, if it is not there yet.
    pub(crate) async fn admit(&self, requested: &ExecutionRequested) -> Admitted {
        executions::admit(&self.running.store, &[requested], self.running.now()).await.unwrap()
    }

    /// Admits the execution and ends it; answers which queues are to be told.
    pub(crate) async fn end(
        &self,
        requested: &ExecutionRequested,
        outcome: Outcome,
    ) -> Vec<String> {
        self.admit(requested).await;
        let store = &self.running.store;
        let claimed = executions::claim(store, 1, LEASE, 1_000, HISTORY).await.unwrap().remove(0);
        assert_eq!(claimed.execution_id, execution_of(requested));
        let finish = Finish {
            totals: Totals { tokens: Some(7), cost_usd: None },
            ..Finish::new(outcome, &claimed.input, self.running.now())
        };
        match executions::finish(store, &claimed, &finish).await.unwrap() {
            Finished::Done { reply_to, .. } => reply_to,
            Finished::Not => panic!("the lease was lost"),
        }
    }

    /// Tells one who waits that the execution has ended.
    pub(crate) async fn tell(&self, requested: &ExecutionRequested, reply_to: &str) {
        let session_id = requested.messages[0].session_id;
        let news = ExecutionFinished { session_id, execution_id: execution_of(requested) };
        self.publisher.reply(reply_to, &news).await.unwrap();
    }

    /// Does the whole of an execution.
    pub(crate) async fn run(&self, outcome: Outcome) -> ExecutionRequested {
        let requested = self.next().await;
        for reply_to in self.end(&requested, outcome).await {
            self.tell(&requested, &reply_to).await;
        }
        requested
    }
}

pub(crate) fn execution_of(requested: &ExecutionRequested) -> ExecutionId {
    requested.execution_id().expect("it has a message")
}
