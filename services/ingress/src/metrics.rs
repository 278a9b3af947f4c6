//! What is counted, in Prometheus' default registry. Every label has few values.

use recado_metrics::{
    Histogram, HistogramVec, IntCounterVec, IntGauge, buckets, counters, families, gauge,
    histogram, histograms, label,
};

/// Where webhooks come in.
const SURFACES: &[&str] = &["native", "run", "apps"];

/// What alerts and error budgets ask for. All other outcomes are there once they happen.
const EXPECTED: [&str; 7] = [
    "accepted",
    "answered",
    "notice",
    "unavailable",
    "internal_error",
    "execution_failed",
    "execution_timeout",
];

families! {
    /// Makes the metrics of this crate exist.
    pub fn register_metrics;

    /// `surface` is `native`, `run` or `apps`; `outcome` is `accepted`, `answered` (the sender
    /// waited for the agent), `notice` (nothing to do), or the code of the refusal.
    pub(crate) static REQUESTS: IntCounterVec = requests();

    /// `reason` is the code of the refusal.
    pub(crate) static LEFT_OUT: IntCounterVec = counters(
        "recado_ingress_left_out_total",
        "Messages of batches that could not be taken, by the code of the refusal",
        &[label("reason")],
    );

    /// As in [`REQUESTS`].
    pub(crate) static REQUEST_SECONDS: HistogramVec = histograms(
        "recado_ingress_request_seconds",
        "Time from the head of a webhook to its answer",
        &[label("surface").of(SURFACES), label("outcome")],
        seconds(),
    );

    pub(crate) static BODY_BYTES: Histogram = histogram(
        "recado_ingress_body_bytes",
        "Size of the bodies that were read",
        (0..10).map(|power| 64.0 * 4_f64.powi(power)).collect(),
    );

    pub(crate) static PUBLISH_WAIT_SECONDS: Histogram = histogram(
        "recado_ingress_publish_wait_seconds",
        "Time a message waited for its turn to be published",
        buckets::short(),
    );

    pub(crate) static PUBLISHING: IntGauge =
        gauge("recado_ingress_publishing", "Messages that wait for the broker's confirm");

    pub(crate) static WAITING: IntGauge =
        gauge("recado_ingress_waiting", "Senders that wait for their agent's answer");

    /// Where the answers of look-ups came from.
    pub(crate) static LOOKUPS: IntCounterVec = counters(
        "recado_ingress_lookups_total",
        "Look-ups of configuration, by where the answer came from",
        &[
            label("lookup"),
            label("outcome").of(&["known", "unknown", "looked_up", "stale", "failed"]),
        ],
    );

    /// `outcome` is `free` (there was nothing to pay), `admitted`, `duplicate`, `conflict`,
    /// `unknown` (admitted, but Redis does not tell whether the id is new), or what refused.
    pub(crate) static TOLLS: IntCounterVec = counters(
        "recado_ingress_toll_total",
        "Tolls of webhooks (rate limits, and whether the id is new) by outcome",
        &[label("outcome").of(&[
            "free", "admitted", "duplicate", "conflict", "unknown", "limited_by_tenant",
            "limited_by_trigger", "limited_by_sender", "limited_by_share",
        ])],
    );
}

fn requests() -> IntCounterVec {
    let requests = counters(
        "recado_ingress_requests_total",
        "Webhooks by outcome: `accepted`, `answered` (the sender waited for the agent), `notice` \
         (nothing to do), or the code of the refusal",
        &[label("surface").of(SURFACES), label("outcome")],
    );
    for surface in SURFACES {
        for outcome in EXPECTED {
            requests.with_label_values(&[surface, outcome]);
        }
    }
    requests
}

/// From 0.5 ms to 10 minutes: a sender may wait for an agent.
fn seconds() -> Vec<f64> {
    buckets::short().into_iter().chain([32.0, 60.0, 120.0, 300.0, 600.0]).collect()
}
