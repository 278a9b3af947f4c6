//! What is counted, in Prometheus' default registry.
//!
//! Every label has few values: routing keys, queues, and fixed words.

use recado_metrics::{
    GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec, buckets, counters, families, gauges,
    histograms, label, readings,
};

/// Of messages in a batch: from 1 to 512.
const SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

families! {
    /// Makes the metrics of this crate exist.
    pub fn register_metrics;

    /// From the call to the confirm.
    pub(crate) static PUBLISH_SECONDS: HistogramVec = histograms(
        "recado_broker_publish_seconds",
        "Time from the call to the publisher confirm or the error",
        &[label("routing_key")],
        buckets::short(),
    );

    /// `outcome` is `confirmed` or the kind of error.
    pub(crate) static PUBLISHED: IntCounterVec = counters(
        "recado_broker_published_total",
        "Publications by outcome",
        &[
            label("routing_key"),
            label("outcome").of(&[
                "confirmed", "encode", "too_large", "blocked", "unavailable", "disconnected",
                "timeout", "unroutable", "refused",
            ]),
        ],
    );

    /// `queue` is `replies` for all reply queues, whose names are as many as processes.
    pub(crate) static CONSUMED: IntCounterVec = counters(
        "recado_broker_consumed_total",
        "Messages taken from a queue, redeliveries included",
        &[label("queue")],
    );

    /// Retries keep the time of the first publication; what was redriven is not measured.
    pub(crate) static AGE_SECONDS: HistogramVec = histograms(
        "recado_broker_message_age_seconds",
        "How long a message was on its way when it was taken from its queue: from its first \
         publication, so that waiting for a retry counts; without what was redriven",
        &[label("queue")],
        buckets::waiting(),
    );

    pub(crate) static BATCH_MESSAGES: HistogramVec = histograms(
        "recado_broker_batch_messages",
        "Messages given to a handler at once",
        &[label("queue")],
        SIZES.to_vec(),
    );

    pub(crate) static HANDLED_SECONDS: HistogramVec = histograms(
        "recado_broker_handled_seconds",
        "Time a handler took for a batch",
        &[label("queue")],
        buckets::short(),
    );

    /// `outcome` is `accepted`, `held` or `isolated`.
    pub(crate) static HANDLED: IntCounterVec = counters(
        "recado_broker_handled_total",
        "Batches given to a handler, by outcome",
        &[label("queue"), label("outcome").of(HANDLED_OUTCOMES)],
    );

    pub(crate) static RETRIED: IntCounterVec = counters(
        "recado_broker_retried_total",
        "Messages parked in a retry queue",
        &[label("queue")],
    );

    pub(crate) static DEAD_LETTERED: IntCounterVec = counters(
        "recado_broker_dead_lettered_total",
        "Messages moved to the dead-letter queue by us, not by the broker's delivery limit",
        &[label("queue"), label("reason").of(REASONS)],
    );

    /// `link` is `publisher`, `replies` or a queue.
    pub(crate) static LINK_UP: IntGaugeVec =
        gauges("recado_broker_link_up", "Links that are connected: 1 or 0, but in `recado dev`", &[label("link")]);

    pub(crate) static LINK_BLOCKED: IntGaugeVec = gauges(
        "recado_broker_link_blocked",
        "Links on which the broker takes no messages because it is short of memory or disk: 1 or \
         0, but in `recado dev`",
        &[label("link")],
    );

    /// Not there while the broker is away.
    pub(crate) static QUEUE_MESSAGES: GaugeVec = readings(
        "recado_queue_messages",
        "Messages in a queue or its dead-letter queue (`<queue>.dlq`) that no consumer has; asked \
         every 15 s by whoever consumes it; the same in all instances",
        &[label("queue")],
    );

    /// Not there while the broker is away.
    pub(crate) static QUEUE_CONSUMERS: GaugeVec = readings(
        "recado_queue_consumers",
        "Consumers of a queue, those that wait for their turn included; asked every 15 s; the \
         same in all instances",
        &[label("queue")],
    );
}

const HANDLED_OUTCOMES: &[&str] = &["accepted", "held", "isolated"];
const REASONS: &[&str] = &["undecodable", "failed", "panicked"];

/// Makes the series of a queue that is consumed here exist, at 0.
pub(crate) fn of_queue(queue: &str) {
    CONSUMED.with_label_values(&[queue]);
    AGE_SECONDS.with_label_values(&[queue]);
    BATCH_MESSAGES.with_label_values(&[queue]);
    HANDLED_SECONDS.with_label_values(&[queue]);
    RETRIED.with_label_values(&[queue]);
    for outcome in HANDLED_OUTCOMES {
        HANDLED.with_label_values(&[queue, outcome]);
    }
    for reason in REASONS {
        DEAD_LETTERED.with_label_values(&[queue, reason]);
    }
}
