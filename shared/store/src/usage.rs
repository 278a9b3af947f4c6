//! What tenants use, by day, and whether that is more than they are granted.
//!
//! Nobody counts while messages are on their way: housekeeping counts afterwards, what ended in
//! each span of five minutes, and a day is the sum of its spans. A span is always counted as a
//! whole and written as what there is, never added to. So it does not matter who counts, how often,
//! and who dies over it; and what ends late (a result that was held while the database was away has
//! the time at which it came about) is found when the span is compared with what was written, which
//! costs no more than counting entries of indexes. What is older than [`COUNTED_BACK`] is not
//! compared any more: retention may have begun to remove it, and usage survives that.
//!
//! Tokens and prices are those of the model calls, sub-agents' included. Deliveries belong to the
//! day on which they were asked for first, which is when their execution ended.

use std::ops::Range;

use chrono::{DateTime, DurationRound, Months, NaiveDate, NaiveTime, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use recado_types::TenantId;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::{Store, StoreError};

/// How long after the event it is still counted: less than anything is kept, and longer than a
/// delivery may wait.
pub const COUNTED_BACK: TimeDelta = TimeDelta::hours(36);

/// What is counted at a time.
const SPAN: TimeDelta = TimeDelta::minutes(5);
/// How long spans are kept: as long as a day whose sum they are may be counted again.
const SPANS_KEPT: TimeDelta = TimeDelta::days(4);

/// One counts for a tenant at a time, and sees what the one before has written.
const LOCK: &str = "\
-- usage.lock_tenant
SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED";

/// Spans in which there is not what was written.
const CHANGED: &str = "\
-- usage.changed_spans
SELECT span.starts_at
  FROM generate_series($2::timestamptz, $3::timestamptz - interval '5 minutes',
                       interval '5 minutes') AS span (starts_at)
  LEFT JOIN usage_spans known ON known.tenant_id = $1 AND known.starts_at = span.starts_at,
       LATERAL (SELECT count(*) AS n FROM executions e
                 WHERE e.tenant_id = $1 AND e.erased = 0 AND e.finished_at >= span.starts_at
                   AND e.finished_at < span.starts_at + interval '5 minutes') ended,
       LATERAL (SELECT count(*) AS n FROM deliveries d
                 WHERE d.tenant_id = $1 AND d.created_at >= span.starts_at
                   AND d.created_at < span.starts_at + interval '5 minutes') asked,
       LATERAL (SELECT count(*) AS n FROM deliveries d
                 WHERE d.tenant_id = $1 AND d.status = 'pending'
                   AND d.created_at >= span.starts_at
                   AND d.created_at < span.starts_at + interval '5 minutes') pending,
       LATERAL (SELECT count(*) AS n FROM deliveries d
                 WHERE d.tenant_id = $1 AND d.status = 'failed'
                   AND d.created_at >= span.starts_at
                   AND d.created_at < span.starts_at + interval '5 minutes') failed
 WHERE ended.n <> coalesce(known.ended, 0)
    OR asked.n - pending.n <> coalesce(known.deliveries, 0)
    OR failed.n <> coalesce(known.failed_deliveries, 0)";

const COUNT: &str = "\
-- usage.count_span
WITH ended AS MATERIALIZED (
    SELECT id, parent_execution_id IS NULL AND author IS NULL AS is_first,
           status IN ('failed', 'timeout') AS is_bad, cardinality(message_ids) AS n_messages
      FROM executions
     WHERE tenant_id = $1 AND erased = 0 AND finished_at >= $2
       AND finished_at < $2::timestamptz + interval '5 minutes'
), executed AS (
    SELECT count(*) AS ended, count(*) FILTER (WHERE is_first) AS executions,
           count(*) FILTER (WHERE is_first AND is_bad) AS failed,
           coalesce(sum(n_messages), 0) AS messages
      FROM ended
), spent AS (
    SELECT coalesce(sum(calls.input_tokens), 0) AS input_tokens,
           coalesce(sum(calls.output_tokens), 0) AS output_tokens,
           coalesce(sum(calls.cost_usd), 0) AS cost_usd
      FROM ended,
           LATERAL (SELECT sum(c.input_tokens) AS input_tokens,
                           sum(c.output_tokens) AS output_tokens, sum(c.cost_usd) AS cost_usd
                      FROM llm_calls c WHERE c.execution_id = ended.id) calls
), delivered AS (
    SELECT count(*) FILTER (WHERE status <> 'pending') AS deliveries,
           count(*) FILTER (WHERE status = 'failed') AS failed
      FROM deliveries
     WHERE tenant_id = $1 AND created_at >= $2
       AND created_at < $2::timestamptz + interval '5 minutes'
)
INSERT INTO usage_spans (tenant_id, starts_at, executions, failed_executions, messages,
                         input_tokens, output_tokens, tokens, cost_usd, deliveries,
                         failed_deliveries, ended)
SELECT $1, $2, executed.executions, executed.failed, executed.messages, spent.input_tokens,
       spent.output_tokens, spent.input_tokens + spent.output_tokens, spent.cost_usd,
       delivered.deliveries, delivered.failed, executed.ended
  FROM executed, spent, delivered
ON CONFLICT (tenant_id, starts_at) DO UPDATE
   SET executions = excluded.executions, failed_executions = excluded.failed_executions,
       messages = excluded.messages, input_tokens = excluded.input_tokens,
       output_tokens = excluded.output_tokens, tokens = excluded.tokens,
       cost_usd = excluded.cost_usd, deliveries = excluded.deliveries,
       failed_deliveries = excluded.failed_deliveries, ended = excluded.ended";

const SUM_DAY: &str = "\
-- usage.sum_day
INSERT INTO usage_days (tenant_id, day, executions, failed_executions, messages, input_tokens,
                        output_tokens, tokens, cost_usd, deliveries, failed_deliveries)
SELECT $1, $2, sum(executions), sum(failed_executions), sum(messages), sum(input_tokens),
       sum(output_tokens), sum(tokens), sum(cost_usd), sum(deliveries), sum(failed_deliveries)
  FROM usage_spans
 WHERE tenant_id = $1 AND starts_at >= $3 AND starts_at < $3::timestamptz + interval '24 hours'
HAVING count(*) > 0
ON CONFLICT (tenant_id, day) DO UPDATE
   SET executions = excluded.executions, failed_executions = excluded.failed_executions,
       messages = excluded.messages, input_tokens = excluded.input_tokens,
       output_tokens = excluded.output_tokens, tokens = excluded.tokens,
       cost_usd = excluded.cost_usd, deliveries = excluded.deliveries,
       failed_deliveries = excluded.failed_deliveries";

const FORGET_SPANS: &str = "\
-- usage.forget_spans
DELETE FROM usage_spans WHERE tenant_id = $1 AND starts_at < $2";

/// Only if something changes, so that ingress is not told every minute.
const JUDGE: &str = "\
-- usage.judge_quota
WITH used AS (
    SELECT coalesce(sum(executions), 0) AS executions, coalesce(sum(tokens), 0) AS tokens
      FROM usage_days WHERE tenant_id = $1 AND day >= $2 AND day < $3
), verdict AS (
    SELECT CASE WHEN used.executions >= t.executions_per_month THEN 'executions'
                WHEN used.tokens >= t.tokens_per_month THEN 'tokens' END AS quota
      FROM used, tenants t WHERE t.id = $1
), judged AS (
    SELECT quota, CASE WHEN quota IS NOT NULL THEN $4::timestamptz END AS until FROM verdict
)
UPDATE tenants SET over_quota = judged.quota, over_quota_until = judged.until
  FROM judged
 WHERE tenants.id = $1
   AND (tenants.over_quota, tenants.over_quota_until)
       IS DISTINCT FROM (judged.quota, judged.until)
RETURNING tenants.over_quota";

const DAYS: &str = "\
-- usage.days
SELECT day, executions, failed_executions, messages, input_tokens, output_tokens, tokens, cost_usd,
       deliveries, failed_deliveries
  FROM usage_days WHERE tenant_id = $1 AND day >= $2 AND day <= $3 ORDER BY day LIMIT $4";

/// The most days that are answered at a time.
pub const MAX_DAYS: i64 = 400;

/// What a tenant used on one day (UTC).
#[derive(Clone, Debug, PartialEq)]
pub struct UsageDay {
    /// Which.
    pub day: NaiveDate,
    /// Executions that ended, without those of sub-agents and what people said in an agent's place.
    pub executions: i64,
    /// Those of them that failed or took too long.
    pub failed_executions: i64,
    /// The messages in them.
    pub messages: i64,
    /// What providers counted, in the calls of sub-agents, too.
    pub input_tokens: i64,
    /// What providers counted, in the calls of sub-agents, too.
    pub output_tokens: i64,
    /// Both together: what [`Quotas::tokens_per_month`](crate::tenants::Quotas) is about.
    pub tokens: i64,
    /// What that cost, as far as there are prices.
    pub cost_usd: f64,
    /// Deliveries that have ended, of those asked for on this day.
    pub deliveries: i64,
    /// Those of them that failed.
    pub failed_deliveries: i64,
}

impl UsageDay {
    fn from_row(row: &Row) -> Self {
        Self {
            day: row.get("day"),
            executions: row.get("executions"),
            failed_executions: row.get("failed_executions"),
            messages: row.get("messages"),
            input_tokens: row.get("input_tokens"),
            output_tokens: row.get("output_tokens"),
            tokens: row.get("tokens"),
            cost_usd: row.get("cost_usd"),
            deliveries: row.get("deliveries"),
            failed_deliveries: row.get("failed_deliveries"),
        }
    }
}

/// What a tenant used from one day to another, both included: the first [`MAX_DAYS`] of those on
/// which there was anything, in order.
pub async fn days(
    store: &Store,
    tenant: TenantId,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<UsageDay>, StoreError> {
    let failed = StoreError::query("usage.days");
    let client = store.client("usage.days").await?;
    let statement = client.prepare_cached(DAYS).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&tenant.0, &from, &to, &MAX_DAYS]).await;
    Ok(rows.map_err(&failed)?.iter().map(UsageDay::from_row).collect())
}

