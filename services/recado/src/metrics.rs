//! What Prometheus is told, as a document: `docs/metrics.md` is what this prints.

use std::fmt::Write as _;

use recado_metrics::{Family, Label, catalogue};

const HEAD: &str = "\
# Metrics

Every role answers `GET /metrics` at `RECADO_METRICS_LISTEN`, in Prometheus' text format.
This page is what `recado metrics` prints; a test keeps it so.

* Names have base units (seconds, bytes); counters end with `_total`.
* No label ever holds a tenant, a trigger, a model, a URL, a phone number or an id. Where all values of a label are known, they are listed, and the series are there at 0 from the start, so that `rate()` sees the first increase.
* A gauge that has to be asked for (\"asked every 15 s\", \"as last swept\") is the same in all instances: take `max`, not `sum`. While the server that knows it is away, the series is **gone**, not 0; `recado_component_ready` and `recado_broker_link_up` say that it is away.
* Durations of executions, models, tools and callbacks have buckets up to ten minutes.
* In `recado dev` all roles share one process: counts are those of all of them, and the components of `recado_component_ready` have the role before their name.
* The clocks of two machines may differ by some milliseconds. What is measured from one to the other is never less than 0.
* On Linux there are `process_*` besides: CPU, memory, file descriptors, start time.
";

/// Whose metrics begin like this, in the order of the page.
const SECTIONS: [Section; 11] = [
    Section {
        title: "Every process",
        about: "",
        prefixes: &["recado_build_", "recado_component_"],
    },
    Section {
        title: "HTTP",
        about: "Of `ingress` and `management`, by route: never the path itself, which may hold ids. \
                The operators' port is not counted.",
        prefixes: &["recado_http_"],
    },
    Section {
        title: "Broker",
        about: "Of every role that is connected to RabbitMQ. `queue` is one of [the work queues]\
                (dead-letters.md), or `replies` for what wakes those who wait for an answer; \
                `routing_key` is that of the message, or `retry` or `dead-letter` for copies; \
                `link` is `publisher`, `replies` or a queue.",
        prefixes: &["recado_broker_", "recado_queue_"],
    },
    Section {
        title: "Database",
        about: "Of every role, for its own pool.",
        prefixes: &["recado_store_"],
    },
    Section {
        title: "Redis",
        about: "Of `ingress` and `buffer`. Both go on without it.",
        prefixes: &["recado_redis_"],
    },
    Section {
        title: "Lanes",
        about: "A lane is one session's queue in front of one kind of work. `kind` is `execution` \
                (agent-runner) or `delivery` (delivery); what `sources` holds is counted in the same \
                way as `db_event` and `imap`.",
        prefixes: &["recado_lanes_"],
    },
    Section { title: "ingress", about: "", prefixes: &["recado_ingress_"] },
    Section { title: "buffer", about: "", prefixes: &["recado_buffer_"] },
    Section {
        title: "agent-runner",
        about: "`management` counts in the tool calls that people try there.",
        prefixes: &["recado_runner_"],
    },
    Section {
        title: "delivery",
        about: "`recado_event_…` is about webhooks for [events](events.md).",
        prefixes: &["recado_delivery_", "recado_event_"],
    },
    Section { title: "sources", about: "", prefixes: &["recado_sources_"] },
];

/// A part of the page.
struct Section {
    title: &'static str,
    about: &'static str,
    prefixes: &'static [&'static str],
}

impl Section {
    fn has(&self, family: &Family) -> bool {
        self.prefixes.iter().any(|prefix| family.name.starts_with(prefix))
    }
}

/// All metrics of all roles, as Markdown.
pub(crate) fn markdown() -> String {
    register_all();
    let families = catalogue();
    let mut page = HEAD.to_owned();
    for section in &SECTIONS {
        let _ = write!(page, "\n## {}\n\n", section.title);
        if !section.about.is_empty() {
            let _ = write!(page, "{}\n\n", section.about);
        }
        page.push_str("| name | type | labels | meaning |\n|---|---|---|---|\n");
        for family in families.iter().filter(|family| section.has(family)) {
            page.push_str(&row(family));
        }
    }
    page
}

fn register_all() {
    recado_service::register_metrics();
    recado_ingress::register_metrics();
    recado_buffer::register_metrics();
    recado_agent_runner::register_metrics();
    recado_delivery::register_metrics();
    recado_sources::register_metrics();
    recado_management::register_metrics();
}

fn row(family: &Family) -> String {
    let labels: Vec<String> = family.labels.iter().map(shown).collect();
    let kind = match (family.buckets.first(), family.buckets.last()) {
        (Some(least), Some(most)) => format!("{}, {least} to {most}", family.kind),
        _ => family.kind.to_owned(),
    };
    format!("| `{}` | {kind} | {} | {} |\n", family.name, labels.join("; "), family.help)
}

fn shown(label: &Label) -> String {
    let values: Vec<String> = label.values.iter().map(|value| format!("`{value}`")).collect();
    match values.as_slice() {
        [] => format!("`{}`", label.name),
        values => format!("`{}`: {}", label.name, values.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_command_prints() {
        let page = include_str!("../../../docs/metrics.md");
        assert!(page == markdown(), "write it again: recado metrics > docs/metrics.md");
    }

    #[test]
    fn every_metric_is_on_the_page_once_and_under_our_name() {
        let page = markdown();
        for family in catalogue() {
            let n_rows = page.matches(&format!("| `{}` |", family.name)).count();
            assert_eq!(n_rows, 1, "{}: which section of the page is it in?", family.name);
            let is_counter = family.kind == "counter";
            assert_eq!(family.name.ends_with("_total"), is_counter, "{}", family.name);
            assert!(!family.help.contains('|'), "{}", family.name);
        }
    }
}
