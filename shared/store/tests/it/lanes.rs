//! What all kinds of lanes share.

use std::time::Duration;

use crate::fixture::{Fixture, message, now, request};
use recado_store::executions::{self, History};
use recado_store::lanes::{self, LaneKind};

const LEASE: Duration = Duration::from_secs(30);
const HISTORY: History = History { turns: 1, bytes: 1_000 };

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
    assert_eq!(lanes::backlog(store, LaneKind::Execution).await.unwrap().n_lanes, 0);
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
    assert_eq!(lanes::backlog(store, LaneKind::Execution).await.unwrap().n_lanes, 3);
    executions::claim(store, 2, LEASE, 1_000, HISTORY).await.unwrap();
    assert_eq!(lanes::backlog(store, LaneKind::Execution).await.unwrap().n_lanes, 1);
}
