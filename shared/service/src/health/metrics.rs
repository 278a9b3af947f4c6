//! What Prometheus is told of the process as a whole.

use recado_metrics::{IntGaugeVec, families, gauges, label};

use super::Report;

/// The commit that was built, if whoever built it said so.
const REVISION: &str = match option_env!("RECADO_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

families! {
    /// Makes the metrics of processes exist.
    pub(crate) fn register;

    static BUILD_INFO: IntGaugeVec = gauges(
        "recado_build_info",
        "What is running: always 1",
        &[label("version"), label("revision"), label("role")],
    );

    static COMPONENT_READY: IntGaugeVec = gauges(
        "recado_component_ready",
        "1 while a component of `/health/ready` works: `database`, `publisher`, a queue",
        &[label("component")],
    );
}

pub(super) fn show_build(role: &str) {
    BUILD_INFO.with_label_values(&[env!("CARGO_PKG_VERSION"), REVISION, role]).set(1);
}

pub(super) fn show_components(report: &Report) {
    for component in &report.components {
        let ready = i64::from(component.ready);
        COMPONENT_READY.with_label_values(&[component.name.as_str()]).set(ready);
    }
}
