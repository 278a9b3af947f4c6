//! What a session's past costs those who start its next execution.

use std::collections::BTreeSet;
use std::time::Duration;

use recado_store::executions::{self, History};
use recado_store::{Config, Keyring, Store};
use recado_types::SessionId;
use serde_json::Value;

use crate::fixture::{AGENT, Fixture, KEYS, TENANT, TRIGGER, session};

const LEASE: Duration = Duration::from_secs(30);
const HISTORY: History = History { turns: 20, bytes: 256 << 10 };

impl Fixture {
    /// A session with so many exchanges behind it, and one more message that waits for its answer.
    async fn have_talked(&self, session: SessionId, n_exchanges: u32) {
        let last = n_exchanges + 1;
        recado_testkit::sql::execute(
            self.database.url(),
            &format!(
                "INSERT INTO sessions (id, tenant_id, trigger_id, agent_id, created_at)
                 VALUES ('{session}', '{TENANT}', '{TRIGGER}', '{AGENT}', now());
                 WITH said AS (
                     INSERT INTO messages (id, tenant_id, trigger_id, session_id, execution_id,
                                           text, context, accepted_at)
                     SELECT gen_random_uuid(), '{TENANT}', '{TRIGGER}', '{session}',
                            gen_random_uuid(), 'question ' || n, '{{}}', now()
                       FROM generate_series(1, {last}) n
                     RETURNING id, execution_id, seq, text
                 ), numbered AS (
                     SELECT *, row_number() OVER (ORDER BY seq) = {last} AS is_last FROM said
                 )
                 INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq,
                                         message_ids, separator, status, created_at, started_at,
                                         finished_at, normalized_query, agent_response)
                 SELECT execution_id, '{TENANT}', '{TRIGGER}', '{AGENT}', '{session}', seq,
                        ARRAY[id], '', CASE WHEN is_last THEN 'queued' ELSE 'success' END, now(),
                        CASE WHEN NOT is_last THEN now() END, CASE WHEN NOT is_last THEN now() END,
                        CASE WHEN NOT is_last THEN text END, CASE WHEN NOT is_last THEN 'yes' END
                   FROM numbered;
                 INSERT INTO lanes (kind, session_id, tenant_id, queued, next_run_at)
                 VALUES ('execution', '{session}', '{TENANT}', 1, now())"
            ),
        )
        .await
        .unwrap();
    }
}

/// Explains the very statement that was prepared, as it is run for one session.
async fn explain_start(store: &Store, session: SessionId) -> Value {
    let client = store.client("test").await.unwrap();
    let prepared = "SELECT name FROM pg_prepared_statements
                     WHERE statement LIKE '-- executions.start%'";
    let row = client.query_one(prepared, &[]).await.unwrap();
    let name: &str = row.get(0);
    let (turns, bytes) = (HISTORY.turns, HISTORY.bytes);
    client.batch_execute("BEGIN").await.unwrap();
    let explain = format!(
        "EXPLAIN (ANALYZE, FORMAT JSON)
         EXECUTE \"{name}\" (ARRAY['{session}']::uuid[], {turns}, {bytes})"
    );
    let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
    client.batch_execute("ROLLBACK").await.unwrap();
    plan[0]["Plan"].clone()
}

/// A node of a plan and all below it.
fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

/// The steps of a plan: what is done, to which table, by which index.
fn steps(plan: &Value) -> Vec<[&str; 3]> {
    let step = |node| ["Node Type", "Relation Name", "Index Name"].map(|name| text(node, name));
    nodes(plan).into_iter().map(step).collect()
}

fn text<'v>(node: &'v Value, name: &str) -> &'v str {
    node[name].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_long_past_costs_no_more_than_a_short_one() {
    let fixture = Fixture::new().await;
    let (short, long) = (session(1), session(2));
    fixture.have_talked(short, 30).await;
    fixture.have_talked(long, 2_000).await;
    recado_testkit::sql::execute(fixture.database.url(), "ANALYZE").await.unwrap();
    // One connection, so that the statement which is explained is the one which was prepared.
    let config = Config::new(fixture.database.url(), 1, "test");
    let store = Store::new(&config, Keyring::parse(KEYS).unwrap()).unwrap();
    let claimed = executions::claim(&store, 2, LEASE, usize::MAX, HISTORY).await.unwrap();
    let sessions: BTreeSet<SessionId> = claimed.iter().map(|one| one.session_id).collect();
    assert_eq!(sessions, BTreeSet::from([short, long]));
    for one in &claimed {
        let seqs: Vec<i64> = one.history.iter().map(|turn| turn.seq).collect();
        assert_eq!(seqs.len(), 20, "the newest ones");
        assert!(seqs.is_sorted() && one.history[19].query != one.input);
    }

    let short = explain_start(&store, short).await;
    let long = explain_start(&store, long).await;
    assert_eq!(steps(&short), steps(&long));
    for node in nodes(&long) {
        let kind = text(node, "Node Type");
        let n_rows = |name: &str| node[name].as_f64().unwrap_or_default();
        let n_seen = (n_rows("Actual Rows") + n_rows("Rows Removed by Filter"))
            * n_rows("Actual Loops").max(1.0);
        assert!(n_seen <= 50.0, "{kind} sees {n_seen} rows: {long:#}");
    }
}
