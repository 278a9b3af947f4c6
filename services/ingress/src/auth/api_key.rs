//! `X-Api-Key`: a key of the trigger's tenant that may send webhooks and has not expired.
//!
//! Keys are looked up by their SHA-256, so neither the cache nor the database holds one, and
//! finding one takes as long whatever its first letters are. That a key is used is written down
//! when it is looked up, by a task of its own: no request waits for it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_http::auth::ApiKey;
use recado_store::api_keys::{ApiKeyAccess, RecentUses};
use recado_store::listen::Change;
use recado_store::{Store, webhooks};
use recado_types::TenantId;
use recado_types::scope::Scope;
use tokio_util::task::TaskTracker;

use crate::lookup::{Freshness, Lookups};
use crate::refusal::Refusal;

/// How many keys are remembered, and how long they are believed without a look.
const REMEMBERED: u64 = 20_000;
const FRESH_FOR: Duration = Duration::from_secs(5);

/// Whose key is it, and what for? Remembers for a few seconds, and while the database is away.
#[derive(Debug)]
pub(crate) struct ApiKeys {
    store: Store,
    keys: Lookups<[u8; 32], ApiKeyAccess>,
    uses: Arc<RecentUses>,
    tasks: TaskTracker,
}

impl ApiKeys {
    pub(crate) fn new(store: Store, tasks: TaskTracker) -> Arc<Self> {
        let freshness = Freshness { known_for: FRESH_FOR, unknown_for: FRESH_FOR };
        let keys = Lookups::new("api_key", REMEMBERED, freshness);
        Arc::new(Self { store, keys, uses: Arc::default(), tasks })
    }

    /// Whether `key` is one of `tenant`'s, and good for webhooks `now`.
    pub(super) async fn check(
        &self,
        key: Option<&str>,
        tenant: TenantId,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let key: Option<ApiKey> = key.and_then(|key| key.trim().parse().ok());
        let hash = key.ok_or(Refusal::InvalidApiKey)?.hash();
        let may_send = |key: &ApiKeyAccess| {
            key.tenant_id == tenant && key.is_good(now) && key.allows(Scope::SendWebhooks)
        };
        let load = async || {
            let found = webhooks::api_key(&self.store, &hash).await?;
            if let Some(key) = found.filter(may_send) {
                self.note(key, now);
            }
            Ok::<_, recado_store::StoreError>(found)
        };
        let found = self.keys.get(hash, load).await.map_err(Refusal::Lookup)?;
        found.filter(may_send).map(drop).ok_or(Refusal::InvalidApiKey)
    }

    fn note(&self, key: ApiKeyAccess, now: DateTime<Utc>) {
        let (uses, store) = (Arc::clone(&self.uses), self.store.clone());
        self.tasks.spawn(async move { uses.note(&store, &key, now).await });
    }

    /// Something in the configuration changed.
    pub(crate) async fn apply(&self, change: &Change) {
        match change {
            Change::Reset => self.keys.doubt_all(),
            Change::Row { table, tenant_id, .. } if table == "api_keys" => {
                self.keys.forget_where(|key| key.tenant_id == *tenant_id).await;
            }
            Change::Row { .. } => {}
        }
    }
}
