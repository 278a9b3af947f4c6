//! Which deliveries are claimed, and how their attempts are written down.

use std::collections::BTreeMap;
use std::time::Duration;

use recado_store::deliveries::{
    self, After, AttemptRecord, Claimed, Recording, Room, TenantInHand, TriggerRoom,
};
use recado_store::lanes::{self, Held, LaneKind};
use recado_store::triggers::{self, TriggerDraft};
use recado_store::{Config, Failure, Keyring, Store};
use recado_types::{AttemptId, TenantId, TriggerId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::{AGENT, Fixture, KEYS, PLENTY, TENANT, now};

pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) fn trigger(n: u128) -> TriggerId {
    TriggerId(Uuid::from_u128(5_000 + n))
}

impl Fixture {
    /// A trigger of its own, with so many sessions whose answers wait for being sent. Those of the
    /// trigger with the smallest number have waited longest.
    pub(crate) async fn waits_for_sending(&self, tenant: TenantId, n: u128, n_sessions: u32) {
        let trigger = trigger(n);
        let draft = TriggerDraft::new(
            AGENT,
            format!("trigger {n}"),
            json!({
                "auth": {"type": "none"},
                "execution": {"mode": "async", "callback": {"url": "http://127.0.0.1:9/"}},
            }),
        );
        triggers::create(&self.store, TENANT, trigger, &draft, "whs_x", now()).await.unwrap();
        let place = 1_000 - n;
        self.execute(&format!(
            "INSERT INTO tenants (id, name, created_at, updated_at)
             VALUES ('{tenant}', 'test', now(), now())
             ON CONFLICT DO NOTHING;
             INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq,
                                     message_ids, separator, status, agent_response, created_at)
             SELECT gen_random_uuid(), '{tenant}', '{trigger}', '{AGENT}', gen_random_uuid(), seq,
                    '{{}}', '', 'success', 'the answer', now()
               FROM generate_series(1, {n_sessions}) seq;
             INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq,
                                     status, created_at, requested_at)
             SELECT gen_random_uuid(), tenant_id, id, trigger_id, session_id, seq, 'pending',
                    created_at, created_at FROM executions WHERE trigger_id = '{trigger}';
             INSERT INTO lanes (kind, session_id, tenant_id, trigger_id, queued, next_run_at)
             SELECT 'delivery', session_id, tenant_id, trigger_id, 1,
                    now() - interval '{place} seconds' + seq * interval '1 microsecond'
               FROM executions WHERE trigger_id = '{trigger}'"
        ))
        .await;
    }

    pub(crate) async fn claim_deliveries(&self, limit: usize, room: &Room<'_>) -> Vec<Claimed> {
        deliveries::claim(&self.store, limit, LEASE, room).await.unwrap()
    }

    async fn record(&self, batch: &[Recording]) -> Vec<Held> {
        deliveries::record(&self.store, LEASE, batch).await.unwrap()
    }

    async fn text(&self, query: &str) -> String {
        let row = recado_testkit::sql::connected(self.database.url(), async |client| {
            client.query_one(query, &[]).await
        });
        row.await.unwrap().get(0)
    }
}

/// How many there are of each trigger.
fn by_trigger(claimed: &[Claimed]) -> BTreeMap<TriggerId, usize> {
    let mut counts = BTreeMap::new();
    for claimed in claimed {
        *counts.entry(claimed.trigger_id).or_default() += 1;
    }
    counts
}

/// The first attempt to send the first of `chunk_count` chunks.
fn recording(claimed: &Claimed, chunk_count: u32, after: After) -> Recording {
    let attempt = AttemptRecord {
        id: AttemptId(Uuid::from_u128(claimed.delivery_id.0.as_u128() ^ 1)),
        tenant_id: claimed.tenant_id,
        delivery_id: claimed.delivery_id,
        chunk_index: 0,
        chunk_count,
        chunk_body: Some("Olá".into()),
        truncated: false,
        round: claimed.round,
        attempt: 1,
        started_at: now(),
        duration_ms: 7,
        status_code: Some(200),
        error_code: None,
        response_body: Some("ok".into()),
        provider_id: Some("SM1".into()),
        now: now(),
    };
    Recording { lease: claimed.lease, attempt, after }
}

