//! What the loop tells about itself, by kind of lane.

use recado_metrics::{
    GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, counters, families, gauges, label,
    readings,
};

families! {
    /// Makes the metrics of lanes exist.
    pub(crate) fn register;

    static CLAIMED: IntCounterVec =
        counters("recado_lanes_claimed_total", "Lanes that were claimed", &[label("kind")]);

    static LOST: IntCounterVec = counters(
        "recado_lanes_lost_total",
        "Leases that ended before the work did",
        &[label("kind")],
    );

    static PANICKED: IntCounterVec =
        counters("recado_lanes_panicked_total", "Lanes whose work panicked", &[label("kind")]);

    static FAILED: IntCounterVec = counters(
        "recado_lanes_failed_requests_total",
        "Claims and renewals that failed",
        &[label("kind")],
    );

    static RUNNING: IntGaugeVec =
        gauges("recado_lanes_running", "Lanes that are worked now", &[label("kind")]);

    pub(super) static DUE: GaugeVec = readings(
        "recado_lanes_due",
        "Lanes whose time has come and that nobody works, counted up to 10,000; without those of \
         tenants who have all their slots; of a destination that does not answer one, once it is \
         to be tried again; asked every 15 s; the same in all instances",
        &[label("kind")],
    );

    pub(super) static OLDEST_DUE_SECONDS: GaugeVec = readings(
        "recado_lanes_oldest_due_seconds",
        "How long the oldest of them has been due, sub-agents and their parents left out, whose \
         turn comes by the age of the whole; 0 if none is; asked every 15 s; the same in all \
         instances",
        &[label("kind")],
    );
}

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
