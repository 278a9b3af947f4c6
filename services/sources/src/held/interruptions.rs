//! Who has to be interrupted when the configuration changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use recado_store::listen::Change;
use recado_types::{TenantId, TriggerId};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

/// The sources that are held, and how they are told to let go.
#[derive(Debug, Default)]
pub(crate) struct Interruptions(Mutex<HashMap<TriggerId, (TenantId, CancellationToken)>>);

impl Interruptions {
    /// Cancelled when the trigger, or a secret of its tenant, changes. What is held for it has to
    /// let go then: whoever claims it next reads it again.
    pub(crate) fn of(&self, trigger: TriggerId, tenant: TenantId) -> CancellationToken {
        let token = CancellationToken::new();
        let mut held = self.held();
        held.retain(|_, (_, token)| !token.is_cancelled());
        held.insert(trigger, (tenant, token.clone()));
        token
    }

    /// Heeds what changes, until nobody listens to the database any more.
    pub(crate) async fn heed(self: Arc<Self>, mut changes: Receiver<Change>) {
        // The first thing that is heard is that nothing was heard before: whatever is held by then was
        // read a moment ago.
        let mut has_begun = false;
        while let Some(change) = changes.recv().await {
            if change == Change::Reset && !std::mem::replace(&mut has_begun, true) {
                continue;
            }
            let is_meant = |id: &TriggerId, tenant: &TenantId| match &change {
                // Anything may have changed; they are claimed again at once.
                Change::Reset => true,
                Change::Row { table, id: row, tenant_id } => match table.as_str() {
                    "triggers" => id.0 == *row,
                    "secrets" | "tenants" => tenant == tenant_id,
                    _ => false,
                },
            };
            let held = self.held();
            let meant = held.iter().filter(|(id, (tenant, _))| is_meant(id, tenant));
            meant.for_each(|(_, (_, token))| token.cancel());
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<TriggerId, (TenantId, CancellationToken)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
