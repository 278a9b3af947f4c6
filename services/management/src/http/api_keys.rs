//! `/api/api-keys`: keys for reading this API and for webhooks. A key is shown once.

use actix_web::web::{self, Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use recado_http::auth::{ApiKey, Role};
use recado_http::{ApiError, Problem};
use recado_store::api_keys::{self, ApiKeyInfo, NewApiKey};
use recado_types::ApiKeyId;
use recado_types::scope::{Scope, Scopes};
use recado_types::shape::{ObjectReader, Problems};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::Found;
use super::schema::name;
use crate::Api;
use crate::access::Caller;
use crate::body::Body;
use crate::failure::{invalid, store_failed};
use crate::http::operation::{Access, Operation, RequestBody, Resource};
use crate::page::{self, Listing, Page};
use crate::query::QueryReader;

/// As many characters as any name may have.
const MAX_NAME: usize = 255;

/// What can be done with them.
pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource::new(
        "/api/api-keys",
        "API keys",
        &[
            Operation::get("List API keys", Access::Role(Role::Admin), || web::get().to(list))
                .details("Newest first, those that were revoked or have expired included.")
                .query(&[page::LIMIT, page::CURSOR])
                .answers::<Listing<Shown>>(200),
            Operation::post("Make an API key", Access::Role(Role::Admin), || {
                web::post().to(create)
            })
            .details(
                "The key is in this answer and in no other. Without `scopes` it reads what a \
                 viewer reads, and is good for webhooks of triggers with `auth.type: api_key`.",
            )
            .body(RequestBody::json(new_api_key_schema, new_api_key_example))
            .answers_data::<Shown>(201),
        ],
    ),
    Resource::new(
        "/api/api-keys/{id}",
        "API keys",
        &[Operation::delete("Revoke an API key", Access::Role(Role::Admin), || {
            web::delete().to(revoke)
        })
        .details("It stops working; its row stays, to tell when.")
        .answers_data::<Shown>(200)
        .problems(&[Problem::NotFound])],
    ),
];

/// A key as it is told.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
pub(super) struct Shown {
    id: ApiKeyId,
    name: String,
    /// How it begins.
    prefix: String,
    /// What it may be used for.
    scopes: Scopes,
    created_at: DateTime<Utc>,
    /// When it stops working by itself; `null` for never.
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    /// The minute in which it last worked.
    last_used_at: Option<DateTime<Utc>>,
    /// Only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl From<ApiKeyInfo> for Shown {
    fn from(info: ApiKeyInfo) -> Self {
        let ApiKeyInfo {
            id,
            name,
            prefix,
            scopes,
            created_at,
            expires_at,
            revoked_at,
            last_used_at,
        } = info;
        let key = None;
        Self { id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at, key }
    }
}

/// POST: makes a key.
pub(super) async fn create(
    api: Data<Api>,
    caller: Caller,
    body: Body,
) -> Result<HttpResponse, ApiError> {
    let now = api.clock.now();
    let asked = Asked::read(&body.json().await?, now)?;
    let key = ApiKey::from_random(&rand::random());
    let id = ApiKeyId(api.clock.fresh_id());
    let new = NewApiKey {
        id,
        name: &asked.name,
        prefix: key.shown_prefix(),
        hash: key.hash(),
        scopes: asked.scopes,
        expires_at: asked.expires_at,
    };
    let created = api_keys::create(&caller.store, caller.tenant, &new, now).await;
    let created = created.map_err(store_failed)?.ok_or(Problem::AlreadyExists)?;
    let shown = Shown { key: Some(key.expose().to_owned()), ..created.into() };
    Ok(HttpResponse::Created().json(Found::new(shown)))
}

/// GET: the keys, newest first, revoked ones included.
pub(super) async fn list(
    api: Data<Api>,
    caller: Caller,
    request: HttpRequest,
) -> Result<Json<Listing<Shown>>, ApiError> {
    let mut query = QueryReader::of(&request);
    let scope = format!("api-keys/{}", caller.tenant);
    let page: Page<ApiKeyId> = Page::read(&mut query, &api.cursors, scope);
    query.done()?;
    let found = api_keys::list(&caller.store, caller.tenant, page.after, page.n_rows()).await;
    let found = found.map_err(store_failed)?;
    let position = |key: &ApiKeyInfo| key.id.to_string();
    Ok(Json(page.listing(&api.cursors, found, position, Shown::from)))
}

