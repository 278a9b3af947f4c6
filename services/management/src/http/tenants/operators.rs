//! `/api/tenants`: which tenants there are, for those who run the installation.
//!
//! An operator sees nothing of what is a tenant's. What they change is in that tenant's audit log.

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path};
use recado_http::{ApiError, Problem};
use recado_store::tenants::{self, EnsureTenant, Tenant};
use recado_types::{ProjectId, TenantId};

use super::draft::{self, By};
use super::{Shown, one, version};
use crate::access::{Operator, permitted};
use crate::body::Body;
use crate::etag::{IfMatch, Tagged};
use crate::failure::store_failed;
use crate::http::operation::{Access, Operation, RequestBody, Resource};
use crate::http::{DONE, Done, Found};
use crate::optimistic::until_saved;
use crate::page::{CURSOR, LIMIT, Listing, Page};
use crate::query::QueryReader;
use crate::{Api, audit};

pub(super) const TENANTS: Resource = Resource::new(
    "/api/tenants",
    "Tenants",
    &[
        Operation::get("List tenants", Access::Operator, || web::get().to(list))
            .details("Newest first.")
            .query(&[LIMIT, CURSOR])
            .answers::<Listing<Shown>>(200),
        Operation::post("Make a tenant", Access::Operator, || web::post().to(create))
            .details("It has one project from the beginning.")
            .body(RequestBody::json(draft::new_tenant, draft::new_tenant_example))
            .answers_data::<Shown>(201)
            .problems(&[Problem::Conflict])
            .with_etag(),
    ],
);

pub(super) const TENANT: Resource = Resource::new(
    "/api/tenants/{id}",
    "Tenants",
    &[
        Operation::get("Show a tenant", Access::Operator, || web::get().to(show))
            .answers_data::<Shown>(200)
            .problems(&[Problem::TenantNotFound])
            .with_etag(),
        Operation::patch("Change a tenant", Access::Operator, || web::patch().to(update))
            .details(
                "Quotas, and what its own admins can change. A quota that is raised lets messages \
                 in again within a minute or so.",
            )
            .body(RequestBody::json(draft::operator_patch, draft::operator_patch_example))
            .answers_data::<Shown>(200)
            .problems(&[Problem::TenantNotFound, Problem::Conflict])
            .with_etag(),
        Operation::delete("Delete a tenant", Access::Operator, || web::delete().to(delete))
            .details(
                "Only one that has nothing but projects: no agents, triggers, secrets, keys, \
                 members and so on, and never had any that are kept for the sake of what they did.",
            )
            .answers::<Done>(200)
            .problems(&[Problem::TenantNotFound, Problem::Conflict]),
    ],
);

/// GET: the tenants, newest first.
async fn list(
    api: Data<Api>,
    operator: Operator,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let page: Page<TenantId> = Page::read(&mut query, &api.cursors, "tenants".to_owned());
    query.done()?;
    let found = tenants::list(&operator.store, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |tenant: &Tenant| tenant.id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// POST: makes a tenant and its first project.
async fn create(
    api: Data<Api>,
    operator: Operator,
    request: HttpRequest,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let (name, changes) = draft::new(&body.json().await?)?;
    let (id, project_id) = (TenantId(api.clock.fresh_id()), ProjectId(api.clock.fresh_id()));
    let store = operator.store.for_tenant(id);
    let (identity, operation) = permitted(&request).await?;
    let entry = audit::entry(&api, id, &identity, &request, operation);
    let new = EnsureTenant { id, project_id, name: &name };
    let made = tenants::create(&store, &new, &changes, &entry, api.clock.now()).await;
    let made = made.map_err(store_failed)?.ok_or(Problem::Conflict)?;
    audit::remember(&request, &store, entry.id);
    Ok(one(made).made_at(format!("/api/tenants/{id}")))
}

/// GET: one tenant.
async fn show(operator: Operator, id: Path<String>) -> Result<Tagged<Found<Shown>>, ApiError> {
    Ok(one(find(&operator, parse_id(&id)?).await?))
}

/// PATCH: replaces the fields that are given.
async fn update(
    api: Data<Api>,
    operator: Operator,
    id: Path<String>,
    if_match: IfMatch,
    request: HttpRequest,
    body: Body,
) -> Result<Tagged<Found<Shown>>, ApiError> {
    let id = parse_id(&id)?;
    written_down(&api, &request, id).await?;
    let changes = draft::changes(&body.json().await?, By::Operator)?;
    let tenant = until_saved(async || {
        let current = find(&operator, id).await?;
        if_match.check(&version(&current))?;
        let (read_at, now) = (Some(current.updated_at), api.clock.now());
        let saved = tenants::update_by_operator(&operator.store, id, read_at, &changes, now).await;
        saved.map_err(store_failed)
    })
    .await?;
    Ok(one(tenant))
}

/// DELETE: a tenant that has nothing.
async fn delete(
    api: Data<Api>,
    operator: Operator,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Done>, ApiError> {
    let id = parse_id(&id)?;
    written_down(&api, &request, id).await?;
    let deleted = tenants::delete(&operator.store.for_tenant(id), id).await;
    if deleted.map_err(store_failed)? {
        return Ok(Json(DONE));
    }
    Err(ApiError::new(Problem::Conflict, "the tenant has, or had, more than projects"))
}

/// # Errors
/// 404 if there is no such tenant.
async fn written_down(api: &Api, request: &HttpRequest, id: TenantId) -> Result<(), ApiError> {
    let (identity, operation) = permitted(request).await?;
    let store = api.store.for_tenant(id);
    let begun = audit::begin(api, &store, id, &identity, request, operation).await;
    begun.map_err(|error| match error.problem() {
        Problem::TenantMismatch => Problem::TenantNotFound.into(),
        _ => error,
    })
}

async fn find(operator: &Operator, id: TenantId) -> Result<Tenant, ApiError> {
    let found = tenants::find(&operator.store, id).await.map_err(store_failed)?;
    found.ok_or_else(|| Problem::TenantNotFound.into())
}

fn parse_id(id: &str) -> Result<TenantId, ApiError> {
    id.parse().map_err(|_no_id| Problem::TenantNotFound.into())
}
