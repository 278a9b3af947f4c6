//! What came of working a source.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::SourceLease;
use crate::lanes::{Held, millis};
use crate::{Store, StoreError};

/// In the order of the triggers, as everything that locks several of these rows.
const RENEW: &str = "\
-- sources.renew
WITH held AS MATERIALIZED (
    SELECT sources.trigger_id
      FROM unnest($1::uuid[], $2::uuid[]) AS asked (trigger_id, token)
      JOIN sources ON sources.trigger_id = asked.trigger_id AND sources.lease_token = asked.token
     ORDER BY sources.trigger_id FOR UPDATE OF sources
)
UPDATE sources SET leased_until = now() + $3::bigint * interval '1 millisecond'
  FROM held
 WHERE sources.trigger_id = held.trigger_id
RETURNING sources.trigger_id, sources.lease_token";

/// Whatever went wrong before, it works.
const SAVE_POSITION: &str = "\
-- sources.save_position
UPDATE sources
   SET position = coalesce($3, position), failure_count = 0, error_code = NULL, error_message = NULL,
       failing_since = NULL,
       fired_at = coalesce($4, fired_at),
       left_out_count = left_out_count + $5, left_out_reason = coalesce($6, left_out_reason)
 WHERE trigger_id = $1 AND lease_token = $2";

/// As above, in the order of the triggers.
const SETTLE: &str = "\
-- sources.settle
WITH held AS MATERIALIZED (
    SELECT sources.trigger_id, done.due_at, done.position, done.fired_at,
           done.error_code, done.error_message, done.failed_at,
           done.left_out_count, done.left_out_reason
      FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::jsonb[], $5::timestamptz[],
                  $6::text[], $7::text[], $8::timestamptz[], $9::bigint[], $10::text[])
           AS done (trigger_id, token, due_at, position, fired_at,
                    error_code, error_message, failed_at, left_out_count, left_out_reason)
      JOIN sources ON sources.trigger_id = done.trigger_id AND sources.lease_token = done.token
     ORDER BY sources.trigger_id FOR UPDATE OF sources
)
UPDATE sources
   SET due_at = held.due_at, position = coalesce(held.position, sources.position),
       fired_at = coalesce(held.fired_at, sources.fired_at),
       lease_token = NULL, leased_until = NULL,
       failure_count = CASE WHEN held.error_code IS NULL THEN 0 ELSE sources.failure_count + 1 END,
       error_code = held.error_code, error_message = held.error_message,
       failing_since = CASE WHEN held.error_code IS NOT NULL
                            THEN coalesce(sources.failing_since, held.failed_at) END,
       left_out_count = sources.left_out_count + held.left_out_count,
       left_out_reason = coalesce(held.left_out_reason, sources.left_out_reason)
  FROM held
 WHERE sources.trigger_id = held.trigger_id
RETURNING sources.trigger_id";

/// Behind those that wait longer.
const HAND_BACK: &str = "\
-- sources.hand_back
UPDATE sources SET lease_token = NULL, leased_until = NULL, due_at = greatest(due_at, $3)
 WHERE trigger_id = $1 AND lease_token = $2";

/// Why a source does not work at present, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFailure {
    /// Stable, for programs.
    pub code: &'static str,
    /// For people, without secrets.
    pub message: String,
    /// When it was noticed.
    pub at: DateTime<Utc>,
}

/// What came of working a source, which is given back with it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The right that it was worked with.
    pub lease: SourceLease,
    /// When it has to be looked at again; `None` for never.
    pub due_at: Option<DateTime<Utc>>,
    /// How far it got; `None` leaves that as it is.
    pub position: Option<Value>,
    /// When something came of it, if it did.
    pub fired_at: Option<DateTime<Utc>>,
    /// What went wrong, if something did.
    pub failure: Option<SourceFailure>,
    /// What did not become a message.
    pub left_out: LeftOut,
}

impl Outcome {
    /// Nothing came of it, and it is tried again at `due_at`.
    pub fn failed(lease: SourceLease, failure: SourceFailure, due_at: DateTime<Utc>) -> Self {
        Self {
            lease,
            due_at: Some(due_at),
            position: None,
            fired_at: None,
            failure: Some(failure),
            left_out: LeftOut::default(),
        }
    }
}

/// What did not become a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How much.
    pub count: u32,
    /// Why the last of it did not, for people.
    pub reason: Option<String>,
}

