//! What there is on the broker of a system.

use serde_json::json;

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

    /// Puts a message into a queue, as somebody might who is not us.
    pub async fn put(&self, queue: &str, body: &str) -> anyhow::Result<()> {
        let (admin, vhost) = self.backing.admin()?;
        Ok(admin.put(vhost, queue, &json!({"delivery_mode": 2}), body).await?)
    }
}
