//! Whether a message begins a session, for senders that want to know (seed 003).

use std::time::Duration;

use recado_kv::Kv;
use recado_store::{Store, sessions};
use recado_types::{MessageId, SessionId, TenantId};
use tokio::time::timeout;

/// How long Redis knows a session that nobody has recorded yet: longer than a window may be open.
const UNTIL_RECORDED: Duration = Duration::from_hours(1);

/// How long the database may take to say whether it knows a session.
const WITHIN: Duration = Duration::from_millis(300);

/// Who knows the sessions that have begun: the database once the first message is admitted, and
/// Redis until then.
#[derive(Debug)]
pub(crate) struct Novelty {
    kv: Kv,
    store: Store,
}

impl Novelty {
    pub(crate) fn new(kv: Kv, store: Store) -> Self {
        Self { kv, store }
    }

    /// Whether `message` is the first of its session, as far as can be told: without Redis, two at
    /// once are both the first, and without the database none is. A repeated one is told the same.
    pub(crate) async fn is_new(
        &self,
        tenant: TenantId,
        session: SessionId,
        message: MessageId,
    ) -> bool {
        let asked = Box::pin(sessions::exists(&self.store, tenant, session));
        match timeout(WITHIN, asked).await {
            Ok(Ok(true)) => false,
            Ok(Ok(false)) => {
                let begun = self.kv.begin_session(session, message, UNTIL_RECORDED);
                begun.await.unwrap_or(true)
            }
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "it cannot be told whether a session is new");
                false
            }
            Err(_elapsed) => false,
        }
    }
}