impl LeftOut {
    /// Adds one.
    pub fn add(&mut self, reason: String) {
        self.count = self.count.saturating_add(1);
        self.reason = Some(reason);
    }
}

/// Writes outcomes down and gives their sources back. Those whose lease was lost stay as they are.
/// Answers how many were written.
pub async fn settle(store: &Store, outcomes: &[Outcome]) -> Result<usize, StoreError> {
    let failed = StoreError::query("sources.settle");
    let failures = || outcomes.iter().map(|it| it.failure.as_ref());
    let ids: Vec<Uuid> = outcomes.iter().map(|it| it.lease.trigger_id.0).collect();
    let tokens: Vec<Uuid> = outcomes.iter().map(|it| it.lease.token).collect();
    let due: Vec<Option<DateTime<Utc>>> = outcomes.iter().map(|it| it.due_at).collect();
    let positions: Vec<Option<&Value>> = outcomes.iter().map(|it| it.position.as_ref()).collect();
    let fired: Vec<Option<DateTime<Utc>>> = outcomes.iter().map(|it| it.fired_at).collect();
    let codes: Vec<Option<&str>> = failures().map(|it| it.map(|it| it.code)).collect();
    let messages: Vec<Option<&str>> =
        failures().map(|it| it.map(|it| it.message.as_str())).collect();
    let failed_at: Vec<Option<DateTime<Utc>>> = failures().map(|it| it.map(|it| it.at)).collect();
    let left_out: Vec<i64> = outcomes.iter().map(|it| it.left_out.count.into()).collect();
    let reasons: Vec<Option<&str>> =
        outcomes.iter().map(|it| it.left_out.reason.as_deref()).collect();
    let client = store.client("sources.settle").await?;
    let statement = client.prepare_cached(SETTLE).await.map_err(&failed)?;
    let written = client
        .query(
            &statement,
            &[
                &ids, &tokens, &due, &positions, &fired, &codes, &messages, &failed_at, &left_out,
                &reasons,
            ],
        )
        .await
        .map_err(&failed)?;
    Ok(written.len())
}

/// Writes down that a source works, which stays claimed, and how far it got, if that changed;
/// `fired_at`, if something came of it.
pub async fn save_position(
    store: &Store,
    lease: SourceLease,
    position: Option<&Value>,
    fired_at: Option<DateTime<Utc>>,
    left_out: &LeftOut,
) -> Result<Held, StoreError> {
    let failed = StoreError::query("sources.save_position");
    let client = store.client("sources.save_position").await?;
    let statement = client.prepare_cached(SAVE_POSITION).await.map_err(&failed)?;
    let n_written = client
        .execute(
            &statement,
            &[
                &lease.trigger_id.0,
                &lease.token,
                &position,
                &fired_at,
                &i64::from(left_out.count),
                &left_out.reason,
            ],
        )
        .await
        .map_err(&failed)?;
    Ok(Held::from_count(i64::try_from(n_written).unwrap_or_default()))
}

/// Prolongs leases; answers those that are still held.
pub async fn renew(
    store: &Store,
    leases: &[SourceLease],
    lease: Duration,
) -> Result<Vec<SourceLease>, StoreError> {
    let failed = StoreError::query("sources.renew");
    let client = store.client("sources.renew").await?;
    let (ids, tokens): (Vec<Uuid>, Vec<Uuid>) =
        leases.iter().map(|lease| (lease.trigger_id.0, lease.token)).unzip();
    let statement = client.prepare_cached(RENEW).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&ids, &tokens, &millis(lease)]).await.map_err(&failed)?;
    let held = rows.iter().map(|row| SourceLease {
        trigger_id: recado_types::TriggerId(row.get("trigger_id")),
        token: row.get("lease_token"),
    });
    Ok(held.collect())
}

/// Gives a source back as it is, for somebody else to go on with, after those that have waited since
/// before `now`.
pub async fn hand_back(
    store: &Store,
    lease: SourceLease,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let failed = StoreError::query("sources.hand_back");
    let client = store.client("sources.hand_back").await?;
    let statement = client.prepare_cached(HAND_BACK).await.map_err(&failed)?;
    let parameters: [&(dyn ToSql + Sync); 3] = [&lease.trigger_id.0, &lease.token, &now];
    client.execute(&statement, &parameters).await.map(drop).map_err(&failed)
}
