//! GET `/api/triggers/{id}/source`: how a trigger that fires by itself is doing.

use actix_web::web::{Json, Path};
use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::sources::{self, SourceStatus};
use recado_store::triggers;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::parse_id;
use crate::access::Caller;
use crate::failure::store_failed;
use crate::http::Found;

/// How a trigger that fires by itself is doing.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TriggerSource")]
pub(in crate::http) struct Shown {
    /// What is looked at: `schedule`, `db_event` or `imap`; null for a trigger that waits for
    /// requests.
    kind: Option<String>,
    state: State,
    /// When it is looked at again.
    due_at: Option<DateTime<Utc>>,
    /// When something last came of it.
    fired_at: Option<DateTime<Utc>>,
    /// How far it got.
    position: Option<Value>,
    /// What is wrong with it, if something is.
    failure: Option<Failure>,
    /// What did not become a message since the trigger was last changed.
    left_out: LeftOut,
}

/// What did not become a message.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "TriggerSourceLeftOut")]
struct LeftOut {
    count: i64,
    /// Why the last of it did not.
    reason: Option<String>,
}

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "TriggerSourceState")]
#[serde(rename_all = "snake_case")]
enum State {
    /// It waits for requests.
    OnRequest,
    /// It is switched off.
    Disabled,
    /// An instance is at it: it listens, or it reads.
    Held,
    /// It waits for its time, or for an instance.
    Waiting,
    /// It failed, and is tried again.
    Failing,
    /// It will not fire any more.
    Finished,
}

/// What is wrong.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TriggerSourceFailure")]
struct Failure {
    code: String,
    message: String,
    /// How often in a row it was tried.
    count: i32,
    since: Option<DateTime<Utc>>,
}

pub(in crate::http) async fn source(
    caller: Caller,
    id: Path<String>,
) -> Result<Json<Found<Shown>>, ApiError> {
    let id = parse_id(&id)?;
    let trigger = triggers::find(&caller.store, caller.tenant, id).await.map_err(store_failed)?;
    let trigger = trigger.ok_or(Problem::TriggerNotFound)?;
    let status = sources::find(&caller.store, caller.tenant, id).await.map_err(store_failed)?;
    Ok(Json(Found::new(shown(status, trigger.enabled))))
}

fn shown(status: Option<SourceStatus>, enabled: bool) -> Shown {
    let Some(status) = status else {
        return Shown {
            kind: None,
            state: State::OnRequest,
            due_at: None,
            fired_at: None,
            position: None,
            failure: None,
            left_out: LeftOut::default(),
        };
    };
    let state = match &status {
        _ if !enabled => State::Disabled,
        SourceStatus { is_due: false, .. } => State::Finished,
        SourceStatus { is_held: true, .. } => State::Held,
        SourceStatus { error_code: Some(_), .. } => State::Failing,
        _ => State::Waiting,
    };
    let failure = status.error_code.map(|code| Failure {
        code,
        message: status.error_message.unwrap_or_default(),
        count: status.failure_count,
        since: status.failing_since,
    });
    Shown {
        kind: Some(status.kind),
        state,
        due_at: status.due_at,
        fired_at: status.fired_at,
        position: status.position,
        failure,
        left_out: LeftOut { count: status.left_out_count, reason: status.left_out_reason },
    }
}