#[tokio::test]
async fn a_full_destination_is_passed_over_and_its_lanes_stay_due() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 50).await;
    fixture.waits_for_sending(TENANT, 2, 50).await;
    fixture.waits_for_sending(TENANT, 3, 50).await;
    let full = TriggerRoom { trigger_id: trigger(1), in_hand: 16, room: 0 };
    let almost = TriggerRoom { trigger_id: trigger(2), in_hand: 14, room: 2 };
    let room = Room { per_trigger: 5, triggers: &[full, almost], ..PLENTY };
    let claimed = by_trigger(&fixture.claim_deliveries(100, &room).await);
    assert_eq!(claimed, BTreeMap::from([(trigger(2), 2), (trigger(3), 5)]));
    let due = format!(
        "SELECT count(*) FROM lanes WHERE trigger_id = '{}' AND next_run_at <= now()",
        trigger(1)
    );
    assert_eq!(fixture.count(&due).await, 50);
}

#[tokio::test]
async fn destinations_of_a_tenant_are_served_in_turn_and_what_they_have_in_hand_counts() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 50).await;
    fixture.waits_for_sending(TENANT, 2, 50).await;
    let busy = TriggerRoom { trigger_id: trigger(1), in_hand: 6, room: 100 };
    let claimed = fixture.claim_deliveries(6, &Room { triggers: &[busy], ..PLENTY }).await;
    assert_eq!(by_trigger(&claimed), BTreeMap::from([(trigger(2), 6)]));
    let claimed = fixture.claim_deliveries(6, &PLENTY).await;
    assert_eq!(by_trigger(&claimed), BTreeMap::from([(trigger(1), 3), (trigger(2), 3)]));
}

#[tokio::test]
async fn one_with_much_waiting_fills_what_many_others_leave() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 100).await;
    for n in 2..=40 {
        fixture.waits_for_sending(TENANT, n, 1).await;
    }
    let claimed = by_trigger(&fixture.claim_deliveries(50, &PLENTY).await);
    assert_eq!(claimed.len(), 40, "each has its turn");
    assert_eq!(claimed[&trigger(1)], 11);
}

#[tokio::test]
async fn a_tenant_gets_no_more_than_its_share_with_all_its_destinations() {
    let fixture = Fixture::new().await;
    let other = TenantId(Uuid::from_u128(2));
    fixture.waits_for_sending(TENANT, 1, 20).await;
    fixture.waits_for_sending(TENANT, 2, 20).await;
    fixture.waits_for_sending(other, 3, 20).await;
    let tenants = [TenantInHand { tenant_id: TENANT, in_hand: 4 }];
    let room = Room { per_tenant: 10, tenants: &tenants, ..PLENTY };
    let claimed = by_trigger(&fixture.claim_deliveries(100, &room).await);
    let expected = BTreeMap::from([(trigger(1), 3), (trigger(2), 3), (trigger(3), 10)]);
    assert_eq!(claimed, expected);
}

#[tokio::test]
async fn a_batch_is_written_but_for_those_whose_lease_is_lost() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 4).await;
    let claimed = fixture.claim_deliveries(4, &PLENTY).await;
    let afters = [
        After::Delivered,
        After::ChunkSent,
        After::RetryLater { pause: Duration::from_hours(1) },
        After::Delivered,
    ];
    let batch: Vec<Recording> =
        claimed.iter().zip(afters).map(|(claimed, after)| recording(claimed, 2, after)).collect();
    let lost = claimed[3].lease;
    fixture
        .execute(&format!(
            "UPDATE lanes SET lease_token = gen_random_uuid() WHERE session_id = '{}'",
            lost.session_id
        ))
        .await;
    let written = fixture.record(&batch).await;
    assert_eq!(written, [Held::Yes, Held::Yes, Held::Yes, Held::No]);
    assert_eq!(fixture.count("SELECT count(*) FROM attempts WHERE round = 1").await, 3);
    let ids: Vec<String> =
        claimed.iter().map(|claimed| claimed.delivery_id.0.to_string()).collect();
    let status = async |n: usize| {
        let query = "SELECT d.status || ' ' || coalesce(c.status, '') FROM deliveries d \
                     LEFT JOIN chunks c ON c.delivery_id = d.id WHERE d.id";
        fixture.text(&format!("{query} = '{}'", ids[n])).await
    };
    assert_eq!(status(0).await, "delivered sent");
    assert_eq!(status(1).await, "pending sent");
    assert_eq!(status(2).await, "pending pending");
    assert_eq!(status(3).await, "pending ");
    let leases = [claimed[1].lease, claimed[2].lease];
    let gone = lanes::renew(&fixture.store, LaneKind::Delivery, &leases, LEASE).await.unwrap();
    assert_eq!(gone, [claimed[2].lease], "a parked lane is given back, the other one is kept");
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_may_be_repeated() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 2).await;
    let claimed = fixture.claim_deliveries(2, &PLENTY).await;
    let batch =
        [recording(&claimed[0], 1, After::Delivered), recording(&claimed[1], 2, After::ChunkSent)];
    for _ in 0..3 {
        assert_eq!(fixture.record(&batch).await, [Held::Yes, Held::Yes]);
    }
    assert_eq!(fixture.count("SELECT count(*) FROM attempts").await, 2);
    assert_eq!(fixture.count("SELECT sum(queued) FROM lanes").await, 1);
}

