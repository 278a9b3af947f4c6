//! Taking away what a tenant does not want to be kept any longer, in batches.
//!
//! What has ended is removed in three steps, each after its own number of days
//! ([`Retention`]): first what went to models, tools and receivers; then what was said; at last the
//! execution with everything that hangs on it. A later step takes what an earlier one has left, so
//! nothing is kept longer than what it is part of. The days count from the end of the execution or
//! of its last delivery, whichever is later. Events that were sent to endpoints have an end of their
//! own, and go by that.
//!
//! Nothing is touched that has not ended, or whose parent, sub-agents, deliveries or news have not.
//!
//! `executions.erased` (and `event_deliveries.erased`) say which step was taken, and lead the index
//! that finds what is next: so nothing is met again, what ends late is not missed, and a change of
//! the days takes effect by itself. A batch is one short transaction that locks what it removes and
//! passes over what somebody else has locked: any number of processes may do this at a time.
//!
//! * `executions` and, of what hangs on them, `parts` and `sessions`.
//! * `events`: what was sent to event endpoints.
//! * `requests`: first answers to requests with an `Idempotency-Key`.

mod events;
mod executions;
mod parts;
mod requests;
mod sessions;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use recado_types::TenantId;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::tenants::Retention;
use crate::{Store, StoreError};

pub use requests::remove_old_requests;

/// How many rows one statement removes or empties, at most.
const STATEMENT_ROWS: usize = 500;

const TENANTS: &str = "\
-- retention.tenants
SELECT id, executions_retention_days, messages_retention_days, call_bodies_retention_days
  FROM tenants WHERE id > $1 ORDER BY id LIMIT $2";

/// A tenant, as far as housekeeping has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub tenant_id: TenantId,
    /// How long what it has is kept.
    pub retention: Retention,
}

/// The next `limit` tenants after `tenant`, by id.
pub async fn tenants(store: &Store, after: TenantId, limit: i64) -> Result<Vec<Kept>, StoreError> {
    let failed = StoreError::query("retention.tenants");
    let client = store.client("retention.tenants").await?;
    let statement = client.prepare_cached(TENANTS).await.map_err(&failed)?;
    let rows = client.query(&statement, &[&after.0, &limit]).await.map_err(&failed)?;
    let kept = |row: &Row| Kept {
        tenant_id: TenantId(row.get("id")),
        retention: Retention::from_row(row),
    };
    Ok(rows.iter().map(kept).collect())
}

/// A step towards nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What went to models, tools and receivers is emptied.
    CallBodies,
    /// What was said is emptied, too, and the messages are removed.
    Texts,
    /// All of it is removed.
    Everything,
}

impl Step {
    /// For logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallBodies => "call_bodies",
            Self::Texts => "texts",
            Self::Everything => "everything",
        }
    }

    /// `executions.erased` of what has taken it; [`Step::Everything`] leaves nothing.
    const fn erased(self) -> i16 {
        match self {
            Self::CallBodies => 1,
            Self::Texts => 2,
            Self::Everything => 3,
        }
    }
}

/// What a batch removes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Executions { erased: i16 },
    Events { is_erased: bool },
}

/// Where a job stands: the last row that it has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    finished_at: DateTime<Utc>,
    id: Uuid,
}

impl Position {
    const START: Self = Self { finished_at: DateTime::UNIX_EPOCH, id: Uuid::nil() };
}

/// One step for all of a tenant's rows that are due for it, a batch at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    tenant_id: TenantId,
    step: Step,
    subject: Subject,
    /// What ended before is due.
    before: DateTime<Utc>,
    after: Position,
}

impl Job {
    /// What is to be done for a tenant, in this order.
    pub fn all(kept: &Kept, now: DateTime<Utc>) -> Vec<Self> {
        let Retention { executions_days, messages_days, call_bodies_days } = kept.retention;
        let before = |days: Option<i32>| days.map(|days| now - TimeDelta::days(days.into()));
        let job = |step, before, subject| Self {
            tenant_id: kept.tenant_id,
            step,
            subject,
            before,
            after: Position::START,
        };
        let steps = [
            (Step::Everything, before(executions_days)),
            (Step::Texts, before(messages_days)),
            (Step::CallBodies, before(call_bodies_days)),
        ];
        let mut jobs = Vec::new();
        for (step, before) in steps {
            let Some(before) = before else { continue };
            let earlier = (0..step.erased()).map(|erased| Subject::Executions { erased });
            jobs.extend(earlier.map(|subject| job(step, before, subject)));
            let events: &[bool] = if step == Step::Everything { &[true, false] } else { &[false] };
            let events = events.iter().map(|&is_erased| Subject::Events { is_erased });
            jobs.extend(events.map(|subject| job(step, before, subject)));
        }
        jobs
    }

    /// Whose.
    pub fn tenant_id(&self) -> TenantId {
        self.tenant_id
    }

    /// Which step.
    pub fn step(&self) -> Step {
        self.step
    }
}

/// What a batch came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many rows were removed or emptied, by table.
    pub rows: Vec<(&'static str, u64)>,
    /// Whether nothing is left for the job to look at.
    pub is_over: bool,
}

impl Removed {
    fn add(&mut self, table: &'static str, n_rows: u64) {
        if n_rows > 0 {
            self.rows.push((table, n_rows));
        }
    }

    /// How many rows of `table`.
    pub fn of(&self, table: &str) -> u64 {
        self.rows.iter().filter(|(of, _)| *of == table).map(|(_, n_rows)| n_rows).sum()
    }
}

/// Does one batch of `job`, in a short transaction of its own.
pub async fn advance(store: &Store, job: &mut Job) -> Result<Removed, StoreError> {
    match job.subject {
        Subject::Executions { erased } => executions::advance(store, job, erased).await,
        Subject::Events { is_erased } => events::advance(store, job, is_erased).await,
    }
}

/// Runs one of the statements that remove or empty rows.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(
        executions_days: Option<i32>,
        messages_days: Option<i32>,
        call_bodies_days: Option<i32>,
    ) -> Vec<(Step, Subject, i64)> {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let retention = Retention { executions_days, messages_days, call_bodies_days };
        let kept = Kept { tenant_id: TenantId(Uuid::nil()), retention };
        let jobs = Job::all(&kept, now).into_iter();
        jobs.map(|job| (job.step, job.subject, (now - job.before).num_days())).collect()
    }

    #[test]
    fn who_keeps_everything_has_nothing_to_do() {
        assert!(jobs(None, None, None).is_empty());
    }

    #[test]
    fn each_step_takes_what_the_ones_before_have_left() {
        let (bodies, texts) = (Step::CallBodies, Step::Texts);
        let executions = |erased| Subject::Executions { erased };
        let events = |is_erased| Subject::Events { is_erased };
        assert_eq!(
            jobs(None, Some(30), Some(7)),
            [
                (texts, executions(0), 30),
                (texts, executions(1), 30),
                (texts, events(false), 30),
                (bodies, executions(0), 7),
                (bodies, events(false), 7),
            ]
        );
        let all = [executions(0), executions(1), executions(2), events(true), events(false)];
        assert_eq!(jobs(Some(90), None, None), all.map(|of| (Step::Everything, of, 90)));
    }
}
