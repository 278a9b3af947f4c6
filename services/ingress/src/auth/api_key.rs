//! `X-Api-Key`: any key of the trigger's tenant.
//!
//! Keys are looked up by their SHA-256, so neither the cache nor the database holds one, and
//! finding one takes as long whatever its first letters are.

use std::sync::Arc;
use std::time::Duration;

use recado_http::auth::ApiKey;
use recado_store::listen::Change;
use recado_store::{Store, webhooks};
use recado_types::TenantId;

use crate::lookup::{Freshness, Lookups};
use crate::refusal::Refusal;

/// How many keys are remembered, and how long they are believed without a look.
const REMEMBERED: u64 = 20_000;
const FRESH_FOR: Duration = Duration::from_secs(5);

/// Whose key is it? Remembers for a few seconds, and while the database is away.
#[derive(Debug)]
pub(crate) struct ApiKeys {
    store: Store,
    tenants: Lookups<[u8; 32], TenantId>,
}

impl ApiKeys {
    pub(crate) fn new(store: Store) -> Arc<Self> {
        let freshness = Freshness { known_for: FRESH_FOR, unknown_for: FRESH_FOR };
        Arc::new(Self { store, tenants: Lookups::new("api_key", REMEMBERED, freshness) })
    }

    /// Whether `key` is one of `tenant`'s.
    pub(super) async fn check(&self, key: Option<&str>, tenant: TenantId) -> Result<(), Refusal> {
        let key: Option<ApiKey> = key.and_then(|key| key.trim().parse().ok());
        let hash = key.ok_or(Refusal::InvalidApiKey)?.hash();
        let load = async || webhooks::api_key_tenant(&self.store, &hash).await;
        let owner = self.tenants.get(hash, load).await.map_err(Refusal::Lookup)?;
        if owner == Some(tenant) { Ok(()) } else { Err(Refusal::InvalidApiKey) }
    }

    /// Something in the configuration changed.
    pub(crate) async fn apply(&self, change: &Change) {
        match change {
            Change::Reset => self.tenants.doubt_all(),
            Change::Row { table, tenant_id, .. } if table == "api_keys" => {
                self.tenants.forget_where(|owner| owner == tenant_id).await;
            }
            Change::Row { .. } => {}
        }
    }
}