#[tokio::test]
async fn beside_its_successor_a_lost_lease_writes_nothing() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 1).await;
    let stale = fixture.claim_deliveries(1, &PLENTY).await.remove(0);
    fixture.execute("UPDATE lanes SET next_run_at = now() WHERE kind = 'delivery'").await;
    let current = fixture.claim_deliveries(1, &PLENTY).await.remove(0);
    let mut late = recording(&stale, 2, After::ChunkSent);
    let mut next = recording(&current, 2, After::Delivered);
    late.attempt.id = AttemptId(Uuid::from_u128(1));
    next.attempt.chunk_index = 1;
    for (batch, held) in [
        ([late.clone(), next.clone()], [Held::No, Held::Yes]),
        // Again, the lane being gone.
        ([next, late], [Held::Yes, Held::No]),
    ] {
        assert_eq!(fixture.record(&batch).await, held);
        assert_eq!(fixture.count("SELECT count(*) FROM attempts WHERE chunk_index = 1").await, 1);
        assert_eq!(fixture.count("SELECT count(*) FROM attempts").await, 1);
        assert_eq!(fixture.count("SELECT count(*) FROM chunks WHERE chunk_index = 0").await, 0);
        assert_eq!(fixture.text("SELECT status FROM deliveries").await, "delivered");
        assert_eq!(fixture.count("SELECT sum(queued) FROM lanes").await, 0);
    }
}

#[tokio::test]
async fn the_text_of_a_chunk_comes_with_its_first_attempt_or_was_planned() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 2).await;
    let claimed = fixture.claim_deliveries(2, &PLENTY).await;
    let (whole, planned) = (&claimed[0], &claimed[1]);
    let chunks = ["one", "two"].map(String::from);
    let (lease, id) = (&planned.lease, planned.delivery_id);
    let stored = deliveries::plan(&fixture.store, lease, id, &chunks, false).await.unwrap();
    assert_eq!(stored, Held::Yes);
    let without_text = |mut recording: Recording| {
        recording.attempt.chunk_body = None;
        recording
    };
    let first = recording(whole, 1, After::RetryHere);
    let mut second = without_text(recording(whole, 1, After::Delivered));
    second.attempt.id = AttemptId(Uuid::from_u128(2));
    second.attempt.attempt = 2;
    let batch = [first, without_text(recording(planned, 2, After::ChunkSent))];
    assert_eq!(fixture.record(&batch).await, [Held::Yes, Held::Yes]);
    assert_eq!(fixture.record(&[second]).await, [Held::Yes]);
    let chunks = "SELECT string_agg(body || ' ' || status || ' ' || attempt_count, ', '
                                    ORDER BY body) FROM chunks";
    assert_eq!(fixture.text(chunks).await, "Olá sent 2, one sent 1, two pending 0");
}

#[tokio::test]
async fn leases_that_ran_out_in_our_own_hands_are_passed_over_and_hold_up_no_other() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 3).await;
    let claimed = fixture.claim_deliveries(2, &PLENTY).await;
    fixture.execute("UPDATE lanes SET next_run_at = now() - interval '1 hour'").await;
    let in_work = [claimed[0].lease, claimed[1].lease];
    let room = Room { in_work: &in_work, per_trigger: 1, ..PLENTY };
    let others = fixture.claim_deliveries(10, &room).await;
    assert_eq!(others.len(), 1);
    assert!(in_work.iter().all(|lease| lease.session_id != others[0].lease.session_id));
    assert!(fixture.claim_deliveries(10, &room).await.is_empty());
    assert_eq!(fixture.claim_deliveries(10, &PLENTY).await.len(), 2);
}

