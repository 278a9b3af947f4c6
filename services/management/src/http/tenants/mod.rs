//! `/api/tenant`, the owner of everything else, as its own people see it, and `/api/tenants`, where
//! operators decide which there are.

mod draft;
mod operators;

use actix_web::web::{self, Data};
use chrono::{DateTime, Utc};
use recado_http::auth::Role;
use recado_http::{ApiError, Problem};
use recado_store::tenants::{self, Tenant};
use recado_types::TenantId;
use recado_types::scope::Scope;
use schemars::JsonSchema;
use serde::Serialize;

use self::draft::By;
use super::Found;
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::etag::{IfMatch, Tagged, Version};
use crate::failure::store_failed;
use crate::http::operation::{Access, Operation, RequestBody, Resource};
use crate::optimistic::until_saved;

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/tenant",
        "Tenant",
        &[
            Operation::get("Show the tenant", Access::Key(Scope::ReadDirectory), || {
                web::get().to(show)
            })
            .answers_data::<Shown>(200)
            .with_etag(),
            Operation::patch("Change the tenant", Access::Role(Role::Admin), || {
                web::patch().to(update)
            })
            .details("Quotas are granted by operators.")
            .body(RequestBody::json(draft::own_patch, draft::own_patch_example))
            .answers_data::<Shown>(200)
            .problems(&[Problem::Conflict])
            .with_etag(),
        ],
    ),
    operators::TENANTS,
    operators::TENANT,
];

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Tenant")]
struct Shown {
    id: TenantId,
    name: String,
    /// Where its tools may go when a context field or a model names the host.
    allowed_hosts: Vec<String>,
    /// Where its requests may go at all; empty: anywhere.
    destination_hosts: Vec<String>,
    /// How many days executions are kept; `null` for ever. So are the next two.
    executions_retention_days: Option<i32>,
    /// What people and agents said.
    messages_retention_days: Option<i32>,
    /// What went to models, tools and receivers.
    call_bodies_retention_days: Option<i32>,
    /// What an operator grants it in a calendar month (UTC); `null` for as much as it likes.
    executions_per_month: Option<i64>,
    tokens_per_month: Option<i64>,
    /// Which of them is used up: until then, messages are refused.
    #[schemars(extend("enum" = ["executions", "tokens", null]))]
    over_quota: Option<&'static str>,
    over_quota_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Tenant> for Shown {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id,
            name: tenant.name,
            allowed_hosts: tenant.allowed_hosts,
            destination_hosts: tenant.destination_hosts,
            executions_retention_days: tenant.retention.executions_days,
            messages_retention_days: tenant.retention.messages_days,
            call_bodies_retention_days: tenant.retention.call_bodies_days,
            executions_per_month: tenant.quotas.executions_per_month,
            tokens_per_month: tenant.quotas.tokens_per_month,
            over_quota: tenant.over_quota.map(|over| over.quota.as_str()),
            over_quota_until: tenant.over_quota.map(|over| over.until),
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
        }
    }
}

fn version(tenant: &Tenant) -> Version {
    Version::time(tenant.updated_at)
}

fn one(tenant: Tenant) -> Tagged<Found<Shown>> {
    let version = version(&tenant);
    Tagged::new(Found::new(tenant.into()), version)
}

/// GET: the caller's tenant.
async fn show(caller: Caller) -> Result<Tagged<Found<Shown>>, ApiError> {
    Ok(one(find(&caller).await?))
}

/// PATCH: replaces the fields that are given.
async fn update(
    api: Data<Api>,
    caller: Caller,
    if_match: IfMatch,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let changes = draft::changes(&body.json().await?, By::Admin)?.own;
    let tenant = until_saved(async || {
        let current = find(&caller).await?;
        if_match.check(&version(&current))?;
        let (read_at, now) = (Some(current.updated_at), api.clock.now());
        let saved = tenants::update(&caller.store, caller.tenant, read_at, &changes, now).await;
        saved.map_err(store_failed)
    })
    .await?;
    Ok(one(tenant))
}

/// A token may outlive its tenant.
async fn find(caller: &Caller) -> Result<Tenant, ApiError> {
    let found = tenants::find(&caller.store, caller.tenant).await.map_err(store_failed)?;
    let gone = || ApiError::new(Problem::TenantMismatch, "the credential's tenant does not exist");
    found.ok_or_else(gone)
}