/// What came of counting for a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// This many spans were counted anew.
    Spans(usize),
    /// Somebody else is at it, or the tenant is gone.
    InHand,
}

/// Counts what has changed in the spans that begin in each of `ranges`, and judges by it whether
/// the tenant is over its quota.
pub async fn count(
    store: &Store,
    tenant: TenantId,
    ranges: &[Range<DateTime<Utc>>],
    now: DateTime<Utc>,
) -> Result<Counted, StoreError> {
    let failed = StoreError::query("usage.count");
    let mut client = store.client("usage.count").await?;
    let transaction = client.transaction().await.map_err(&failed)?;
    let lock = transaction.prepare_cached(LOCK).await.map_err(&failed)?;
    if transaction.query_opt(&lock, &[&tenant.0]).await.map_err(&failed)?.is_none() {
        return Ok(Counted::InHand);
    }
    let mut spans = Vec::new();
    for range in ranges {
        let parameters: [&(dyn ToSql + Sync); 3] = [&tenant.0, &range.start, &range.end];
        let changed = transaction.prepare_cached(CHANGED).await.map_err(&failed)?;
        let rows = transaction.query(&changed, &parameters).await.map_err(&failed)?;
        spans.extend(rows.iter().map(|row| row.get::<_, DateTime<Utc>>("starts_at")));
    }
    spans.sort_unstable();
    spans.dedup();
    for span in &spans {
        execute(&transaction, "usage.count_span", COUNT, &[&tenant.0, span]).await?;
    }
    let mut days: Vec<NaiveDate> = spans.iter().map(DateTime::date_naive).collect();
    days.dedup();
    for day in days {
        let begins = midnight(day);
        execute(&transaction, "usage.sum_day", SUM_DAY, &[&tenant.0, &day, &begins]).await?;
    }
    let forgotten = now - SPANS_KEPT;
    execute(&transaction, "usage.forget_spans", FORGET_SPANS, &[&tenant.0, &forgotten]).await?;
    judge(&transaction, tenant, now).await?;
    transaction.commit().await.map_err(&failed)?;
    Ok(Counted::Spans(spans.len()))
}

