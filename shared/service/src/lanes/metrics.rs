//! What the loop tells about itself, by kind of lane.

use std::sync::LazyLock;

use prometheus::{
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, register_int_counter_vec,
    register_int_gauge_vec,
};

fn counter(name: &str, help: &str) -> IntCounterVec {
    register_int_counter_vec!(name, help, &["kind"]).expect("registered once, under a valid name")
}

static CLAIMED: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("recado_lanes_claimed_total", "Lanes that were claimed"));
static LOST: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("recado_lanes_lost_total", "Leases that ended before the work did"));
static PANICKED: LazyLock<IntCounterVec> =
    LazyLock::new(|| counter("recado_lanes_panicked_total", "Lanes whose work panicked"));
static FAILED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter("recado_lanes_failed_requests_total", "Claims and renewals that failed")
});
static RUNNING: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!("recado_lanes_running", "Lanes that are worked now", &["kind"])
        .expect("registered once, under a valid name")
});

/// The metrics of one loop.
#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) claimed: IntCounter,
    pub(super) lost: IntCounter,
    pub(super) panicked: IntCounter,
    pub(super) failed: IntCounter,
    pub(super) running: IntGauge,
}

impl Metrics {
    pub(super) fn of(kind: &str) -> Self {
        Self {
            claimed: CLAIMED.with_label_values(&[kind]),
            lost: LOST.with_label_values(&[kind]),
            panicked: PANICKED.with_label_values(&[kind]),
            failed: FAILED.with_label_values(&[kind]),
            running: RUNNING.with_label_values(&[kind]),
        }
    }
}
