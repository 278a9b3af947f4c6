//! A knock on the loop's door.

use std::sync::Arc;

use tokio::sync::Notify;

/// Says that a lane may have something to run. Clones wake the same loop.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Makes the loop look. Knocks that come before it does count as one.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.0.notified().await;
    }
}
