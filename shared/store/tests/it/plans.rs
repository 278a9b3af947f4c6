//! What people look at is found by an index, whatever they ask for, as the role that answers them:
//! every statement, by the plan that is made of it once and for all, and by what was really read.
//!
//! Whoever adds a view adds a line to [`look_at_everything`].

use std::time::Duration;

use chrono::DateTime;
use recado_store::manual_messages::{self, ManualMessage};
use recado_store::redeliver::{self, RedeliverFrom};
use recado_store::triggers::{self, InvocationFilter, InvocationStatus};
use recado_store::views::{
    self, DeliveryFilter, DeliveryStatus, EventDeliveryFilter, ExecutionFilter, ExecutionStatus,
    SessionFilter, SessionState,
};
use recado_store::{Config, Keyring, Role, Store, sessions};
use recado_testkit::sql;
use recado_types::{
    AgentId, DeliveryId, EventDeliveryId, EventEndpointId, ExecutionId, SessionId, TenantId,
    TriggerId,
};
use serde_json::Value;
use uuid::Uuid;

use crate::fixture::{KEYS, now};

/// What grows with the messages that come, or with what a tenant sets up.
const GROWING: [&str; 14] = [
    "agents",
    "triggers",
    "lanes",
    "executions",
    "messages",
    "sessions",
    "deliveries",
    "chunks",
    "attempts",
    "llm_calls",
    "tool_calls",
    "context_windows",
    "event_deliveries",
    "event_attempts",
];

/// Ten tenants, thousands of agents and triggers of which a hundred are used, a thousand sessions,
/// and twenty thousand of everything else. What belongs to execution `n` is numbered like it.
const FILL: &str = "
SET session_replication_role = replica;
CREATE FUNCTION id(kind text, n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS
    $$ SELECT (rpad(encode(kind::bytea, 'hex'), 24, '0') || lpad(to_hex(n), 8, '0'))::uuid $$;
INSERT INTO tenants (id, name, created_at, updated_at)
SELECT id('tenant', n), 'tenant', now(), now() FROM generate_series(0, 9) n;
INSERT INTO triggers (id, tenant_id, project_id, agent_id, name, trigger_type, trigger_config,
                      webhook_secret_key_id, webhook_secret_sealed, created_at, updated_at)
SELECT id('trigger', n), id('tenant', n % 10), id('project', n), id('agent', n), 'trigger',
       'webhook', '{\"execution\": {\"callback\": {\"url\": \"https://example.com/\"}}}', '', '',
       now(), now()
  FROM generate_series(0, 4999) n;
INSERT INTO agents (id, tenant_id, project_id, name, spec, providers, tool_ids, created_at,
                    updated_at)
SELECT id('agent', n), id('tenant', n % 10), id('project', n), 'agent', '{}', '{}', '{}', now(),
       now()
  FROM generate_series(0, 4999) n;
INSERT INTO lanes (kind, session_id, tenant_id, trigger_id, queued, next_run_at)
SELECT kind, id('session', n), id('tenant', n % 10), id('trigger', n % 100), 1, now()
  FROM generate_series(0, 999) n, unnest(ARRAY['execution', 'delivery']) kind;
INSERT INTO sessions (id, tenant_id, trigger_id, agent_id, created_at)
SELECT id('session', n), id('tenant', n % 10), id('trigger', n % 100), id('agent', n % 100),
       '2026-01-01'::timestamptz + n * interval '1 second'
  FROM generate_series(0, 999) n;
INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq, message_ids,
                        separator, status, created_at, started_at, finished_at, normalized_query,
                        agent_response, parent_execution_id)
SELECT id('execution', n), id('tenant', n % 10), id('trigger', n % 100), id('agent', n % 100),
       id('session', n % 1000), n, ARRAY[id('message', n)], '',
       CASE n % 50 WHEN 0 THEN 'failed' WHEN 1 THEN 'queued' ELSE 'success' END,
       '2026-01-01'::timestamptz + n * interval '1 second', now(),
       CASE WHEN n % 50 <> 1 THEN now() END, 'question ' || n, 'answer ' || n,
       CASE WHEN n % 100 = 99 THEN id('execution', n - 1) END
  FROM generate_series(0, 19999) n;
INSERT INTO messages (id, tenant_id, trigger_id, session_id, execution_id, text, context,
                      accepted_at)
SELECT id('message', n), id('tenant', n % 10), id('trigger', n % 100), id('session', n % 1000),
       CASE WHEN n % 41 > 0 THEN id('execution', n) END, 'question', '{}', now()
  FROM generate_series(0, 19999) n;
INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq, status,
                        created_at, requested_at, finished_at)
SELECT id('delivery', n), id('tenant', n % 10), id('execution', n), id('trigger', n % 100),
       id('session', n % 1000), n,
       CASE n % 50 WHEN 0 THEN 'failed' WHEN 1 THEN 'pending' ELSE 'delivered' END,
       '2026-01-01'::timestamptz + n * interval '1 second', now(),
       CASE WHEN n % 50 <> 1 THEN now() END
  FROM generate_series(0, 19999) n;
