//! Whether a session with 10,000 messages starts its next execution as fast as one with 10.
//!
//! From the webhook until the model is asked: everything that reads the past lies in between. The
//! past is copied from a first message that took the whole way, and is as if each had.

use anyhow::Context as _;
use recado_testkit::{sql, wait_for};

use super::{Bench, PATIENCE};
use crate::bench::latency::Latencies;
use crate::bench::report::{Figure, Goal};
use crate::bench::{count, progress};

const SHORT: usize = 10;
const LONG: usize = 10_000;

/// How often each is measured: the short past is that of so many sessions.
const ROUNDS: usize = 60;
/// How many of those only warm up.
const WARM_UP: usize = 10;

const MOST_RATIO: f64 = 2.0;

const UNFINISHED: &str = "SELECT count(*) FROM executions WHERE finished_at IS NULL";

/// What a session that has one message is to have in the end: so many more messages, each with its
/// execution and its model call.
fn with_past(trigger: &str, n_more: usize) -> String {
    format!(
        "WITH told AS (
             INSERT INTO messages (id, tenant_id, trigger_id, session_id, execution_id,
                                   text, context, accepted_at)
             SELECT gen_random_uuid(), tenant_id, trigger_id, session_id, gen_random_uuid(),
                    text, context, accepted_at
               FROM messages, generate_series(1, {n_more}) WHERE trigger_id = '{trigger}'
             RETURNING id, seq, session_id, execution_id
         ), run AS (
             INSERT INTO executions (id, tenant_id, trigger_id, agent_id, agent_version,
                                     agent_variation, session_id, seq, message_ids, separator,
                                     status, attempt_count, created_at, started_at, finished_at,
                                     normalized_query, agent_response, tokens_used)
             SELECT told.execution_id, tenant_id, trigger_id, agent_id, agent_version,
                    agent_variation, told.session_id, told.seq, ARRAY[told.id], separator,
                    status, attempt_count, created_at, started_at, finished_at,
                    normalized_query, agent_response, tokens_used
               FROM told JOIN executions USING (session_id)
             RETURNING id, tenant_id, created_at
         )
         INSERT INTO llm_calls (id, tenant_id, execution_id, number, purpose, iteration,
                                window_sequence, provider, model, response_time_ms, created_at)
         SELECT gen_random_uuid(), tenant_id, id, 1, 'turn', 1, 1, 'quick', 'model', 1, created_at
           FROM run"
    )
}

impl Bench {
    pub(super) async fn long_session(&mut self) -> anyhow::Result<()> {
        progress("making a session with 10,000 messages, and some with 10");
        let [short, long] = self.targets.quick.clone();
        let mut wire = None;
        for session in 0..ROUNDS {
            self.one(&mut wire, &short, session).await?;
        }
        self.one(&mut wire, &long, 0).await?;
        self.until_idle().await?;
        let url = self.system.database_url();
        for (target, n) in [(&short, SHORT), (&long, LONG)] {
            let past = with_past(&target.trigger, n - 1);
            sql::execute(&url, &past).await.context("the past was not made")?;
        }
        // As it would be long since, were it not for the haste.
        sql::execute(&url, "ANALYZE").await?;

        progress("going on with them");
        let (mut of_short, mut of_long) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            of_short.push(self.one(&mut wire, &short, round).await?);
            self.until_idle().await?;
            of_long.push(self.one(&mut wire, &long, 0).await?);
            self.until_idle().await?;
        }
        let of_short = Latencies::from(of_short.split_off(WARM_UP));
        let of_long = Latencies::from(of_long.split_off(WARM_UP));
        self.findings.figures.extend([
            Figure::new("session with a past: messages", count(LONG), "").against(count(SHORT)),
            Figure::new("  webhook to the model's being asked p50", of_long.p50(), "ms")
                .against(of_short.p50())
                .goal(Goal::RatioAtMost(MOST_RATIO)),
            Figure::new("  webhook to the model's being asked p99", of_long.p99(), "ms")
                .against(of_short.p99()),
        ]);
        Ok(())
    }

    /// Returns when no execution is under way.
    async fn until_idle(&self) -> anyhow::Result<()> {
        let url = self.system.database_url();
        let idle = wait_for("executions to end", PATIENCE, async || {
            (sql::count(&url, UNFINISHED).await.ok()? == 0).then_some(())
        });
        idle.await
    }
}
