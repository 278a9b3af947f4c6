//! What the way back costs: callbacks beside a bare client that makes the same requests, and ten
//! thousand deliveries that wait.
//!
//! On a system of its own. What is delivered is put into the database while delivery is ended, as
//! agent-runner would have left it: sessions of their own, a response each.

mod rate;
mod receiver;
mod waiting;

use std::time::Duration;

use anyhow::Context as _;
use recado_testkit::app::Role;
use recado_testkit::{sql, wait_for};
use serde_json::Value;

use super::progress;
use super::report::Findings;
use super::sink::Sink;
use super::system::System;
use receiver::Receiver;

/// How long it may take until all is delivered.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long after they were made the first deliveries are due that are spread over a time: by then
/// delivery is up.
const LEAD: Duration = Duration::from_secs(3);

/// Deliveries as agent-runner leaves them, each of a session of its own, due at once or one after
/// the other within `spread`. What a response says follows its number, in double brackets.
fn left_to_deliver(trigger: &str, n: usize, response: &str, spread: Duration) -> String {
    let lead = if spread.is_zero() { spread } else { LEAD }.as_millis();
    let spread = spread.as_millis();
    format!(
        "WITH ended AS (
             INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq,
                                     message_ids, separator, status, created_at, started_at,
                                     finished_at, agent_response)
             SELECT gen_random_uuid(), tenant_id, id, agent_id, gen_random_uuid(), number,
                    '{{}}', '', 'success', now(), now(), now(),
                    replace('{response}', '#', '[[' || number - 1 || ']]')
               FROM triggers, generate_series(1, {n}) AS number WHERE triggers.id = '{trigger}'
             RETURNING id, tenant_id, trigger_id, session_id, seq
         ), left_over AS (
             INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq,
                                     status, created_at, requested_at)
             SELECT gen_random_uuid(), tenant_id, id, trigger_id, session_id, seq,
                    'pending', now(), now()
               FROM ended
             RETURNING tenant_id, trigger_id, session_id, seq
         )
         INSERT INTO lanes (kind, session_id, tenant_id, trigger_id, queued, next_run_at)
         SELECT 'delivery', session_id, tenant_id, trigger_id, 1,
                now() + ({lead} + {spread} * seq / {n}) * interval '1 millisecond'
           FROM left_over"
    )
}

const UNFINISHED: &str = "SELECT count(*) FROM deliveries WHERE finished_at IS NULL";

/// The system, and what was found out so far.
struct Bench {
    system: System,
    findings: Findings,
}

/// Measures, on servers and processes that are gone afterwards.
pub(super) async fn measure() -> anyhow::Result<Findings> {
    progress("starting private servers and the six roles, for deliveries");
    let unused = Sink::unused().await?;
    let system = System::start(unused.address, &[]).await?;
    let mut bench = Bench { system, findings: Findings::default() };
    let measured = Box::pin(bench.all()).await;
    let Bench { system, findings } = bench;
    findings.ended(system, measured).await
}

impl Bench {
    async fn all(&mut self) -> anyhow::Result<()> {
        self.rate().await?;
        self.waiting().await
    }

    /// Ends delivery, and leaves it `n` responses to deliver as `configuration` says, within
    /// `spread`.
    async fn leave(
        &mut self,
        n: usize,
        response: &str,
        configuration: &Value,
        spread: Duration,
    ) -> anyhow::Result<()> {
        let target = self.system.fixtures.trigger(configuration).await?;
        self.system.end(Role::Delivery).await?;
        let url = self.system.database_url();
        let left = left_to_deliver(&target.trigger, n, response, spread);
        sql::execute(&url, &left).await.context("the deliveries were not made")?;
        // As it would be in a database that has been at work for a while.
        sql::execute(&url, "ANALYZE").await?;
        Ok(())
    }

    /// Returns when everything is delivered, or given up.
    async fn until_delivered(&self) -> anyhow::Result<()> {
        let url = self.system.database_url();
        let delivered = wait_for("the last delivery to end", PATIENCE, async || {
            (sql::count(&url, UNFINISHED).await.ok()? == 0).then_some(())
        });
        delivered.await
    }

    /// Notes what must not have happened.
    fn check(&mut self, receiver: &Receiver, n: usize, each: usize) {
        let (n_missing, n_repeated) = receiver.astray(n, each);
        if n_missing + n_repeated > 0 {
            let fault = format!("{n_missing} callbacks were lost, {n_repeated} repeated");
            self.findings.faults.push(fault);
        }
    }
}
