//! `/api/tenant`: the owner of everything else, and where its tools may be led.

use actix_web::web::{Data, Json};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::tenants::{self, Tenant};
use recado_types::TenantId;
use recado_types::shape::{ObjectReader, Problems};
use recado_types::tool::HostPattern;
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
    created_at: DateTime<Utc>,
}

impl From<Tenant> for Shown {
    fn from(tenant: Tenant) -> Self {
        let Tenant { id, name, allowed_hosts, created_at } = tenant;
        Self { id, name, allowed_hosts, created_at }
    }
}

/// What a body changes.
#[derive(Debug, Default, PartialEq)]
struct Changes {
    name: Option<String>,
    allowed_hosts: Option<Vec<String>>,
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
    let Changes { name, allowed_hosts } = read(&body.json().await?)?;
    let (name, allowed_hosts) = (name.as_deref(), allowed_hosts.as_deref());
    let updated = tenants::update(&api.store, caller.tenant, name, allowed_hosts).await;
    found(updated.map_err(store_failed)?)
}

/// A token may outlive its tenant.
fn found(tenant: Option<Tenant>) -> Result<Json<Found<Shown>>, ApiError> {
    let gone = || ApiError::new(Problem::TenantMismatch, "the credential's tenant does not exist");
    Ok(Json(Found::new(tenant.ok_or_else(gone)?.into())))
}

fn read(body: &Value) -> Result<Changes, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).map(|mut fields| {
        if fields.is_null("name") {
            fields.refuse("name", "cannot be taken away");
        }
        let name = fields.string("name", 1..=MAX_NAME).map(str::to_owned);
        let allowed_hosts = read_hosts(&mut fields);
        fields.read_only(&["id", "created_at"]);
        fields.done();
        Changes { name, allowed_hosts }
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("anything but an object is a problem"))
}

/// Without any, no host may be named by anybody but a tool's configuration.
fn read_hosts(fields: &mut ObjectReader<'_>) -> Option<Vec<String>> {
    const KEY: &str = "allowed_hosts";
    if fields.is_null(KEY) {
        return Some(Vec::new());
    }
    let hosts = fields.strings(KEY, 0..=MAX_HOSTS, MAX_HOST)?;
    for (index, host) in hosts.iter().enumerate() {
        if let Err(error) = host.parse::<HostPattern>() {
            fields.refuse(&format!("{KEY}[{index}]"), error.to_string());
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
        let hosts = |body: Value| read(&body).unwrap().allowed_hosts;
        assert_eq!(hosts(json!({})), None);
        assert_eq!(hosts(json!({"allowed_hosts": null})), Some(Vec::new()));
        let given = json!({"allowed_hosts": ["api.example.com", "*.example.com:8443"]});
        assert_eq!(hosts(given).unwrap().len(), 2);
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
            json!([]),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
