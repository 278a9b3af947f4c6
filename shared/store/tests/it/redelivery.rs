//! Deliveries that are asked for again, as the worker gets them.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use recado_store::deliveries::{self, ChunkStatus, Claimed};
use recado_store::lanes::{self, Held, LaneKind};
use recado_store::redeliver::{self, RedeliverFrom, Redelivery};
use recado_store::views;
use recado_types::{DeliveryId, TenantId};
use uuid::Uuid;

use crate::deliveries::{LEASE, trigger};
use crate::fixture::{Fixture, PLENTY, TENANT, now};

impl Fixture {
    /// One delivery in three chunks: the first was sent, then it failed.
    async fn half_sent(&self) -> DeliveryId {
        self.waits_for_sending(TENANT, 1, 1).await;
        let claimed = self.claim_one().await;
        let chunks = ["one", "two", "three"].map(String::from);
        let (lease, id) = (&claimed.lease, claimed.delivery_id);
        let planned = deliveries::plan(&self.store, lease, id, &chunks, false).await.unwrap();
        assert_eq!(planned, Held::Yes);
        let sent = format!(
            "UPDATE chunks SET status = 'sent', attempt_count = 1
              WHERE delivery_id = '{id}' AND chunk_index = 0"
        );
        self.execute(&sent).await;
        self.fail_delivery(&claimed).await;
        id
    }

    async fn claim_one(&self) -> Claimed {
        let mut claimed = self.claim_deliveries(10, &PLENTY).await;
        assert_eq!(claimed.len(), 1, "{claimed:?}");
        claimed.remove(0)
    }

    async fn fail_delivery(&self, claimed: &Claimed) {
        let (lease, id) = (&claimed.lease, claimed.delivery_id);
        let failed = deliveries::fail(&self.store, lease, id, now(), "http_500", "it broke").await;
        assert_eq!(failed.unwrap(), Held::Yes);
    }

    async fn redeliver(&self, id: DeliveryId, from: RedeliverFrom) -> Redelivery {
        self.redeliver_at(id, from, now() + TimeDelta::hours(1)).await
    }

    async fn redeliver_at(
        &self,
        id: DeliveryId,
        from: RedeliverFrom,
        at: DateTime<Utc>,
    ) -> Redelivery {
        redeliver::redeliver(&self.store, TENANT, id, from, at).await.unwrap()
    }
}

#[tokio::test]
async fn the_worker_goes_on_at_the_first_failed_chunk() {
    let fixture = Fixture::new().await;
    let id = fixture.half_sent().await;
    assert!(fixture.claim_deliveries(10, &PLENTY).await.is_empty(), "it has ended");
    let again = fixture.redeliver(id, RedeliverFrom::FirstFailed).await;
    assert_eq!(again, Redelivery::Queued);
    let claimed = fixture.claim_one().await;
    assert_eq!((claimed.delivery_id, claimed.round, claimed.whole_round), (id, 2, 1));
    assert_eq!(claimed.requested_at, now() + TimeDelta::hours(1), "it may wait as long again");
    let chunks: Vec<_> = claimed.chunks.iter().map(|c| (c.status, c.attempt_count)).collect();
    assert_eq!(
        chunks,
        [(ChunkStatus::Sent, 1), (ChunkStatus::Pending, 0), (ChunkStatus::Pending, 0)]
    );
}

#[tokio::test]
async fn the_worker_cuts_a_whole_one_anew() {
    let fixture = Fixture::new().await;
    let id = fixture.half_sent().await;
    assert_eq!(fixture.redeliver(id, RedeliverFrom::Start).await, Redelivery::Queued);
    let claimed = fixture.claim_one().await;
    assert_eq!((claimed.round, claimed.whole_round), (2, 2));
    assert_eq!((claimed.chunk_count, claimed.chunks.len()), (None, 0));
    assert_eq!(claimed.response, "the answer");
    fixture.fail_delivery(&claimed).await;
    // The keys are those of the whole round until the whole is asked for again.
    fixture.redeliver(id, RedeliverFrom::FirstFailed).await;
    let claimed = fixture.claim_one().await;
    assert_eq!((claimed.round, claimed.whole_round), (3, 2));
}

#[tokio::test]
async fn of_many_who_ask_one_is_heard_and_the_lane_counts_one() {
    let fixture = Fixture::new().await;
    let id = fixture.half_sent().await;
    let asked = join_all((0..8).map(|_| fixture.redeliver(id, RedeliverFrom::Start))).await;
    assert_eq!(asked.iter().filter(|one| **one == Redelivery::Queued).count(), 1);
    assert_eq!(asked.iter().filter(|one| **one == Redelivery::InProgress).count(), 7);
    let claimed = fixture.claim_one().await;
    assert_eq!(fixture.redeliver(id, RedeliverFrom::Start).await, Redelivery::InProgress);
    fixture.fail_delivery(&claimed).await;
    let idle = "SELECT count(*) FROM lanes
                 WHERE kind = 'delivery' AND queued = 0 AND next_run_at IS NULL";
    assert_eq!(fixture.count(idle).await, 1);
}

