//! What Prometheus is told of events.

use recado_metrics::{
    Histogram, IntCounter, IntCounterVec, buckets, counter, counters, families, histogram, label,
};

families! {
    /// Makes the metrics of events exist.
    pub(crate) fn register;

    /// Attempts by what followed from them.
    pub(super) static ATTEMPTS: IntCounterVec = counters(
        "recado_event_delivery_attempts_total",
        "Attempts to send an event by what followed from them",
        &[label("outcome").of(&["delivered", "retry", "failed", "gone"])],
    );

    /// How long attempts took.
    pub(super) static ATTEMPT_SECONDS: Histogram = histogram(
        "recado_event_delivery_attempt_seconds",
        "How long attempts to send an event took, from the first packet to the last byte",
        buckets::long(),
    );

    /// Endpoints that were disabled because they answered 410 or took nothing for 5 days.
    pub(super) static DISABLED: IntCounter = counter(
        "recado_event_endpoints_disabled_total",
        "Event endpoints that were disabled because of what they answered",
    );
}
