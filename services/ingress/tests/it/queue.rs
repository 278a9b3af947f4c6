//! What was published so far.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use recado_broker::{Handler, OnError, Received};
use recado_messages::Message;
use recado_testkit::wait_for;

use crate::running::SOON;

/// What was on a queue so far, in its order.
pub(crate) struct Queue<M>(Arc<Mutex<Vec<M>>>);

impl<M> Default for Queue<M> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<M> Clone for Queue<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Clone> Queue<M> {
    /// Waits for `n` messages.
    pub(crate) async fn wait_for(&self, n: usize) -> Vec<M> {
        let level = async || Some(self.all()).filter(|all| n <= all.len());
        wait_for("messages on the queue", SOON, level).await.unwrap()
    }

    /// Waits for the next message and forgets it, and all that were there with it.
    pub(crate) async fn next(&self) -> M {
        let next = self.wait_for(1).await.remove(0);
        self.clear();
        next
    }

    /// Forgets what was there so far.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub(crate) fn all(&self) -> Vec<M> {
        self.0.lock().unwrap().clone()
    }
}

impl<M: Message> Handler for Queue<M> {
    type Message = M;
    type Error = Infallible;

    async fn handle(&self, batch: Vec<Received<M>>) -> Result<(), Infallible> {
        self.0.lock().unwrap().extend(batch.into_iter().map(|received| received.message));
        Ok(())
    }

    fn on_error(&self, error: &Infallible) -> OnError {
        match *error {}
    }
}
