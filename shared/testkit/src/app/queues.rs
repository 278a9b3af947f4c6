//! What there is on the broker of a system.

use super::TestApp;

/// What the name of every reply queue begins with.
const REPLY_QUEUES: &str = "ingress.replies.";

impl TestApp {
    /// The names of the queues on which instances of ingress hear of answers. Each belongs to one
    /// connection, and goes with it.
    pub async fn reply_queues(&self) -> anyhow::Result<Vec<String>> {
        let queues = self.backing.all_queues().await?.into_iter();
        Ok(queues.filter(|queue| queue.starts_with(REPLY_QUEUES)).collect())
    }
}
