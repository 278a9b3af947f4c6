//! `/api/api-keys`: keys for reading this API and for webhooks. A key is shown once.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use recado_http::auth::ApiKey;
use recado_http::{ApiError, Problem};
use recado_store::api_keys::{self, ApiKeyInfo, NewApiKey};
use recado_types::ApiKeyId;
use recado_types::shape::{ObjectReader, Problems};
use serde::Serialize;
use serde_json::Value;

use super::Found;
use crate::Api;
use crate::access::{Caller, ReadSecrets, WriteSecrets};
use crate::body::Body;
use crate::failure::{invalid, store_failed};
use crate::page::{Listing, Page};
use crate::query::QueryReader;

#[derive(Serialize)]
pub(super) struct Shown {
    id: ApiKeyId,
    name: String,
    prefix: String,
    created_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
    /// Only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl From<ApiKeyInfo> for Shown {
    fn from(info: ApiKeyInfo) -> Self {
        let ApiKeyInfo { id, name, prefix, created_at, revoked_at } = info;
        Self { id, name, prefix, created_at, revoked_at, key: None }
    }
}

/// POST: makes a key.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller<WriteSecrets>,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let name = read_name(&body.json().await?)?;
    let key = ApiKey::from_random(&rand::random());
    let id = ApiKeyId(api.clock.fresh_id());
    let new = NewApiKey { id, name: &name, prefix: key.shown_prefix(), hash: key.hash() };
    let created = api_keys::create(&api.store, caller.tenant, &new, api.clock.now()).await;
    let created = created.map_err(store_failed)?.ok_or(Problem::AlreadyExists)?;
    let shown = Shown { key: Some(key.expose().to_owned()), ..created.into() };
    Ok(HttpResponse::Created().json(Found::new(shown)))
}

/// GET: the keys, newest first, revoked ones included.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller<ReadSecrets>,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request)?;
    let scope = format!("api-keys/{}", caller.tenant);
    let page: Page<ApiKeyId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = api_keys::list(&api.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |key: &ApiKeyInfo| key.id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// DELETE: the key stops working. Its row stays, to tell when.
pub(super) async fn revoke(
    api: Data<Api>,
    caller: Caller<WriteSecrets>,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let not_found = || ApiError::new(Problem::NotFound, "API key not found");
    let id: ApiKeyId = id.parse().map_err(|_no_id| not_found())?;
    let revoked = api_keys::revoke(&api.store, caller.tenant, id, api.clock.now()).await;
    let revoked = revoked.map_err(store_failed)?.ok_or_else(not_found)?;
    Ok(Json(Found::new(revoked.into())))
}

fn read_name(body: &Value) -> Result<String, ApiError> {
    let problems = Problems::default();
    let name = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        let name = fields.required_name("name", 255).map(str::to_owned);
        fields.read_only(&["id", "prefix", "key", "created_at", "revoked_at"]);
        fields.done();
        name
    });
    problems.finish(()).map_err(invalid)?;
    Ok(name.expect("what is missing is a problem"))
}
