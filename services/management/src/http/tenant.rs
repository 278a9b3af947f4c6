//! `/api/tenant`: the owner of everything else, and where its tools may be led and its requests may
//! go.

use actix_web::web::{Data, Json};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::tenants::{self, Tenant, TenantChanges};
use recado_types::TenantId;
use recado_types::hosts::HostPattern;
use recado_types::shape::{ObjectReader, Problems};
use serde::Serialize;
use serde_json::Value;

use super::Found;
use crate::Api;
use crate::access::{Caller, Read, WriteTenant};
use crate::body::Body;
use crate::failure::{invalid, store_failed};

const MAX_NAME: usize = 255;
const MAX_HOSTS: usize = 200;
/// The longest name of a host has 253 characters; `*.` and a port may stand around it.
const MAX_HOST: usize = 261;

#[derive(Serialize)]
pub(super) struct Shown {
    id: TenantId,
    name: String,
    allowed_hosts: Vec<String>,
    destination_hosts: Vec<String>,
    created_at: DateTime<Utc>,
}

impl From<Tenant> for Shown {
    fn from(tenant: Tenant) -> Self {
        let Tenant { id, name, allowed_hosts, destination_hosts, created_at } = tenant;
        Self { id, name, allowed_hosts, destination_hosts, created_at }
    }
}

/// GET: the caller's tenant.
pub(super) async fn show(
    api: Data<Api>,
    caller: Caller<Read>,
) -> Result<Json<Found<Shown>>, ApiError> {
    found(tenants::find(&api.store, caller.tenant).await.map_err(store_failed)?)
}

/// PATCH: replaces the fields that are given.
pub(super) async fn update(
    api: Data<Api>,
    caller: Caller<WriteTenant>,
    body: Body,
) -> Result<Json<Found<Shown>>, ApiError> {
    let changes = read(&body.json().await?)?;
    found(tenants::update(&api.store, caller.tenant, &changes).await.map_err(store_failed)?)
}

/// A token may outlive its tenant.
fn found(tenant: Option<Tenant>) -> Result<Json<Found<Shown>>, ApiError> {
    let gone = || ApiError::new(Problem::TenantMismatch, "the credential's tenant does not exist");
    Ok(Json(Found::new(tenant.ok_or_else(gone)?.into())))
}

/// What a body changes.
fn read(body: &Value) -> Result<TenantChanges, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).map(|mut fields| {
        if fields.is_null("name") {
            fields.refuse("name", "cannot be taken away");
        }
        let name = fields.name("name", MAX_NAME).map(str::to_owned);
        let allowed_hosts = read_hosts(&mut fields, "allowed_hosts");
        let destination_hosts = read_hosts(&mut fields, "destination_hosts");
        fields.read_only(&["id", "created_at"]);
        fields.done();
        TenantChanges { name, allowed_hosts, destination_hosts }
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("anything but an object is a problem"))
}

/// `null` empties a list: without `allowed_hosts`, no host may be named by anybody but a tool's
/// configuration; without `destination_hosts`, any host may be.
fn read_hosts(fields: &mut ObjectReader<'_>, key: &'static str) -> Option<Vec<String>> {
    if fields.is_null(key) {
        return Some(Vec::new());
    }
    let hosts = fields.strings(key, 0..=MAX_HOSTS, MAX_HOST)?;
    for (index, host) in hosts.iter().enumerate() {
        if let Err(error) = host.parse::<HostPattern>() {
            fields.refuse(&format!("{key}[{index}]"), error.to_string());
        }
    }
    Some(hosts.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hosts_are_given_as_a_list_and_taken_away_by_null() {
        assert_eq!(read(&json!({})).unwrap(), TenantChanges::default());
        let hosts = ["api.example.com".to_owned(), "*.example.com:8443".to_owned()].to_vec();
        let changes = read(&json!({"allowed_hosts": null, "destination_hosts": hosts})).unwrap();
        assert_eq!(changes.allowed_hosts, Some(Vec::new()));
        assert_eq!(changes.destination_hosts, Some(hosts.clone()));
        let changes = read(&json!({"allowed_hosts": hosts, "destination_hosts": null})).unwrap();
        assert_eq!(changes.allowed_hosts, Some(hosts));
        assert_eq!(changes.destination_hosts, Some(Vec::new()));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            json!({"name": null}),
            json!({"name": ""}),
            json!({"id": "x"}),
            json!({"allowed_hosts": "api.example.com"}),
            json!({"allowed_hosts": ["https://api.example.com"]}),
            json!({"allowed_hosts": ["*"]}),
            json!({"allowed_hosts": ["a.*.com"]}),
            json!({"allowed_hosts": vec!["api.example.com"; 201]}),
            json!({"destination_hosts": ["https://api.example.com"]}),
            json!({"destination_hosts": vec!["api.example.com"; 201]}),
            json!([]),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