INSERT INTO chunks (delivery_id, chunk_index, body, status)
SELECT id('delivery', n), 0, 'answer', 'sent' FROM generate_series(0, 19999) n;
INSERT INTO attempts (id, tenant_id, delivery_id, chunk_index, round, attempt, started_at,
                      duration_ms)
SELECT id('attempt', n), id('tenant', n % 10), id('delivery', n), 0, 1, 1, now(), 1
  FROM generate_series(0, 19999) n;
INSERT INTO llm_calls (id, tenant_id, execution_id, number, purpose, iteration, window_sequence,
                       provider, model, response_time_ms, created_at)
SELECT id('call', n), id('tenant', n % 10), id('execution', n), 1, 'turn', 1, 1, 'p', 'm', 1, now()
  FROM generate_series(0, 19999) n;
INSERT INTO tool_calls (id, tenant_id, execution_id, iteration, call_index, provider_call_id,
                        tool_name, input, status, created_at)
SELECT id('tool', n), id('tenant', n % 10), id('execution', n), 1, 0, 'c', 't', '{}',
       CASE n % 50 WHEN 1 THEN 'waiting_for_approval' ELSE 'success' END, now()
  FROM generate_series(0, 19999) n;
INSERT INTO context_windows (id, tenant_id, session_id, sequence, execution_id, from_seq,
                             strategies, n_messages, created_at)
SELECT id('window', n), id('tenant', n % 10), id('session', n % 1000), 2 + n / 1000,
       id('execution', n), n, '{}', 1, now()
  FROM generate_series(0, 19999) n;
INSERT INTO event_deliveries (id, tenant_id, endpoint_id, event_id, event_type, agent_id,
                              session_id, execution_id, payload, status, occurred_at, created_at,
                              finished_at)
SELECT id('told', n), id('tenant', n % 10), id('endpoint', n % 10), id('event', n),
       'user_message', id('agent', n % 100), id('session', n % 1000), id('execution', n), '{}',
       CASE n % 50 WHEN 0 THEN 'failed' ELSE 'delivered' END, now(), now(), now()
  FROM generate_series(0, 19999) n;
INSERT INTO event_attempts (id, tenant_id, event_delivery_id, round, attempt, started_at,
                            duration_ms)
SELECT id('tell', n), id('tenant', n % 10), id('told', n), 1, 1, now(), 1
  FROM generate_series(0, 19999) n;
SET session_replication_role = DEFAULT;
ANALYZE;";

/// As the function of the same name above.
fn id(kind: &str, n: u32) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..kind.len()].copy_from_slice(kind.as_bytes());
    bytes[12..].copy_from_slice(&n.to_be_bytes());
    Uuid::from_bytes(bytes)
}

