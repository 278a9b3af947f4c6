//! The metrics that every role has, whatever it does.

use crate::{health, lanes};

/// Makes the metrics of this crate and of the crates below exist, so that they are there, at 0,
/// before anything happens.
pub fn register_metrics() {
    health::metrics::register();
    lanes::metrics::register();
    recado_broker::register_metrics();
    recado_http::trace::register_metrics();
    recado_kv::register_metrics();
    recado_store::register_metrics();
}