/// DELETE: the key stops working. Its row stays, to tell when.
pub(super) async fn revoke(
    api: Data<Api>,
    caller: Caller,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let not_found = || ApiError::new(Problem::NotFound, "API key not found");
    let id: ApiKeyId = id.parse().map_err(|_no_id| not_found())?;
    let revoked = api_keys::revoke(&caller.store, caller.tenant, id, api.clock.now()).await;
    let revoked = revoked.map_err(store_failed)?.ok_or_else(not_found)?;
    Ok(Json(Found::new(revoked.into())))
}

/// What a new key is to be.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    name: String,
    /// `None` for what a key may do if nothing is said.
    scopes: Option<Scopes>,
    expires_at: Option<DateTime<Utc>>,
}

impl Asked {
    fn read(body: &Value, now: DateTime<Utc>) -> Result<Self, ApiError> {
        let problems = Problems::default();
        let asked = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
            let name = fields.required_name("name", MAX_NAME).map(str::to_owned);
            let scopes = read_scopes(&mut fields);
            let expires_at = read_expiry(&mut fields, now);
            let ours = ["id", "prefix", "key", "created_at", "revoked_at", "last_used_at"];
            fields.read_only(&ours);
            fields.done();
            Some(Self { name: name?, scopes, expires_at })
        });
        problems.finish(()).map_err(invalid)?;
        Ok(asked.expect("what is missing is a problem"))
    }
}

fn read_scopes(fields: &mut ObjectReader<'_>) -> Option<Scopes> {
    const KEY: &str = "scopes";
    let words = fields.strings(KEY, 1..=Scope::ALL.len(), 64)?;
    let scopes = words.into_iter().enumerate().filter_map(|(index, word)| {
        fields.accept(&format!("{KEY}[{index}]"), word.parse::<Scope>())
    });
    Some(scopes.collect())
}

fn read_expiry(fields: &mut ObjectReader<'_>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    const KEY: &str = "expires_at";
    let text = fields.string(KEY, 1..=64)?;
    let parsed = DateTime::parse_from_rfc3339(text);
    let at = fields.accept(KEY, parsed.map_err(|error| format!("is no RFC 3339 time: {error}")))?;
    if at <= now {
        fields.refuse(KEY, "must be in the future");
    }
    Some(at.to_utc())
}

fn new_api_key_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": name(MAX_NAME),
            "scopes": {
                "type": ["array", "null"],
                "items": { "type": "string", "enum": Scope::ALL.map(Scope::name) },
                "minItems": 1,
                "maxItems": Scope::ALL.len(),
            },
            "expires_at": {
                "type": ["string", "null"],
                "format": "date-time",
                "description": "When it stops working; in the future.",
            },
        },
        "required": ["name"],
        "additionalProperties": false,
    })
}

fn new_api_key_example() -> Value {
    json!({"name": "n8n", "scopes": ["executions:read", "webhooks:send"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn a_key_is_asked_for_with_scopes_and_an_end() {
        let end = "2027-01-15T09:00:00+01:00";
        let body = json!({"name": "n8n", "scopes": ["read", "read"], "expires_at": end});
        let error = Asked::read(&body, now()).unwrap_err();
        assert_eq!(error.problem(), Problem::InvalidInput, "that is now");
        let body = json!({"name": "n8n", "scopes": ["read", "read"], "expires_at": "2027-01-15T09:00:00Z"});
        let asked = Asked::read(&body, now()).unwrap();
        assert_eq!(asked.scopes, Some([Scope::Read].into_iter().collect()));
        assert_eq!(asked.expires_at, Some(now() + chrono::TimeDelta::hours(1)));
        let plain = json!({"name": "n8n", "scopes": null, "expires_at": null});
        let plain = Asked::read(&plain, now()).unwrap();
        assert_eq!((plain.scopes, plain.expires_at), (None, None));
        Asked::read(&new_api_key_example(), now()).unwrap();
    }
}
