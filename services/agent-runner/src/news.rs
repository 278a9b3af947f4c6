//! Tells those who wait for an execution that it has ended.

use futures_util::future::join_all;
use recado_broker::Publisher;
use recado_messages::ExecutionFinished;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Sends news to reply queues, beside the work: nobody's turn comes later because somebody else
/// is being told.
///
/// It may be lost, with this process or with the broker. Whoever waits looks at the row from time
/// to time.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) publisher: Publisher,
    pub(crate) tasks: TaskTracker,
}

impl News {
    /// Sends `news` to all of `queues`, once and in the background; shutdown waits for it, for as
    /// long as a publication may take.
    pub(crate) fn send(&self, queues: Vec<String>, news: ExecutionFinished) {
        if queues.is_empty() {
            return;
        }
        let publisher = self.publisher.clone();
        let sending = async move {
            join_all(queues.iter().map(|queue| tell(&publisher, queue, &news))).await;
        };
        self.tasks.spawn(sending.in_current_span());
    }
}

async fn tell(publisher: &Publisher, queue: &str, news: &ExecutionFinished) {
    if let Err(error) = publisher.reply(queue, news).await {
        let error = &error as &dyn std::error::Error;
        tracing::debug!(error, "whoever waits will find the end by itself");
    }
}
