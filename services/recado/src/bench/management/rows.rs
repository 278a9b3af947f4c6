//! What there is to look at: tenants, triggers and executions, put into the database as the roles
//! would have left them, in one statement for each table.
//!
//! Everything of one tenant is looked at, the observed one, which has a tenth of all executions. A
//! tenth of a tenant's sessions are those of its first trigger, the rest those of a hundred.

use std::time::Instant;

use anyhow::Context as _;
use recado_testkit::sql;

use super::super::progress;

/// The rows that others are derived from: those of the observed tenant.
pub(super) struct Observed {
    pub(super) tenant: String,
    pub(super) agent: String,
    pub(super) trigger: String,
}

/// How much there is.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) tenants: u32,
    pub(super) executions: u32,
}

pub(super) const NONE: Size = Size { tenants: 0, executions: 0 };
/// One tenant, whose pages are as full as later.
pub(super) const FEW: Size = Size { tenants: 1, executions: 1_000 };
pub(super) const MANY: Size = Size { tenants: 100, executions: 1_000_000 };

const TRIGGERS_PER_TENANT: u32 = 100;
const EXECUTIONS_PER_SESSION: u32 = 20;
/// Each thousand executions are those of fifty sessions that go on side by side.
const SESSIONS_AT_A_TIME: u32 = 50;
const BLOCK: u32 = EXECUTIONS_PER_SESSION * SESSIONS_AT_A_TIME;

const _: () = assert!(
    FEW.executions.is_multiple_of(BLOCK) && MANY.executions.is_multiple_of(BLOCK),
    "no session is cut in two"
);

/// Foreign keys and announcements are left out, and no commit waits for the disk.
const QUICKLY: &str = "SET session_replication_role = replica; SET synchronous_commit = off;";

/// How ids are made (`UUIDv7`, of a kind and a number), and which tenants, triggers and sessions
/// there are so far.
const TOOLS: &str = "
CREATE SCHEMA bench;
CREATE FUNCTION bench.id(kind text, n bigint, at timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
            || '7' || substr(md5(kind || n), 1, 3) || '8' || substr(md5(kind || n), 4, 15))::uuid
$$;
-- The same as a number of some bits, for whatever is to look like chance.
CREATE FUNCTION bench.chance(n bigint) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT hashint8(n) & 1048575
$$;
CREATE TABLE bench.tenants (n integer PRIMARY KEY, id uuid, project uuid, agent uuid);
CREATE TABLE bench.triggers (tenant integer, n integer, id uuid, PRIMARY KEY (tenant, n));
CREATE TABLE bench.sessions (n integer PRIMARY KEY, tenant_id uuid, trigger_id uuid, agent_id uuid,
                             id uuid, created_at timestamptz);";

impl Observed {
    /// Makes what [`Observed::fill`] works with, and says how the observed tenant is known there.
    pub(super) async fn prepare(&self, url: &str) -> anyhow::Result<()> {
        let Self { tenant, agent, trigger } = self;
        let known = format!(
            "{TOOLS}
             INSERT INTO bench.tenants
             SELECT 1, tenant_id, project_id, id FROM agents
              WHERE id = '{agent}' AND tenant_id = '{tenant}';
             INSERT INTO bench.triggers VALUES (1, 1, '{trigger}')"
        );
        sql::execute(url, &known).await.context("there is no place for many rows")
    }

    /// Adds what is missing to go from one size to the next; answers how many seconds that took.
    pub(super) async fn fill(&self, url: &str, from: Size, to: Size) -> anyhow::Result<f64> {
        progress(&format!("making {} executions", to.executions));
        let began = Instant::now();
        for statements in [
            self.owners(from, to),
            sessions(from, to),
            executions(from, to),
            messages(from, to),
            self.details(from, to),
        ] {
            let quickly = format!("{QUICKLY} {statements}");
            sql::execute(url, &quickly).await.context("the rows were not made")?;
        }
        let took = began.elapsed().as_secs_f64();
        // As it would be in a database that has been at work for a while.
        for chore in ["VACUUM (ANALYZE)", "CHECKPOINT"] {
            sql::execute(url, chore).await?;
        }
        Ok(took)
    }

