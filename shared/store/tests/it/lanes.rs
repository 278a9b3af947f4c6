//! What all kinds of lanes share.

use std::time::Duration;

use crate::fixture::{Fixture, message, now, request};
use recado_store::Store;
use recado_store::executions::{self, History};
use recado_store::lanes::{self, BacklogOf, LaneKind};

const LEASE: Duration = Duration::from_secs(30);
const HISTORY: History = History { turns: 1, bytes: 1_000 };

/// How many executions could run if a tenant may have so many at a time.
async fn n_due(store: &Store, tenant_slots: usize) -> i64 {
    lanes::backlog(store, BacklogOf::Executions { tenant_slots }).await.unwrap().n_lanes
}

#[tokio::test]
async fn a_released_lane_waits_out_its_pause() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    executions::admit(store, &[&request(&[message(1, 1)])], now()).await.unwrap();
    let claim = async || executions::claim(store, 1, LEASE, 1_000, HISTORY).await.unwrap();
    let claimed = claim().await.remove(0);
    let pause = Duration::from_hours(1);
    lanes::release(store, LaneKind::Execution, &[claimed.lease], pause).await.unwrap();
    assert!(claim().await.is_empty());
    assert_eq!(n_due(store, 1_000).await, 0);
    // The lease is gone with the release.
    let lost = lanes::renew(store, LaneKind::Execution, &[claimed.lease], LEASE).await.unwrap();
    assert_eq!(lost, [claimed.lease]);
}

#[tokio::test]
async fn the_backlog_counts_what_could_run() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let requests: Vec<_> = (1..=3).map(|s| request(&[message(s, 1)])).collect();
    let batch: Vec<_> = requests.iter().collect();
    executions::admit(store, &batch, now()).await.unwrap();
    assert_eq!(n_due(store, 1_000).await, 3);
    executions::claim(store, 2, LEASE, 1_000, HISTORY).await.unwrap();
    assert_eq!(n_due(store, 1_000).await, 1);
}

#[tokio::test]
async fn who_has_all_slots_of_a_tenant_waits_for_nobody_else() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let requests: Vec<_> = (1..=3).map(|s| request(&[message(s, 1)])).collect();
    let batch: Vec<_> = requests.iter().collect();
    executions::admit(store, &batch, now()).await.unwrap();
    executions::claim(store, 2, LEASE, 2, HISTORY).await.unwrap();
    assert_eq!(n_due(store, 2).await, 0);
    assert_eq!(n_due(store, 3).await, 1);
    let tenant_slots = BacklogOf::Executions { tenant_slots: 2 };
    assert!(lanes::backlog(store, tenant_slots).await.unwrap().oldest_s.abs() < f64::EPSILON);
}

/// Its slots are taken again as soon as they are free, and a look falls in between.
#[tokio::test]
async fn who_has_nearly_all_slots_of_a_tenant_waits_for_itself() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let requests: Vec<_> = (1..=30).map(|s| request(&[message(s, 1)])).collect();
    let batch: Vec<_> = requests.iter().collect();
    executions::admit(store, &batch, now()).await.unwrap();
    fixture.execute("UPDATE lanes SET next_run_at = now() - interval '1 hour'").await;
    let backlog = async || {
        let of = BacklogOf::Executions { tenant_slots: 20 };
        let backlog = lanes::backlog(store, of).await.unwrap();
        (backlog.n_lanes, backlog.oldest_s > 3_000.0)
    };
    assert_eq!(backlog().await, (20, true));
    executions::claim(store, 17, LEASE, 20, HISTORY).await.unwrap();
    assert_eq!(backlog().await, (3, true));
    executions::claim(store, 1, LEASE, 20, HISTORY).await.unwrap();
    assert_eq!(backlog().await, (2, false));
}

/// Their lanes are due since the first ancestor began to wait, which says whose turn it is.
#[tokio::test]
async fn the_age_of_sub_agents_and_their_parents_is_not_measured() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let requests = [request(&[message(1, 1)]), request(&[message(2, 1)])];
    executions::admit(store, &requests.iter().collect::<Vec<_>>(), now()).await.unwrap();
    fixture.execute("UPDATE lanes SET next_run_at = now() - interval '1 hour'").await;
    let oldest_s = async || {
        let of = BacklogOf::Executions { tenant_slots: 1_000 };
        lanes::backlog(store, of).await.unwrap().oldest_s
    };
    assert!(oldest_s().await > 3_000.0);
    let child = "UPDATE executions SET parent_execution_id = parent.id
                   FROM (SELECT id FROM executions ORDER BY id LIMIT 1) parent
                  WHERE executions.id <> parent.id";
    fixture.execute(child).await;
    assert!(oldest_s().await > 3_000.0, "the other one waits");
    let parent = "UPDATE executions SET status = 'waiting' WHERE parent_execution_id IS NULL";
    fixture.execute(parent).await;
    assert!(oldest_s().await.abs() < f64::EPSILON);
    assert_eq!(n_due(store, 1_000).await, 2, "they could run all the same");
}
