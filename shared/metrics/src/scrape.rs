//! Reading the metrics out.

use std::sync::{Mutex, PoisonError};

use prometheus::{TEXT_FORMAT, TextEncoder};

/// The media type of what [`render`] answers.
pub const CONTENT_TYPE: &str = TEXT_FORMAT;

static HOOKS: Mutex<Vec<fn()>> = Mutex::new(Vec::new());

/// The metrics cannot be written as text.
#[derive(Debug)]
pub struct ScrapeError(prometheus::Error);

impl std::fmt::Display for ScrapeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the metrics cannot be written as text")
    }
}

impl std::error::Error for ScrapeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Has `hook` called before the metrics are read out: it sets gauges that are cheap to ask for. It
/// must not wait.
pub fn before_scrape(hook: fn()) {
    HOOKS.lock().unwrap_or_else(PoisonError::into_inner).push(hook);
}

/// All metrics of this process, in Prometheus' text format.
pub fn render() -> Result<String, ScrapeError> {
    let hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for hook in hooks {
        hook();
    }
    TextEncoder::new().encode_to_string(&prometheus::gather()).map_err(ScrapeError)
}

/// For tests: the value of a counter or a gauge, or how often a histogram was told something, of the
/// series with exactly these labels.
pub fn value(name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let families = prometheus::gather();
    let family = families.iter().find(|family| family.name() == name)?;
    let metric = family.get_metric().iter().find(|metric| {
        let theirs: Vec<_> =
            metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
        theirs.len() == labels.len() && labels.iter().all(|label| theirs.contains(label))
    })?;
    #[expect(clippy::cast_precision_loss, reason = "a test counts little")]
    let count = metric.get_histogram().get_sample_count() as f64;
    Some(metric.get_counter().get_value() + metric.get_gauge().get_value() + count)
}