#[tokio::test]
async fn a_lane_at_work_takes_it_up_when_it_is_done() {
    let fixture = Fixture::new().await;
    let id = fixture.half_sent().await;
    // A younger one of the same session is being sent.
    fixture
        .execute(&format!(
            "INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq,
                                     message_ids, separator, status, agent_response, created_at)
             SELECT gen_random_uuid(), tenant_id, trigger_id, agent_id, session_id, seq + 1,
                    '{{}}', '', 'success', 'younger', now() FROM executions;
             INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq,
                                     status, created_at, requested_at)
             SELECT gen_random_uuid(), tenant_id, id, trigger_id, session_id, seq, 'pending',
                    created_at, created_at FROM executions
              WHERE trigger_id = '{}' AND agent_response = 'younger';
             UPDATE lanes SET queued = 1, next_run_at = now() WHERE kind = 'delivery'",
            trigger(1)
        ))
        .await;
    let younger = fixture.claim_one().await;
    assert_eq!(younger.response, "younger");
    assert_eq!(fixture.redeliver(id, RedeliverFrom::FirstFailed).await, Redelivery::Queued);
    assert!(fixture.claim_deliveries(10, &PLENTY).await.is_empty(), "never two at a time");
    fixture.fail_delivery(&younger).await;
    assert_eq!(fixture.claim_one().await.delivery_id, id);
}

#[tokio::test]
async fn the_order_of_asking_holds_whatever_the_clocks_of_those_who_were_asked() {
    let fixture = Fixture::new().await;
    let first = fixture.half_sent().await;
    // Another one with the same place in the session has failed, too.
    let second = DeliveryId(Uuid::from_u128(9));
    fixture
        .execute(&format!(
            "INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq,
                                     status, created_at, requested_at, finished_at)
             SELECT '{second}', tenant_id, execution_id, trigger_id, session_id, seq, 'failed',
                    created_at, requested_at, finished_at FROM deliveries"
        ))
        .await;
    let from = RedeliverFrom::Start;
    let ahead = now() + TimeDelta::minutes(5);
    assert_eq!(fixture.redeliver_at(first, from, ahead).await, Redelivery::Queued);
    let claimed = fixture.claim_one().await;
    assert_eq!(fixture.redeliver_at(second, from, now()).await, Redelivery::Queued);
    fixture.execute("UPDATE lanes SET next_run_at = now() WHERE kind = 'delivery'").await;
    let successor = fixture.claim_one().await;
    assert_eq!(successor.delivery_id, claimed.delivery_id, "what has begun is not interrupted");
    fixture.fail_delivery(&successor).await;
    assert_eq!(fixture.claim_one().await.delivery_id, second);
}

#[tokio::test]
async fn asking_and_finishing_at_the_same_moment_lose_nothing() {
    let fixture = Fixture::new().await;
    let id = fixture.half_sent().await;
    fixture.redeliver(id, RedeliverFrom::FirstFailed).await;
    for _ in 0..10 {
        let claimed = fixture.claim_one().await;
        let ask = async || {
            // As somebody who presses the button until it works.
            while fixture.redeliver(id, RedeliverFrom::FirstFailed).await != Redelivery::Queued {
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(fixture.fail_delivery(&claimed), ask());
    }
    let claimed = fixture.claim_one().await;
    assert_eq!(claimed.round, 12);
    let lost = lanes::renew(&fixture.store, LaneKind::Delivery, &[claimed.lease], LEASE).await;
    assert_eq!(lost.unwrap(), []);
    assert_eq!(fixture.count("SELECT sum(queued) FROM lanes WHERE kind = 'delivery'").await, 1);
}

#[tokio::test]
async fn what_belongs_to_others_is_not_there() {
    let fixture = Fixture::new().await;
    let id = fixture.half_sent().await;
    let (store, other) = (&fixture.store, TenantId(Uuid::from_u128(77)));
    let from = RedeliverFrom::Start;
    let foreign = redeliver::redeliver(store, other, id, from, now()).await.unwrap();
    assert_eq!(foreign, Redelivery::NotFound);
    let unknown = DeliveryId(Uuid::from_u128(78));
    assert_eq!(fixture.redeliver(unknown, from).await, Redelivery::NotFound);
    let shown = views::delivery(store, TENANT, id).await.unwrap().unwrap();
    assert_eq!((shown.summary.round, shown.summary.status.as_str()), (1, "failed"));
    assert_eq!(views::delivery(store, other, id).await.unwrap(), None);
}
