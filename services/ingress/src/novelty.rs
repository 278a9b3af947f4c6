//! Whether a message begins a session, for senders that want to know (seed 003).

use std::time::Duration;

use recado_kv::Kv;
use recado_store::{Store, sessions};
use recado_types::{SessionId, TenantId};

/// How long Redis knows a session that nobody has recorded yet: longer than a window may be open.
const UNTIL_RECORDED: Duration = Duration::from_hours(1);

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

    /// Whether nobody has written in the session before, as far as can be told: without Redis, two
    /// messages at once are both the first, and without the database none is.
    pub(crate) async fn is_new(&self, tenant: TenantId, session: SessionId) -> bool {
        match sessions::exists(&self.store, tenant, session).await {
            Ok(true) => false,
            Ok(false) => self.kv.begin_session(session, UNTIL_RECORDED).await.unwrap_or(true),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "it cannot be told whether a session is new");
                false
            }
        }
    }
}