/// By what was counted in the month in which `now` is.
async fn judge(
    transaction: &Transaction<'_>,
    tenant: TenantId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let (begins, ends) = month_of(now.date_naive());
    let until = midnight(ends);
    let parameters: [&(dyn ToSql + Sync); 4] = [&tenant.0, &begins, &ends, &until];
    execute(transaction, "usage.judge_quota", JUDGE, &parameters).await?;
    Ok(())
}

async fn execute(
    transaction: &Transaction<'_>,
    operation: &'static str,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<u64, StoreError> {
    let failed = StoreError::query(operation);
    let statement = transaction.prepare_cached(statement).await.map_err(&failed)?;
    transaction.execute(&statement, parameters).await.map_err(&failed)
}

/// The spans in which something may have ended just now, be it by a clock that is a little ahead.
pub fn present(now: DateTime<Utc>) -> Range<DateTime<Utc>> {
    span_of(now) - SPAN..span_of(now) + SPAN + SPAN
}

/// The spans before those, an hour at a time, the latest first: all that may still change.
pub fn past(now: DateTime<Utc>) -> Vec<Range<DateTime<Utc>>> {
    let ends = present(now).start;
    let hours = 0..COUNTED_BACK.num_hours();
    let hour = |n: i64| ends - TimeDelta::hours(n + 1)..ends - TimeDelta::hours(n);
    hours.map(hour).collect()
}

fn span_of(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(SPAN).unwrap_or(time)
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// The first day of the month in which `day` is, and of the next one.
fn month_of(day: NaiveDate) -> (NaiveDate, NaiveDate) {
    use chrono::Datelike as _;
    let begins = day.with_day(1).unwrap_or(day);
    (begins, begins.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn the_spans_of_present_and_past_follow_each_other_without_a_gap() {
        let now = time("2027-01-01T00:07:21Z");
        assert_eq!(present(now), time("2027-01-01T00:00:00Z")..time("2027-01-01T00:15:00Z"));
        let past = past(now);
        assert_eq!(past.first().map(|hour| hour.end), Some(present(now).start));
        assert!(past.windows(2).all(|pair| pair[1].end == pair[0].start));
        assert_eq!(past.len(), 36);
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        let (begins, ends) = month_of(time("2027-12-31T23:59:59Z").date_naive());
        assert_eq!(begins.to_string(), "2027-12-01");
        assert_eq!(ends.to_string(), "2028-01-01");
    }
}
