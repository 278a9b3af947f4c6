//! Whose lanes are claimed when many tenants wait, and when one tenant has very many lanes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use recado_store::executions::{self, Claimed, History};
use recado_store::{Config, Keyring, Store, deliveries};
use recado_types::TenantId;
use serde_json::Value;
use uuid::Uuid;

use crate::fixture::{AGENT, Fixture, KEYS, PLENTY, TRIGGER};

const LEASE: Duration = Duration::from_secs(30);
const HISTORY: History = History { turns: 1, bytes: 1_000 };
const NO_CAP: usize = usize::MAX;

fn tenant(n: u128) -> TenantId {
    TenantId(Uuid::from_u128(100 + n))
}

impl Fixture {
    /// So many sessions of a tenant with an execution each, whose lanes may run: those of the
    /// tenant with the smallest number have waited longest.
    async fn wait_in_line(&self, n: u128, n_sessions: u32) {
        let (tenant, place) = (tenant(n), 1_000 - n);
        self.execute(&format!(
            "INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq,
                                     message_ids, separator, status, created_at)
             SELECT gen_random_uuid(), '{tenant}', '{TRIGGER}', '{AGENT}', gen_random_uuid(), seq,
                    '{{}}', '', 'queued', now()
               FROM generate_series(1, {n_sessions}) seq;
             INSERT INTO lanes (kind, session_id, tenant_id, queued, next_run_at)
             SELECT 'execution', session_id, tenant_id, 1,
                    now() - interval '{place} seconds' + seq * interval '1 microsecond'
               FROM executions WHERE tenant_id = '{tenant}'"
        ))
        .await;
    }

    async fn claim(&self, limit: usize, cap: usize) -> Vec<Claimed> {
        executions::claim(&self.store, limit, LEASE, cap, HISTORY).await.unwrap()
    }

    /// Has everything wait for sending, too.
    async fn deliver(&self) {
        self.execute(
            "INSERT INTO tenants (id, name, created_at, updated_at)
             SELECT DISTINCT tenant_id, 'test', now(), now() FROM executions ON CONFLICT DO NOTHING;
             INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq,
                                     status, created_at, requested_at)
             SELECT gen_random_uuid(), tenant_id, id, trigger_id, session_id, seq, 'pending',
                    created_at, created_at FROM executions;
             INSERT INTO lanes (kind, session_id, tenant_id, trigger_id, queued, next_run_at)
             SELECT 'delivery', session_id, tenant_id, executions.trigger_id, 1, next_run_at
               FROM lanes JOIN executions USING (session_id, tenant_id)",
        )
        .await;
    }
}

/// How many lanes of each tenant there are among these.
fn by_tenant(tenants: impl Iterator<Item = TenantId>) -> BTreeMap<TenantId, usize> {
    let mut counts = BTreeMap::new();
    tenants.for_each(|tenant| *counts.entry(tenant).or_default() += 1);
    counts
}

fn owners(claimed: &[Claimed]) -> BTreeMap<TenantId, usize> {
    by_tenant(claimed.iter().map(|claimed| claimed.tenant_id))
}

#[tokio::test]
async fn one_lane_beside_ten_thousand_is_in_the_first_claim() {
    let fixture = Fixture::new().await;
    fixture.wait_in_line(1, 10_000).await;
    fixture.wait_in_line(2, 1).await;
    let first = owners(&fixture.claim(8, NO_CAP).await);
    assert_eq!(first, BTreeMap::from([(tenant(1), 7), (tenant(2), 1)]));
}

#[tokio::test]
async fn who_sends_much_does_not_delay_the_answers_of_others() {
    let fixture = Fixture::new().await;
    fixture.wait_in_line(1, 200).await;
    fixture.wait_in_line(2, 1).await;
    fixture.deliver().await;
    let first = deliveries::claim(&fixture.store, 8, LEASE, &PLENTY).await.unwrap();
    let first = by_tenant(first.iter().map(|claimed| claimed.tenant_id));
    assert_eq!(first, BTreeMap::from([(tenant(1), 7), (tenant(2), 1)]));
}

#[tokio::test]
async fn tenants_are_served_in_turn_and_what_they_hold_counts() {
    let fixture = Fixture::new().await;
    fixture.wait_in_line(1, 20).await;
    let held = fixture.claim(4, NO_CAP).await;
    assert_eq!(owners(&held), BTreeMap::from([(tenant(1), 4)]));
    fixture.wait_in_line(2, 20).await;
    fixture.wait_in_line(3, 20).await;
    // Until the others have as many.
    let next = owners(&fixture.claim(8, NO_CAP).await);
    assert_eq!(next, BTreeMap::from([(tenant(2), 4), (tenant(3), 4)]));
    let next = owners(&fixture.claim(6, NO_CAP).await);
    assert_eq!(next, BTreeMap::from([(tenant(1), 2), (tenant(2), 2), (tenant(3), 2)]));
}

