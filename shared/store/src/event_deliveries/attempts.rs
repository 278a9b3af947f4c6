//! What came of attempts, and what follows from it for events and endpoints.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use recado_types::{AttemptId, EventEndpointId, TenantId};
use uuid::Uuid;

use super::{Claimed, FAILING_FOR_5_DAYS, GONE};
use crate::lanes::millis;
use crate::{Store, StoreError};

/// For how long nothing may arrive before an endpoint is disabled (Svix's figure).
const PATIENCE: TimeDelta = TimeDelta::days(5);

/// What was attempted is told whether or not its lease is still held; what follows for the event is
/// written under the lease only. Endpoints are touched when something changes for them, in the
/// order of their ids.
///
/// Of several that were answered 410, the latest counts. It says nothing of an endpoint that was
/// changed while it was under way: the answer may be that of the address before.
const RECORD: &str = "\
-- event_deliveries.record_attempts
WITH made AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::integer[],
                         $7::integer[], $8::timestamptz[], $9::bigint[], $10::integer[],
                         $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[],
                         $16::boolean[], $17::timestamptz[], $23::text[])
           AS made (id, event_delivery_id, lease_token, endpoint_id, tenant_id, round, attempt,
                    started_at, duration_ms, status_code, error_code, response_headers,
                    response_body, status, pause_ms, is_gone, ended_at, url)
), told AS (
    INSERT INTO event_attempts (id, tenant_id, event_delivery_id, round, attempt, started_at,
                                duration_ms, status_code, error_code, response_headers,
                                response_body)
    SELECT id, tenant_id, event_delivery_id, round, attempt, started_at, duration_ms, status_code,
           error_code, response_headers::json, response_body
      FROM made
    ON CONFLICT (id) DO NOTHING
), followed AS (
    UPDATE event_deliveries d
       SET status = made.status, attempt_count = made.attempt, error_code = made.error_code,
           lease_token = NULL,
           next_attempt_at = CASE WHEN made.status = 'pending'
                                  THEN now() + made.pause_ms * interval '1 millisecond' END,
           finished_at = CASE WHEN made.status <> 'pending' THEN made.ended_at END
      FROM made
     WHERE d.id = made.event_delivery_id AND d.lease_token = made.lease_token
), news AS (
    SELECT endpoint_id, bool_or(status = 'delivered') AS works,
           bool_or(status = 'failed' AND NOT is_gone) AS gave_up,
           max(started_at) FILTER (WHERE is_gone) AS gone_at,
           (array_agg(url ORDER BY started_at DESC) FILTER (WHERE is_gone))[1] AS gone_url,
           min(started_at) AS since, max(ended_at) AS now
      FROM made GROUP BY endpoint_id
), judged AS MATERIALIZED (
    SELECT endpoint.id, news.works, news.since, news.now,
           CASE WHEN verdict.is_gone THEN $18 WHEN verdict.is_failing THEN $20 END AS disabled_code
      FROM news
      JOIN event_endpoints endpoint ON endpoint.id = news.endpoint_id,
           LATERAL (SELECT endpoint.enabled AND endpoint.url = news.gone_url
                           AND endpoint.updated_at <= news.gone_at AS is_gone,
                           endpoint.enabled AND news.gave_up AND NOT news.works
                           AND endpoint.failing_since
                               <= news.now - $19::bigint * interval '1 millisecond'
                           AS is_failing) verdict
     WHERE verdict.is_gone OR verdict.is_failing
        OR news.works = (endpoint.failing_since IS NOT NULL)
     ORDER BY endpoint.id FOR UPDATE OF endpoint
)
UPDATE event_endpoints endpoint
   SET failing_since = CASE WHEN NOT judged.works
                            THEN coalesce(endpoint.failing_since, judged.since) END,
       enabled = endpoint.enabled AND judged.disabled_code IS NULL,
       disabled_code = coalesce(judged.disabled_code, endpoint.disabled_code),
       disabled_message = CASE judged.disabled_code
                               WHEN $18 THEN $21 WHEN $20 THEN $22
                               ELSE endpoint.disabled_message END,
       disabled_at = CASE WHEN judged.disabled_code IS NULL
                          THEN endpoint.disabled_at ELSE judged.now END,
       updated_at = CASE WHEN judged.disabled_code IS NULL THEN endpoint.updated_at
                         ELSE greatest(endpoint.updated_at + interval '1 microsecond',
                                       judged.now) END
  FROM judged
 WHERE endpoint.id = judged.id
RETURNING endpoint.id, endpoint.tenant_id, judged.disabled_code";

