#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod catalogue;
mod define;
mod scrape;

pub use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec,
};

pub use catalogue::{Family, catalogue};
pub use define::{
    Label, Reading, amounts, buckets, counter, counters, gauge, gauges, histogram, histograms,
    label, reading, readings,
};
pub use scrape::{CONTENT_TYPE, ScrapeError, before_scrape, render, value};

/// Defines metrics, each as a static, and a function that makes all of them exist.
///
/// ```
/// use recado_metrics::{IntCounterVec, counters, families, label};
///
/// families! {
///     /// Makes the metrics below exist.
///     pub fn register_metrics;
///
///     /// Letters that were posted, by size.
///     pub static POSTED: IntCounterVec = counters(
///         "recado_letters_posted_total",
///         "Letters that were posted",
///         &[label("size").of(&["small", "large"])],
///     );
/// }
///
/// register_metrics();
/// POSTED.with_label_values(&["small"]).inc();
/// ```
#[macro_export]
macro_rules! families {
    (
        $(#[$about_function:meta])* $function_visibility:vis fn $function:ident;
        $($(#[$about:meta])* $visibility:vis static $name:ident: $kind:ty = $definition:expr;)+
    ) => {
        $($(#[$about])* $visibility static $name: ::std::sync::LazyLock<$kind> =
            ::std::sync::LazyLock::new(|| $definition);)+

        $(#[$about_function])*
        $function_visibility fn $function() {
            $(::std::sync::LazyLock::force(&$name);)+
        }
    };
}
