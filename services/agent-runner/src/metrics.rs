//! What Prometheus is told.

use recado_metrics::{
    CounterVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, amounts, buckets,
    counter, counters, families, gauges, histogram, histograms, label,
};

use crate::model::Reply;

/// Kinds of providers.
const PROVIDERS: &[&str] = &["openai_compatible", "anthropic", "builtin"];

/// How attempts to run an execution end: with it, or without.
const OUTCOMES: &[&str] = &[
    "success",
    "failed",
    "timeout",
    "cancelled",
    "superseded",
    "waiting",
    "given_back",
    "lease_lost",
];

families! {
    /// Makes the metrics of this crate exist.
    fn register_own;

    /// Messages that found their execution.
    pub(crate) static ADMITTED: IntCounter =
        counter("recado_runner_messages_admitted_total", "Messages attached to an execution");

    /// Messages whose id is known with another content, each time they are tried: before the last
    /// retry as well as after it, and once more if they came in a batch.
    pub(crate) static CONFLICTS: IntCounter = counter(
        "recado_runner_conflicts_total",
        "Messages met whose id is known with another content, at each try",
    );

    /// From ingress to the first model call, nearly.
    pub(crate) static ADMISSION_LAG_SECONDS: Histogram = histogram(
        "recado_runner_admission_lag_seconds",
        "From when the last message of an execution was accepted to when the execution began for \
         the first time, the quiet time of its window included; without sub-agents",
        buckets::waiting(),
    );

    /// Executions by how they ended.
    pub(crate) static FINISHED: IntCounterVec = counters(
        "recado_runner_executions_total",
        "Executions by how their attempt ended",
        &[label("outcome").of(OUTCOMES)],
    );

    /// How long executions ran.
    pub(crate) static EXECUTION_SECONDS: HistogramVec = histograms(
        "recado_runner_execution_seconds",
        "How long executions ran, from claim to result",
        &[label("outcome").of(OUTCOMES)],
        buckets::long(),
    );

    /// How long single requests to providers took, by how they ended.
    pub(crate) static MODEL_SECONDS: HistogramVec = histograms(
        "recado_runner_model_request_seconds",
        "How long requests to model providers took",
        &[label("outcome").of(&["success", "retry", "failed"])],
        buckets::long(),
    );

    /// What providers counted.
    pub(crate) static TOKENS: IntCounterVec = counters(
        "recado_runner_tokens_total",
        "Tokens of model calls, as the provider counted them, by kind of provider",
        &[label("provider").of(PROVIDERS), label("direction").of(&["input", "output"])],
    );

    /// What their price lists make of that.
    pub(crate) static COST_USD: CounterVec = amounts(
        "recado_runner_cost_usd_total",
        "What model calls cost in US dollars, by the price lists of the providers",
        &[label("provider").of(PROVIDERS)],
    );

    /// Events by what became of them: `published`; `given_up`, which are to be published again
    /// from the journal; `unsendable`, which would be a bug.
    pub(crate) static EVENTS: IntCounterVec = counters(
        "recado_runner_events_total",
        "Events of executions by what became of them",
        &[label("outcome").of(&["published", "given_up", "unsendable"])],
    );

    /// Rows that retention removed or emptied, by table and by what it was about.
    pub(crate) static REMOVED: IntCounterVec = counters(
        "recado_runner_housekeeping_rows_total",
        "Rows that retention removed or emptied",
        &[label("table"), label("step")],
    );

    /// When a round of housekeeping last came to its end, by task: `retention`, `usage`. There is
    /// no value before the first.
    pub(crate) static HOUSEKEPT: IntGaugeVec = gauges(
        "recado_runner_housekeeping_last_success_timestamp_seconds",
        "When a round of housekeeping (`retention`, `usage`) last came to its end, in seconds \
         since 1970; nothing before the first",
        &[label("task")],
    );
}

/// Counts what a model call used. `provider` is the kind of provider.
pub(crate) fn count_usage(provider: &str, reply: &Reply) {
    for (direction, tokens) in [("input", reply.input_tokens), ("output", reply.output_tokens)] {
        let tokens = tokens.and_then(|tokens| u64::try_from(tokens).ok()).unwrap_or_default();
        TOKENS.with_label_values(&[provider, direction]).inc_by(tokens);
    }
    // A price list may say nothing, or nonsense; a counter must not go down.
    let cost = reply.cost_usd.filter(|cost| cost.is_finite() && *cost > 0.0);
    COST_USD.with_label_values(&[provider]).inc_by(cost.unwrap_or_default());
}

/// Makes the metrics that this role has beside those of every role exist.
pub fn register_metrics() {
    register_own();
    recado_toolbox::register_metrics();
}