/// What people are told of an endpoint that answered 410.
const GONE_MESSAGE: &str = "the receiver answered 410: it wants no more events";
/// What people are told of an endpoint that does not work any more.
const FAILING_MESSAGE: &str = "no attempt has succeeded for 5 days";

/// One request and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventAttempt {
    /// Its id.
    pub id: AttemptId,
    /// Its number in the event's round, from 1.
    pub number: u32,
    /// When the request began.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub duration_ms: i64,
    /// The status of the answer, if there was one.
    pub status_code: Option<u16>,
    /// What went wrong, as a stable code.
    pub error_code: Option<String>,
    /// The headers of the answer, without U+0000: at most 8 KiB.
    pub response_headers: Option<Vec<(String, String)>>,
    /// The body of the answer, without U+0000: at most 20,000 bytes.
    pub response_body: Option<String>,
    /// When it was over.
    pub ended_at: DateTime<Utc>,
    /// What follows.
    pub after: AfterAttempt,
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAttempt {
    /// Nothing: the receiver has it.
    Delivered,
    /// It is tried again.
    Retry {
        /// After how long.
        pause: Duration,
    },
    /// It is not tried again.
    Failed,
    /// The receiver wants nothing more: its endpoint is disabled.
    Gone,
}

impl AfterAttempt {
    fn status(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry { .. } => "pending",
            Self::Failed | Self::Gone => "failed",
        }
    }

    fn pause(self) -> Duration {
        match self {
            Self::Retry { pause } => pause,
            Self::Delivered | Self::Failed | Self::Gone => Duration::ZERO,
        }
    }
}

/// An endpoint that was disabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disabled {
    /// Which.
    pub id: EventEndpointId,
    /// Whose.
    pub tenant_id: TenantId,
    /// Why: [`GONE`] or [`FAILING_FOR_5_DAYS`].
    pub code: String,
}

/// Writes down what came of attempts, and answers which endpoints are disabled for it. Does nothing
/// the second time.
///
/// An endpoint is failing from the first attempt on that fails until one succeeds. It is disabled
/// when an event is given up after 5 days of that: 5 quiet days between two failures are none of
/// its fault. After a 410 it is disabled at once, unless somebody has changed it since the attempt
/// began.
pub async fn record_attempts(
    store: &Store,
    batch: &[(Claimed, EventAttempt)],
) -> Result<Vec<Disabled>, StoreError> {
    let failed = StoreError::query("event_deliveries.record_attempts");
    let client = store.client("event_deliveries.record_attempts").await?;
    let statement = client.prepare_cached(RECORD).await.map_err(&failed)?;
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let headers = column(batch, |_, made| made.response_headers.as_deref().map(as_json));
    let rows = client
        .query(
            &statement,
            &[
                &column(batch, |_, made| made.id.0),
                &column(batch, |of, _| of.id.0),
                &column(batch, |of, _| of.lease_token),
                &column(batch, |of, _| of.endpoint_id.0),
                &column(batch, |of, _| of.tenant_id.0),
                &column(batch, |of, _| number(of.round)),
                &column(batch, |_, made| number(made.number)),
                &column(batch, |_, made| made.started_at),
                &column(batch, |_, made| made.duration_ms),
                &column(batch, |_, made| made.status_code.map(i32::from)),
                &column(batch, |_, made| made.error_code.as_deref()),
                &headers,
                &column(batch, |_, made| made.response_body.as_deref()),
                &column(batch, |_, made| made.after.status()),
                &column(batch, |_, made| millis(made.after.pause())),
                &column(batch, |_, made| made.after == AfterAttempt::Gone),
                &column(batch, |_, made| made.ended_at),
                &GONE,
                &PATIENCE.num_milliseconds(),
                &FAILING_FOR_5_DAYS,
                &GONE_MESSAGE,
                &FAILING_MESSAGE,
                &column(batch, |of, _| of.url.as_str()),
            ],
        )
        .await
        .map_err(&failed)?;
    let disabled = rows.iter().filter_map(|row| {
        let (id, tenant): (Uuid, Uuid) = (row.get("id"), row.get("tenant_id"));
        let (id, tenant_id) = (EventEndpointId(id), TenantId(tenant));
        Some(Disabled { id, tenant_id, code: row.get::<_, Option<String>>("disabled_code")? })
    });
    Ok(disabled.collect())
}

fn column<'b, T>(
    batch: &'b [(Claimed, EventAttempt)],
    value: impl Fn(&'b Claimed, &'b EventAttempt) -> T,
) -> Vec<T> {
    batch.iter().map(|(claimed, made)| value(claimed, made)).collect()
}

fn as_json(headers: &[(String, String)]) -> String {
    serde_json::json!(headers).to_string()
}