#[tokio::test]
async fn of_one_tenant_the_longest_waiting_come_first() {
    let fixture = Fixture::new().await;
    fixture.wait_in_line(1, 50).await;
    let mut waited = Vec::new();
    for _ in 0..3 {
        for claimed in fixture.claim(5, NO_CAP).await {
            let place = format!("SELECT seq FROM executions WHERE id = '{}'", claimed.execution_id);
            waited.push(fixture.count(&place).await);
        }
    }
    waited.sort_unstable();
    assert_eq!(waited, (1..=15).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_cap_holds_however_many_claim_at_once() {
    let fixture = Fixture::new().await;
    fixture.wait_in_line(1, 100).await;
    fixture.wait_in_line(2, 3).await;
    let claims = join_all((0..8).map(|_| fixture.claim(10, 5))).await.concat();
    assert_eq!(owners(&claims), BTreeMap::from([(tenant(1), 5), (tenant(2), 3)]));
    assert!(fixture.claim(10, 5).await.is_empty());
    assert_eq!(fixture.claim(10, 7).await.len(), 2);
}

#[tokio::test]
async fn a_lease_that_ran_out_does_not_count_against_the_cap() {
    let fixture = Fixture::new().await;
    fixture.wait_in_line(1, 10).await;
    let brief = Duration::from_millis(1);
    let late = executions::claim(&fixture.store, 3, brief, 3, HISTORY).await.unwrap();
    assert_eq!(late.len(), 3);
    let n_claimed = recado_testkit::wait_for("the leases to run out", LEASE, async || {
        Some(fixture.claim(10, 3).await.len()).filter(|n_claimed| *n_claimed > 0)
    })
    .await
    .unwrap();
    assert_eq!(n_claimed, 3);
}

#[tokio::test]
async fn claimers_share_what_there_is_without_a_lane_in_common() {
    let fixture = Fixture::new().await;
    for n in 1..=4 {
        fixture.wait_in_line(n, 25).await;
    }
    let mut claims = Vec::new();
    for round in 0.. {
        let some = join_all((0..6).map(|_| fixture.claim(7, NO_CAP))).await.concat();
        if some.is_empty() {
            break;
        }
        assert!(round < 20, "the claimers get nowhere");
        claims.extend(some);
    }
    let sessions: BTreeSet<_> = claims.iter().map(|claimed| claimed.session_id).collect();
    assert_eq!((claims.len(), sessions.len()), (100, 100));
}

#[tokio::test]
async fn two_who_claim_at_once_both_get_their_fill() {
    let fixture = Fixture::new().await;
    fixture.wait_in_line(1, 100).await;
    fixture.deliver().await;
    for _ in 0..5 {
        let claim = || deliveries::claim(&fixture.store, 10, LEASE, &PLENTY);
        let (left, right) = tokio::join!(claim(), claim());
        assert_eq!((left.unwrap().len(), right.unwrap().len()), (10, 10));
    }
}

#[tokio::test]
async fn nothing_is_claimed_before_its_time() {
    let fixture = Fixture::new().await;
    fixture.wait_in_line(1, 3).await;
    for later in ["now() + interval '1 hour'", "'infinity'", "NULL"] {
        fixture.execute(&format!("UPDATE lanes SET next_run_at = {later}")).await;
        assert!(fixture.claim(10, NO_CAP).await.is_empty(), "{later}");
    }
    fixture.wait_in_line(2, 1).await;
    assert_eq!(owners(&fixture.claim(10, NO_CAP).await), BTreeMap::from([(tenant(2), 1)]));
}

/// A node of a plan and all below it.
fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

/// Explains the very statement that was prepared, as it is run.
async fn explain_claim(store: &Store, limit: u32, cap: i64) -> Value {
    let client = store.client("test").await.unwrap();
    let name = client
        .query_one(
            "SELECT name FROM pg_prepared_statements WHERE statement LIKE '-- lanes.claim%'",
            &[],
        )
        .await
        .unwrap();
    let name: &str = name.get(0);
    client.batch_execute("BEGIN").await.unwrap();
    let explain =
        format!("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE \"{name}\" ({limit}, 30000, {cap})");
    let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
    client.batch_execute("ROLLBACK").await.unwrap();
    plan[0]["Plan"].clone()
}

#[tokio::test]
async fn a_claim_costs_the_same_beside_ten_thousand_lanes() {
    let fixture = Fixture::new().await;
    fixture.wait_in_line(1, 10_000).await;
    for n in 2..=10 {
        fixture.wait_in_line(n, 1).await;
    }
    fixture.execute("ANALYZE lanes; ANALYZE executions").await;
    // One connection, so that the statement which is explained is the one which was prepared.
    let config = Config::new(fixture.database.url(), 1, "test");
    let store = Store::new(&config, Keyring::parse(KEYS).unwrap()).unwrap();
    executions::claim(&store, 32, LEASE, 64, HISTORY).await.unwrap();

    let plan = explain_claim(&store, 32, 64).await;
    for node in nodes(&plan).into_iter().filter(|node| node["Relation Name"] == "lanes") {
        let kind = node["Node Type"].as_str().unwrap();
        assert!(kind.contains("Index") || kind == "ModifyTable", "{kind}: {plan:#}");
        let n_rows = |name: &str| node[name].as_f64().unwrap_or_default();
        let n_seen = (n_rows("Actual Rows") + n_rows("Rows Removed by Filter"))
            * n_rows("Actual Loops").max(1.0);
        assert!(n_seen <= 200.0, "{kind} sees {n_seen} rows: {plan:#}");
    }
}
