//! `X-Api-Key`: any key of the trigger's tenant.
//!
//! Keys are looked up by their SHA-256, so neither the cache nor the database holds one, and
//! finding one takes as long whatever its first letters are.

use std::sync::Arc;
use std::time::Duration;

use recado_store::{Store, webhooks};
use recado_types::TenantId;
use sha2::{Digest, Sha256};

use crate::lookup::{Freshness, Lookups};
use crate::refusal::Refusal;

/// Where it is.
pub(super) const HEADER: &str = "X-Api-Key";

/// The longest key that is looked at.
const MAX_KEY: usize = 512;

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
        let key = key.map(str::trim).filter(|key| !key.is_empty() && key.len() <= MAX_KEY);
        let key = key.ok_or(Refusal::InvalidApiKey)?;
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let load = async || webhooks::api_key_tenant(&self.store, &hash).await;
        let owner = self.tenants.get(hash, load).await.map_err(Refusal::lookup)?;
        if owner == Some(tenant) { Ok(()) } else { Err(Refusal::InvalidApiKey) }
    }

    /// A key of `tenant` was made or revoked.
    pub(crate) async fn forget_tenant(&self, tenant: TenantId) {
        self.tenants.forget_where(|owner| *owner == tenant).await;
    }

    /// Anything may have changed.
    pub(crate) fn doubt_all(&self) {
        self.tenants.doubt_all();
    }
}
