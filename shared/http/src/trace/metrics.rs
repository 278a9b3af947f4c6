//! Rate, errors and duration of requests, by route.

use std::time::Duration;

use actix_web::http::Method;
use recado_metrics::{HistogramVec, IntCounterVec, counters, families, histograms, label};

/// Up to the longest time a synchronous caller may wait.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 300.0];

/// Those that are known here.
const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "other"];

families! {
    /// Makes the metrics of this crate exist.
    pub fn register_metrics;

    static REQUESTS: IntCounterVec = counters(
        "recado_http_requests_total",
        "Requests that were answered",
        &[label("server"), label("method").of(METHODS), label("route"), label("status")],
    );

    static DURATION: HistogramVec = histograms(
        "recado_http_request_duration_seconds",
        "From the end of a request's headers to the beginning of its response",
        &[label("server"), label("method").of(METHODS), label("route")],
        SECONDS.to_vec(),
    );
}

pub(super) fn record(server: &str, method: &str, route: &str, status: u16, duration: Duration) {
    REQUESTS.with_label_values(&[server, method, route, status.to_string().as_str()]).inc();
    DURATION.with_label_values(&[server, method, route]).observe(duration.as_secs_f64());
}

/// The method as a label: strangers may invent methods, but not labels.
pub(super) fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
