//! What a body says about a tenant: by its own admins, or by an operator, who grants quotas.

use std::ops::RangeInclusive;

use recado_http::ApiError;
use recado_store::tenants::{
    Change, MAX_RETENTION_DAYS, MIN_RETENTION_DAYS, OperatorChanges, TenantChanges,
};
use recado_types::hosts::HostPattern;
use recado_types::shape::{ObjectReader, Problems};
use serde_json::{Value, json};

use crate::failure::invalid;
use crate::http::schema::{about, list, name, nullable, object, patch, text};

const MAX_NAME: usize = 255;
const MAX_HOSTS: usize = 200;
/// The longest name of a host has 253 characters; `*.` and a port may stand around it.
const MAX_HOST: usize = 261;
/// What every reader of JSON reads exactly.
const MAX_QUOTA: i64 = (1 << 53) - 1;

/// What housekeeping and the database set.
const READ_ONLY: [&str; 5] = ["id", "created_at", "updated_at", "over_quota", "over_quota_until"];
const QUOTAS: [&str; 2] = ["executions_per_month", "tokens_per_month"];
/// What a tenant's own admins may change.
const OWN: [&str; 6] = [
    "name",
    "allowed_hosts",
    "destination_hosts",
    "executions_retention_days",
    "messages_retention_days",
    "call_bodies_retention_days",
];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// An admin of the tenant.
    Admin,
    /// An operator.
    Operator,
}

/// What a PATCH changes.
pub(super) fn changes(body: &Value, by: By) -> Result<OperatorChanges, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).map(|mut fields| {
        if fields.is_null("name") {
            fields.refuse("name", "cannot be taken away");
        }
        read_fields(fields, by)
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("anything but an object is a problem"))
}

/// A new tenant: its name, and what else it has from the beginning.
pub(super) fn new(body: &Value) -> Result<(String, OperatorChanges), ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).map(|mut fields| {
        fields.required("name");
        read_fields(fields, By::Operator)
    });
    problems.finish(()).map_err(invalid)?;
    let changes = read.expect("anything but an object is a problem");
    let name = changes.own.name.clone().expect("what is missing is a problem");
    Ok((name, changes))
}

fn read_fields(mut reader: ObjectReader<'_>, by: By) -> OperatorChanges {
    let fields = &mut reader;
    let name = fields.name("name", MAX_NAME).map(str::to_owned);
    let own = TenantChanges {
        name,
        allowed_hosts: read_hosts(fields, "allowed_hosts"),
        destination_hosts: read_hosts(fields, "destination_hosts"),
        executions_retention_days: read_days(fields, "executions_retention_days"),
        messages_retention_days: read_days(fields, "messages_retention_days"),
        call_bodies_retention_days: read_days(fields, "call_bodies_retention_days"),
    };
    let changes = match by {
        By::Admin => {
            for quota in QUOTAS {
                if fields.any(quota).is_some() || fields.is_null(quota) {
                    fields.refuse(quota, "is granted by operators: `PATCH /api/tenants/{id}`");
                }
            }
            OperatorChanges { own, ..OperatorChanges::default() }
        }
        By::Operator => OperatorChanges {
            own,
            executions_per_month: read_number(fields, "executions_per_month", 0..=MAX_QUOTA),
            tokens_per_month: read_number(fields, "tokens_per_month", 0..=MAX_QUOTA),
        },
    };
    reader.read_only(&READ_ONLY);
    reader.done();
    changes
}

fn read_days(fields: &mut ObjectReader<'_>, key: &'static str) -> Change<i32> {
    let range = MIN_RETENTION_DAYS.into()..=MAX_RETENTION_DAYS.into();
    match read_number(fields, key, range) {
        Change::Keep => Change::Keep,
        Change::To(days) => Change::To(days.and_then(|days| i32::try_from(days).ok())),
    }
}