    /// Tenants with a project and an agent each, and their triggers: copies of the observed ones.
    fn owners(&self, from: Size, to: Size) -> String {
        let Self { agent, trigger, .. } = self;
        let first = from.tenants + 1;
        let last = to.tenants;
        format!(
            "INSERT INTO bench.tenants
             SELECT n, bench.id('tenant', n, now()), bench.id('project', n, now()),
                    bench.id('agent', n, now())
               FROM generate_series({first}, {last}) AS n WHERE n > 1;
             INSERT INTO bench.triggers
             SELECT t.n, k, bench.id('trigger', t.n * 1000 + k, now() - k * interval '1 hour')
               FROM bench.tenants t, generate_series(1, {TRIGGERS_PER_TENANT}) AS k
              WHERE t.n BETWEEN {first} AND {last} AND (t.n, k) <> (1, 1);
             INSERT INTO tenants (id, name, created_at, updated_at)
             SELECT id, 'Tenant ' || n, now(), now() FROM bench.tenants
              WHERE n BETWEEN {first} AND {last} AND n > 1;
             INSERT INTO projects (id, tenant_id, name, created_at, updated_at)
             SELECT project, id, 'default', now(), now() FROM bench.tenants
              WHERE n BETWEEN {first} AND {last} AND n > 1;
             INSERT INTO agents (id, tenant_id, project_id, name, spec, providers, tool_ids,
                                 created_at, updated_at)
             SELECT t.agent, t.id, t.project, a.name, a.spec, a.providers, a.tool_ids, now(), now()
               FROM agents a, bench.tenants t
              WHERE a.id = '{agent}' AND t.n BETWEEN {first} AND {last} AND t.n > 1;
             INSERT INTO triggers (id, tenant_id, project_id, agent_id, name, trigger_type,
                                   trigger_config, webhook_secret_key_id, webhook_secret_sealed,
                                   created_at, updated_at)
             SELECT k.id, t.id, t.project, t.agent, 'Trigger ' || k.n, seed.trigger_type,
                    seed.trigger_config, seed.webhook_secret_key_id, seed.webhook_secret_sealed,
                    now() - k.n * interval '1 hour', now()
               FROM triggers seed, bench.triggers k JOIN bench.tenants t ON t.n = k.tenant
              WHERE seed.id = '{trigger}' AND t.n BETWEEN {first} AND {last}
                AND k.id <> '{trigger}'"
        )
    }

    /// What hangs on an execution: a delivery of what was answered, and where anybody looks, two
    /// model calls, a tool call, a chunk and an attempt.
    fn details(&self, from: Size, to: Size) -> String {
        let Self { tenant, .. } = self;
        let (after, last) = (from.executions, to.executions);
        let these = format!(
            "executions e WHERE e.tenant_id = '{tenant}' AND e.seq > {after} AND e.seq <= {last}"
        );
        format!(
            "INSERT INTO llm_calls (id, tenant_id, execution_id, number, purpose, iteration,
                                    window_sequence, provider, model, input_tokens, output_tokens,
                                    cost_usd, response_time_ms, finish_reason, created_at)
             SELECT bench.id('llm call', e.seq * 2 + number, e.started_at), e.tenant_id, e.id,
                    number, 'turn', number, 1, 'openai', 'gpt', 812, 57, 0.002, 640,
                    CASE number WHEN 1 THEN 'tool_calls' ELSE 'stop' END, e.started_at
               FROM generate_series(1, 2) AS number, {these};
             INSERT INTO tool_calls (id, tenant_id, execution_id, iteration, call_index,
                                     provider_call_id, tool_name, input, status, output,
                                     duration_ms, created_at, finished_at)
             SELECT bench.id('tool call', e.seq, e.started_at), e.tenant_id, e.id, 1, 0,
                    'call_' || e.seq, 'free_tables', '{{\"day\": \"friday\", \"people\": 2}}',
                    'success', '{{\"tables\": [4, 7]}}', 35, e.started_at, e.finished_at
               FROM {these};
             INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq,
                                     status, chunk_count, created_at, requested_at, finished_at)
             SELECT bench.id('delivery', e.seq, e.finished_at), e.tenant_id, e.id, e.trigger_id,
                    e.session_id, e.seq, 'delivered', 1, e.finished_at, e.finished_at,
                    e.finished_at + interval '200 milliseconds'
               FROM executions e
              WHERE e.seq > {after} AND e.seq <= {last} AND e.status = 'success' ORDER BY e.seq;
             INSERT INTO chunks (delivery_id, chunk_index, body, status, attempt_count, sent_at)
             SELECT bench.id('delivery', e.seq, e.finished_at), 0, e.agent_response, 'sent', 1,
                    e.finished_at + interval '200 milliseconds'
               FROM {these} AND e.status = 'success';
             INSERT INTO attempts (id, tenant_id, delivery_id, chunk_index, round, attempt,
                                   started_at, duration_ms, status_code, response_body)
             SELECT bench.id('attempt', e.seq, e.finished_at), e.tenant_id,
                    bench.id('delivery', e.seq, e.finished_at), 0, 1, 1, e.finished_at, 180, 200,
                    '{{\"ok\": true}}'
               FROM {these} AND e.status = 'success'"
        )
    }
}

