//! What a claim may take, as deliveries come and go.

use chrono::DateTime;
use recado_types::{DeliveryId, ExecutionId, SessionId};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::*;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));

fn trigger(n: u128) -> TriggerId {
    TriggerId(Uuid::from_u128(n))
}

fn claimed(trigger_id: TriggerId, probe: Option<u32>) -> Claimed {
    let (session_id, token) = (SessionId(Uuid::nil()), Uuid::nil());
    Claimed {
        lease: Lease { session_id, token },
        delivery_id: DeliveryId(Uuid::nil()),
        execution_id: ExecutionId(Uuid::nil()),
        tenant_id: TENANT,
        trigger_id,
        probe,
        round: 1,
        whole_round: 1,
        requested_at: DateTime::UNIX_EPOCH,
        response: String::new(),
        trigger_config: Value::Null,
        destination_hosts: Vec::new(),
        context: Map::new(),
        chunk_count: None,
        truncated: false,
        chunks: Vec::new(),
        trace: None,
    }
}

fn take(destinations: &Arc<Destinations>, n: u128) -> InHand {
    destinations.take(&claimed(trigger(n), None), Instant::now())
}

/// How many more a trigger may be given.
fn room(destinations: &Destinations, n: u128) -> u32 {
    let vacant = destinations.vacant();
    let named = vacant.triggers.iter().find(|room| room.trigger_id == trigger(n));
    named.map_or(vacant.per_trigger, |named| named.room)
}

#[tokio::test(start_paused = true)]
async fn a_destination_starts_small_and_grows_with_each_answer_to_a_quarter() {
    let destinations = Arc::new(Destinations::new(1_024));
    assert_eq!(room(&destinations, 1), 16);
    let in_hand = take(&destinations, 1);
    assert_eq!(room(&destinations, 1), 15);
    for width in [32, 64, 128, 256, 256] {
        in_hand.answered();
        assert_eq!(room(&destinations, 1), width - 1);
    }
    in_hand.failed();
    assert_eq!(room(&destinations, 1), 15);
    assert_eq!(room(&destinations, 2), 16, "each has its own");
}

#[tokio::test(start_paused = true)]
async fn few_slots_are_shared_all_the_same() {
    for (slots, per_trigger, per_tenant) in [(1, 1, 1), (8, 2, 4), (64, 16, 32)] {
        let vacant = Destinations::new(slots).vacant();
        assert_eq!((vacant.per_trigger, vacant.per_tenant), (per_trigger, per_tenant));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_tenant_has_in_hand_is_counted_over_its_destinations() {
    let destinations = Arc::new(Destinations::new(64));
    let in_hand = [take(&destinations, 1), take(&destinations, 2), take(&destinations, 2)];
    assert_eq!(destinations.vacant().tenants, [TenantInHand { tenant_id: TENANT, in_hand: 3 }]);
    drop(in_hand);
    assert!(destinations.vacant().tenants.is_empty());
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_until_there_is_an_answer() {
    let destinations = Arc::new(Destinations::new(64));
    let (one, another) = (take(&destinations, 1), take(&destinations, 1));
    assert_eq!((one.failed(), another.failed(), one.failed()), (1, 2, 3));
    assert!(!another.answered());
    assert_eq!(one.failed(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_destination_is_open_until_it_answers_or_gives_out_more_than_probes() {
    let destinations = Arc::new(Destinations::new(64));
    let in_hand = take(&destinations, 1);
    in_hand.opened();
    let probe = destinations.take(&claimed(trigger(1), Some(0)), Instant::now());
    assert!(in_hand.is_open() && probe.is_open());
    assert!(probe.answered());
    assert!(!in_hand.is_open());

    in_hand.opened();
    tokio::time::advance(Duration::from_millis(1)).await;
    let _closed_by_another_instance = take(&destinations, 1);
    assert!(!in_hand.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_began_before_a_destination_was_opened_does_not_close_it() {
    let destinations = Arc::new(Destinations::new(64));
    let in_hand = take(&destinations, 1);
    let claim_began = Instant::now();
    tokio::time::advance(Duration::from_millis(1)).await;
    in_hand.opened();
    let claimed = destinations.take(&claimed(trigger(1), None), claim_began);
    assert!(in_hand.is_open() && claimed.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_width_outlasts_the_pause_between_two_claims_and_idle_destinations_are_forgotten() {
    let destinations = Arc::new(Destinations::new(1_024));
    take(&destinations, 1).answered();
    take(&destinations, 2).failed();
    tokio::time::advance(REMEMBERED / 2).await;
    assert_eq!(room(&destinations, 1), 32);
    tokio::time::advance(REMEMBERED).await;
    assert_eq!(room(&destinations, 1), 16);
    assert_eq!(destinations.known().triggers.len(), 1, "the failing one is remembered longer");
    tokio::time::advance(FAILING_REMEMBERED).await;
    destinations.vacant();
    assert!(destinations.known().triggers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_more_idle_destinations_are_remembered_than_the_limit() {
    let destinations = Arc::new(Destinations::new(64));
    let in_hand = take(&destinations, 0);
    for n in 1..=MAX_REMEMBERED as u128 {
        take(&destinations, n).failed();
    }
    destinations.vacant();
    assert_eq!(destinations.known().triggers.len(), 1);
    drop(in_hand);
}
