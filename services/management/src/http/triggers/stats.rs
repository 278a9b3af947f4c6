//! GET `/api/triggers/stats`: how a tenant's triggers are doing.

use std::collections::BTreeMap;

use actix_web::web::Json;
use chrono::{DateTime, Utc};
use recado_http::ApiError;
use recado_store::views::{self, ExecutionStatus, Stats};
use recado_types::trigger::TriggerType;
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::Found;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TriggerStats")]
pub(in crate::http) struct Shown {
    triggers: Triggers,
    executions: Executions,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Triggers {
    total: i64,
    enabled: i64,
    disabled: i64,
    by_type: BTreeMap<String, i64>,
}

/// The newest executions: at most `max_total`, and all there are `since` then.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Executions {
    total: i64,
    by_status: BTreeMap<String, i64>,
    max_total: i64,
    /// When the oldest that is counted was admitted; `null` if there is none.
    since: Option<DateTime<Utc>>,
}

pub(in crate::http) async fn stats(caller: Caller) -> Result<Json<Found<Shown>>, ApiError> {
    let stats = views::stats(&caller.store, caller.tenant).await.map_err(store_failed)?;
    Ok(Json(Found::new(show(stats))))
}

fn show(stats: Stats) -> Shown {
    let Stats { triggers, executions, max_executions } = stats;
    let since = executions.iter().map(|count| count.since).min();
    let mut by_status: BTreeMap<String, i64> =
        ExecutionStatus::ALL.iter().map(|status| (status.as_str().to_owned(), 0)).collect();
    by_status.extend(executions.into_iter().map(|count| (count.status, count.n_executions)));
    let total = triggers.iter().map(|count| count.total).sum();
    let enabled = triggers.iter().map(|count| count.enabled).sum();
    let mut by_type: BTreeMap<String, i64> =
        TriggerType::ALL.iter().map(|it| (it.as_str().to_owned(), 0)).collect();
    by_type.extend(triggers.into_iter().map(|count| (count.trigger_type, count.total)));
    Shown {
        triggers: Triggers { total, enabled, disabled: total - enabled, by_type },
        executions: Executions {
            total: by_status.values().sum(),
            by_status,
            max_total: max_executions,
            since,
        },
    }
}

#[cfg(test)]
mod tests {
    use recado_store::views::{StatusCount, TriggerCounts};

    use super::*;

    fn second(n: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(n, 0).expect("a time")
    }

    #[test]
    fn every_status_is_told_and_counted_once() {
        let shown = show(Stats {
            triggers: vec![
                TriggerCounts { trigger_type: "webhook".into(), total: 2, enabled: 1 },
                TriggerCounts { trigger_type: "schedule".into(), total: 1, enabled: 1 },
            ],
            executions: vec![
                StatusCount { status: "success".into(), n_executions: 7, since: second(5) },
                StatusCount { status: "failed".into(), n_executions: 2, since: second(3) },
            ],
            max_executions: 1,
        });
        assert_eq!(shown.executions.by_status.len(), ExecutionStatus::ALL.len());
        assert_eq!(shown.executions.total, 9);
        assert_eq!(shown.executions.since, Some(second(3)));
        assert_eq!((shown.triggers.total, shown.triggers.disabled), (3, 1));
        assert_eq!((shown.triggers.by_type["schedule"], shown.triggers.by_type["email"]), (1, 0));
    }
}