/// Every view once, with every filter that leads to a statement of its own.
async fn look_at_everything(store: &Store) {
    let tenant = TenantId(id("tenant", 3));
    let trigger = TriggerId(id("trigger", 3));
    let session = SessionId(id("session", 3));
    let execution = ExecutionId(id("execution", 3));

    let all = ExecutionFilter::default();
    let at = |seconds: i64| DateTime::from_timestamp(1_767_225_600 + seconds, 0);
    let filters = [
        all.clone(),
        ExecutionFilter { status: Some(ExecutionStatus::Failed), ..all.clone() },
        ExecutionFilter { status: Some(ExecutionStatus::Waiting), ..all.clone() },
        ExecutionFilter { status: Some(ExecutionStatus::Success), ..all.clone() },
        ExecutionFilter { text: Some("answer 7".into()), ..all.clone() },
        ExecutionFilter { agent_id: Some(AgentId(id("agent", 3))), ..all.clone() },
        ExecutionFilter { from: at(100), to: at(200), ..all.clone() },
        ExecutionFilter { session_id: Some(session), ..all.clone() },
    ];
    for filter in filters {
        for trigger_id in [None, Some(trigger)] {
            let filter = ExecutionFilter { trigger_id, ..filter.clone() };
            let found = views::executions(store, tenant, &filter, None, 3).await.unwrap();
            let first = found.found.first().map(|first| first.position);
            views::executions(store, tenant, &filter, first, 3).await.unwrap();
        }
    }
    for (status, n_expected) in [
        (None, 200),
        (Some(InvocationStatus::Pending), 0),
        (Some(InvocationStatus::Success), 200),
        (Some(InvocationStatus::Failed), 0),
    ] {
        let filter = InvocationFilter { status, from: at(0), to: at(100_000) };
        let found = triggers::invocations(store, tenant, trigger, &filter, (0, 3)).await.unwrap();
        assert_eq!(found.total, n_expected, "{status:?}");
    }
    assert!(views::execution(store, tenant, None, execution).await.unwrap().is_some());
    assert!(views::resolve_execution(store, tenant, execution).await.unwrap().is_some());
    assert!(views::trigger_exists(store, tenant, trigger).await.unwrap());
    views::stats(store, tenant).await.unwrap();
    views::waiting_tool_calls(store, tenant, None, 3).await.unwrap();

    let any = SessionFilter::default();
    let suspended = SessionFilter { status: Some(SessionState::Suspended), ..any.clone() };
    for filter in [any, suspended] {
        views::sessions(store, tenant, &filter, None, 3).await.unwrap();
    }
    assert!(sessions::exists(store, tenant, session).await.unwrap());
    assert!(views::session(store, tenant, session).await.unwrap().is_some());
    assert!(views::session_origin(store, tenant, session).await.unwrap().is_some());
    let said = views::transcript(store, tenant, session, None, 3).await.unwrap();
    assert_eq!(said.said.len(), 3);
    assert_eq!(views::open_bursts(store, tenant, None, 3).await.unwrap().len(), 3);
    let message = ManualMessage { id: ExecutionId(Uuid::new_v4()), text: "Hello.", author: "ana" };
    manual_messages::say(store, tenant, session, &message, now()).await.unwrap();

    let any = DeliveryFilter::default();
    let filters = [
        any,
        DeliveryFilter { status: Some(DeliveryStatus::Pending), ..any },
        DeliveryFilter { status: Some(DeliveryStatus::Failed), ..any },
        DeliveryFilter { trigger_id: Some(trigger), ..any },
        DeliveryFilter { session_id: Some(session), ..any },
        DeliveryFilter { execution_id: Some(execution), ..any },
    ];
    for filter in filters {
        views::deliveries(store, tenant, &filter, None, 3).await.unwrap();
    }
    let delivery = DeliveryId(id("delivery", 3));
    assert!(views::delivery(store, tenant, delivery).await.unwrap().is_some());
    redeliver::redeliver(store, tenant, delivery, RedeliverFrom::Start, now()).await.unwrap();
    views::destinations(store, tenant, None, 3).await.unwrap();
    views::destination(store, tenant, trigger).await.unwrap();

    let endpoint = EventEndpointId(id("endpoint", 3));
    for status in [None, Some(DeliveryStatus::Failed)] {
        let filter = EventDeliveryFilter { before: None, status, limit: 3 };
        views::event_deliveries(store, tenant, endpoint, filter).await.unwrap();
    }
    let delivery = EventDeliveryId(id("told", 3));
    assert!(views::event_delivery(store, tenant, delivery).await.unwrap().is_some());
}

/// What is read from one end to the other in a plan.
fn read_whole(plan: &Value) -> Vec<&str> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(read_whole);
    let is_scan = plan["Node Type"] == "Seq Scan";
    let table = plan["Relation Name"].as_str().filter(|table| is_scan && GROWING.contains(table));
    table.into_iter().chain(below).collect()
}

#[tokio::test]
async fn nothing_that_people_look_at_is_read_from_end_to_end() {
    let database = recado_testkit::database().await;
    sql::execute(database.url(), FILL).await.unwrap();
    sql::execute(database.url(), "SELECT pg_stat_reset()").await.unwrap();
    // One connection, so that what was prepared can be explained.
    let mut config = Config::new(database.url(), 1, "test");
    config.role = Role::Management;
    config.statement_timeout = Duration::from_secs(30);
    let store = Store::new(&config, Keyring::parse(KEYS).unwrap()).unwrap();
    let store = store.for_tenant(TenantId(id("tenant", 3)));
    look_at_everything(&store).await;

    let client = store.client("test").await.unwrap();
    client.execute("SELECT pg_stat_force_next_flush()", &[]).await.unwrap();
    let read = "SELECT relname::text FROM pg_stat_user_tables WHERE seq_scan > 0";
    let read = sql::connected(database.url(), async |other| other.query(read, &[]).await);
    let read: Vec<String> = read.await.unwrap().iter().map(|row| row.get(0)).collect();
    let read: Vec<&String> = read.iter().filter(|name| GROWING.contains(&name.as_str())).collect();
    assert!(read.is_empty(), "somebody has read the whole of {read:?}");

    client.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
    let prepared = "SELECT name, statement, cardinality(parameter_types)
                      FROM pg_prepared_statements WHERE statement LIKE '-- %'";
    let prepared = client.query(prepared, &[]).await.unwrap();
    assert!(prepared.len() > 30, "{}", prepared.len());
    let mut mistakes = Vec::new();
    for row in &prepared {
        let (name, statement, n): (&str, &str, i32) = (row.get(0), row.get(1), row.get(2));
        let nulls = vec!["NULL"; usize::try_from(n).unwrap()].join(", ");
        let nulls = if n == 0 { nulls } else { format!("({nulls})") };
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE \"{name}\" {nulls}");
        let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
        let whole = read_whole(&plan[0]["Plan"]);
        if !whole.is_empty() {
            let title = statement.lines().next().unwrap_or_default();
            mistakes.push(format!("{title} reads the whole of {whole:?}"));
        }
    }
    assert!(mistakes.is_empty(), "{mistakes:#?}");
}