/// `null` takes a limit away.
fn read_number(
    fields: &mut ObjectReader<'_>,
    key: &'static str,
    range: RangeInclusive<i64>,
) -> Change<i64> {
    if fields.is_null(key) {
        return Change::To(None);
    }
    let Some(value) = fields.any(key) else { return Change::Keep };
    let number = value.as_i64().filter(|number| range.contains(number));
    if number.is_none() {
        let (least, most) = range.into_inner();
        fields.refuse(key, format!("must be a whole number from {least} to {most}, or null"));
    }
    Change::To(number)
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

pub(super) fn new_tenant() -> Value {
    let hosts = |description| about(list(&text(1, MAX_HOST), MAX_HOSTS), description);
    let days = |what: &str| {
        let days = json!({
            "type": "integer", "minimum": MIN_RETENTION_DAYS, "maximum": MAX_RETENTION_DAYS,
        });
        about(nullable(days), &format!("How many days {what} are kept; `null` for ever."))
    };
    let quota = |what: &str| {
        let quota = json!({ "type": "integer", "minimum": 0, "maximum": MAX_QUOTA });
        about(nullable(quota), &format!("How many {what} in a calendar month (UTC)."))
    };
    object(
        &["name"],
        [
            ("name", name(MAX_NAME)),
            (
                "allowed_hosts",
                hosts("Where tools may go when a context or a model names the host."),
            ),
            ("destination_hosts", hosts("Where its requests may go at all; empty: anywhere.")),
            ("executions_retention_days", days("executions")),
            ("messages_retention_days", days("what people and agents said")),
            ("call_bodies_retention_days", days("what went to models, tools and receivers")),
            ("executions_per_month", quota("executions it may have")),
            ("tokens_per_month", quota("tokens it may use")),
        ],
    )
}

pub(super) fn new_tenant_example() -> Value {
    json!({ "name": "Clinic", "executions_per_month": 10_000, "messages_retention_days": 90 })
}

/// What an operator may change.
pub(super) fn operator_patch() -> Value {
    patch(&new_tenant(), &["name"], &[&OWN[..], &QUOTAS[..]].concat())
}

pub(super) fn operator_patch_example() -> Value {
    json!({ "tokens_per_month": 5_000_000, "executions_per_month": null })
}

/// What its own admins may change.
pub(super) fn own_patch() -> Value {
    patch(&new_tenant(), &["name"], &OWN)
}

pub(super) fn own_patch_example() -> Value {
    json!({ "messages_retention_days": 30, "allowed_hosts": ["api.example.com", "*.example.org"] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(body: &Value) -> Result<TenantChanges, ApiError> {
        changes(body, By::Admin).map(|changes| changes.own)
    }

    #[test]
    fn hosts_are_given_as_a_list_and_taken_away_by_null() {
        assert_eq!(own(&json!({})).unwrap(), TenantChanges::default());
        let hosts = ["api.example.com".to_owned(), "*.example.com:8443".to_owned()].to_vec();
        let changes = own(&json!({"allowed_hosts": null, "destination_hosts": hosts})).unwrap();
        assert_eq!(changes.allowed_hosts, Some(Vec::new()));
        assert_eq!(changes.destination_hosts, Some(hosts.clone()));
        let changes = own(&json!({"allowed_hosts": hosts, "destination_hosts": null})).unwrap();
        assert_eq!(changes.allowed_hosts, Some(hosts));
        assert_eq!(changes.destination_hosts, Some(Vec::new()));
    }

    #[test]
    fn limits_are_numbers_and_taken_away_by_null() {
        let body = json!({"messages_retention_days": 30, "executions_retention_days": null});
        let changed = own(&body).unwrap();
        assert_eq!(changed.messages_retention_days, Change::To(Some(30)));
        assert_eq!(changed.executions_retention_days, Change::To(None));
        assert_eq!(changed.call_bodies_retention_days, Change::Keep);
        let body = json!({"tokens_per_month": 0, "executions_per_month": null});
        let granted = changes(&body, By::Operator).unwrap();
        assert_eq!(granted.tokens_per_month, Change::To(Some(0)));
        assert_eq!(granted.executions_per_month, Change::To(None));
        assert!(changes(&body, By::Admin).is_err(), "nobody grants themselves");
        assert_eq!(new(&json!({"name": "Clinic"})).unwrap().0, "Clinic");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for bad in [
            json!({"name": null}),
            json!({"name": ""}),
            json!({"id": "x"}),
            json!({"over_quota": null}),
            json!({"allowed_hosts": "api.example.com"}),
            json!({"allowed_hosts": ["https://api.example.com"]}),
            json!({"allowed_hosts": ["*"]}),
            json!({"allowed_hosts": ["a.*.com"]}),
            json!({"allowed_hosts": vec!["api.example.com"; 201]}),
            json!({"destination_hosts": ["https://api.example.com"]}),
            json!({"destination_hosts": vec!["api.example.com"; 201]}),
            json!({"executions_retention_days": 1}),
            json!({"executions_retention_days": 3_651}),
            json!({"messages_retention_days": 2.5}),
            json!({"tokens_per_month": -1}),
            json!([]),
        ] {
            assert!(changes(&bad, By::Operator).is_err(), "{bad}");
        }
        assert!(new(&json!({})).is_err());
    }
}