#[tokio::test]
async fn one_that_cannot_be_stored_fails_its_batch_as_a_whole() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 2).await;
    let claimed = fixture.claim_deliveries(2, &PLENTY).await;
    let mut poison = recording(&claimed[0], 1, After::Delivered);
    poison.attempt.response_body = Some("a\0b".into());
    let batch = [poison, recording(&claimed[1], 1, After::Delivered)];
    let error = deliveries::record(&fixture.store, LEASE, &batch).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Rejected);
    assert_eq!(fixture.count("SELECT count(*) FROM attempts").await, 0);
    assert_eq!(fixture.record(&batch[1..]).await, [Held::Yes]);
}

#[tokio::test]
async fn batches_of_the_same_lanes_in_any_order_do_not_wait_for_each_other() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 50).await;
    let claimed = fixture.claim_deliveries(50, &PLENTY).await;
    let batch: Vec<Recording> =
        claimed.iter().map(|claimed| recording(claimed, 2, After::ChunkSent)).collect();
    let reversed: Vec<Recording> = batch.iter().rev().cloned().collect();
    for _ in 0..10 {
        let (left, right) = tokio::join!(fixture.record(&batch), fixture.record(&reversed));
        assert!(left.iter().chain(&right).all(|held| *held == Held::Yes));
    }
    assert_eq!(fixture.count("SELECT count(*) FROM attempts").await, 50);
}

#[tokio::test]
async fn a_redelivered_round_is_claimed_with_its_numbers() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 1).await;
    fixture.execute("UPDATE deliveries SET round = 3, whole_round = 2, requested_at = now()").await;
    let claimed = fixture.claim_deliveries(1, &PLENTY).await.remove(0);
    assert_eq!((claimed.round, claimed.whole_round, claimed.probe), (3, 2, None));
    assert_eq!(fixture.record(&[recording(&claimed, 1, After::Delivered)]).await, [Held::Yes]);
    assert_eq!(fixture.count("SELECT count(*) FROM attempts WHERE round = 3").await, 1);
}

/// A node of a plan and all below it.
fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

/// Explains the very statement that was prepared, as it is run.
async fn explain_claim(store: &Store, limit: u32) -> Value {
    let client = store.client("test").await.unwrap();
    let query = "SELECT name FROM pg_prepared_statements \
                  WHERE statement LIKE '-- deliveries.claim%'";
    let row = client.query_one(query, &[]).await.unwrap();
    let name: &str = row.get(0);
    client.batch_execute("BEGIN").await.unwrap();
    let explain = format!(
        "EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE \"{name}\" \
         ({limit}, 30000, 16, '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', 512, 60000, '{{}}')"
    );
    let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
    client.batch_execute("ROLLBACK").await.unwrap();
    plan[0]["Plan"].clone()
}

#[tokio::test]
async fn a_claim_costs_the_same_beside_ten_thousand_waiting_deliveries() {
    let fixture = Fixture::new().await;
    fixture.waits_for_sending(TENANT, 1, 10_000).await;
    for n in 2..=10 {
        fixture.waits_for_sending(TENANT, n, 1).await;
    }
    // Half of the ten thousand wait for their time.
    fixture
        .execute(
            "UPDATE lanes SET next_run_at = now() + interval '1 hour'
              WHERE hashtext(session_id::text) % 2 = 0;
             ANALYZE lanes; ANALYZE deliveries; ANALYZE executions",
        )
        .await;
    // One connection, so that the statement which is explained is the one which was prepared.
    let config = Config::new(fixture.database.url(), 1, "test");
    let store = Store::new(&config, Keyring::parse(KEYS).unwrap()).unwrap();
    deliveries::claim(&store, 32, LEASE, &Room { per_trigger: 16, ..PLENTY }).await.unwrap();

    let plan = explain_claim(&store, 32).await;
    for node in nodes(&plan).into_iter().filter(|node| node["Relation Name"] == "lanes") {
        let kind = node["Node Type"].as_str().unwrap();
        assert!(kind.contains("Index") || kind == "ModifyTable", "{kind}: {plan:#}");
        let n_rows = |name: &str| node[name].as_f64().unwrap_or_default();
        let n_seen = (n_rows("Actual Rows") + n_rows("Rows Removed by Filter"))
            * n_rows("Actual Loops").max(1.0);
        assert!(n_seen <= 200.0, "{kind} sees {n_seen} rows: {plan:#}");
    }
}