/// Each begins when its first execution does.
fn sessions(from: Size, to: Size) -> String {
    let first = from.executions / EXECUTIONS_PER_SESSION + 1;
    let last = to.executions / EXECUTIONS_PER_SESSION;
    let few = FEW.executions / EXECUTIONS_PER_SESSION;
    let began = time_of(&format!("(s.n - 1) / {SESSIONS_AT_A_TIME} * {BLOCK}"), to);
    format!(
        "INSERT INTO bench.sessions
         SELECT s.n, t.id, k.id, t.agent, bench.id('session', s.n, {began}), {began}
           FROM (SELECT n, CASE WHEN n <= {few} OR n % 10 = 0 THEN 1 ELSE 2 + n % 99 END AS tenant,
                        CASE WHEN (n / 10) % 10 = 0 THEN 1
                             ELSE 1 + bench.chance(n) % {TRIGGERS_PER_TENANT} END AS trigger
                   FROM generate_series({first}, {last}) AS n) s
           JOIN bench.tenants t ON t.n = s.tenant
           JOIN bench.triggers k ON k.tenant = s.tenant AND k.n = s.trigger;
         INSERT INTO sessions (id, tenant_id, trigger_id, agent_id, created_at)
         SELECT id, tenant_id, trigger_id, agent_id, created_at
           FROM bench.sessions WHERE n BETWEEN {first} AND {last} ORDER BY n"
    )
}

/// Of each hundred 96 went well, two failed, one took too long, one was stopped.
fn executions(from: Size, to: Size) -> String {
    let (first, last) = (from.executions + 1, to.executions);
    let at = time_of("n", to);
    format!(
        "INSERT INTO executions (id, tenant_id, trigger_id, agent_id, agent_version, session_id,
                                 seq, message_ids, separator, status, attempt_count, created_at,
                                 started_at, finished_at, normalized_query, agent_response,
                                 error_code, error_message, tokens_used, cost_usd)
         SELECT bench.id('execution', e.n, e.at), s.tenant_id, s.trigger_id, s.agent_id, 1, s.id,
                e.n, ARRAY[bench.id('message', e.n, e.at)], E'\\n\\n', e.status, 1, e.at,
                e.at + interval '20 milliseconds', e.at + interval '1420 milliseconds',
                'Is there a table for two on Friday evening, not too late? (' || e.n || ')',
                CASE e.status WHEN 'success' THEN
                    'There is a table for two on Friday at eight, by the window, as you wished. '
                    || 'Please tell us until noon if you cannot come. (' || e.n || ')' END,
                CASE e.status WHEN 'failed' THEN 'provider_error'
                              WHEN 'timeout' THEN 'timeout' END,
                CASE e.status WHEN 'failed' THEN 'The provider answered 500.' END, 1738, 0.004
           FROM (SELECT n, (n - 1) / {BLOCK} * {SESSIONS_AT_A_TIME}
                               + (n - 1) % {SESSIONS_AT_A_TIME} + 1 AS session,
                        {at} AS at,
                        CASE (n * 37 + (n - 1) / 100) % 100
                            WHEN 0 THEN 'failed' WHEN 1 THEN 'failed' WHEN 2 THEN 'timeout'
                            WHEN 3 THEN 'cancelled' ELSE 'success' END AS status
                   FROM generate_series({first}::bigint, {last}) AS n) e
           JOIN bench.sessions s ON s.n = e.session
          ORDER BY e.n"
    )
}

/// When the nth execution was: all are spread evenly over the 87 days that ended two days ago, so
/// that nothing of it is counted or removed meanwhile; the first thousand by themselves, too.
fn time_of(n: &str, all: Size) -> String {
    let step_ms = 87 * 86_400_000_u64 / u64::from(all.executions);
    let last = all.executions;
    format!("now() - interval '2 days' - ({last} - {n}) * {step_ms}::bigint * interval '1 ms'")
}

/// One for each execution.
fn messages(from: Size, to: Size) -> String {
    let (after, last) = (from.executions, to.executions);
    format!(
        "INSERT INTO messages (id, tenant_id, trigger_id, session_id, execution_id, requested_at,
                               text, context, accepted_at, recorded_at)
         SELECT message_ids[1], tenant_id, trigger_id, session_id, id, created_at,
                normalized_query, '{{\"userId\": \"user-7\", \"userName\": \"Ana\"}}', created_at,
                created_at
           FROM executions WHERE seq > {after} AND seq <= {last} ORDER BY seq"
    )
}
