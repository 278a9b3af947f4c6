//! Defining a metric: it is registered, noted in the catalogue, and has its fixed children.

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts,
};

use crate::catalogue::{self, Family};

/// It can only be a mistake in the definition, which every start of the process would show.
const VALID: &str = "each metric is defined in one place, under a valid name";

/// What tells the series of a metric apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// What it is called.
    pub name: &'static str,
    /// All the values it can have; none if they are known elsewhere, but still few.
    pub values: &'static [&'static str],
}

/// A label whose values are few, but not named here: queues, routing keys.
pub const fn label(name: &'static str) -> Label {
    Label { name, values: &[] }
}

impl Label {
    /// All the values it can have. If that is said of every label of a metric, all its series are
    /// there from the start.
    #[must_use]
    pub const fn of(self, values: &'static [&'static str]) -> Self {
        Self { values, ..self }
    }
}

/// A count that only grows.
pub fn counter(name: &'static str, help: &'static str) -> IntCounter {
    let made = IntCounter::new(name, help);
    defined(made, described("counter", name, help, &[]))
}

/// Counts that only grow.
pub fn counters(name: &'static str, help: &'static str, labels: &[Label]) -> IntCounterVec {
    let made = IntCounterVec::new(Opts::new(name, help), &names(labels));
    with_children(defined(made, described("counter", name, help, labels)), labels)
}

/// Sums of fractions that only grow.
pub fn amounts(name: &'static str, help: &'static str, labels: &[Label]) -> CounterVec {
    let made = CounterVec::new(Opts::new(name, help), &names(labels));
    with_children(defined(made, described("counter", name, help, labels)), labels)
}

/// A number that goes up and down, and that this process always knows.
pub fn gauge(name: &'static str, help: &'static str) -> IntGauge {
    let made = IntGauge::new(name, help);
    defined(made, described("gauge", name, help, &[]))
}

/// Numbers that go up and down, and that this process always knows.
pub fn gauges(name: &'static str, help: &'static str, labels: &[Label]) -> IntGaugeVec {
    let made = IntGaugeVec::new(Opts::new(name, help), &names(labels));
    with_children(defined(made, described("gauge", name, help, labels)), labels)
}

/// Numbers that have to be asked for: none is there before it is set, nor after it was removed.
pub fn readings(name: &'static str, help: &'static str, labels: &[Label]) -> GaugeVec {
    let made = GaugeVec::new(Opts::new(name, help), &names(labels));
    defined(made, described("gauge", name, help, labels))
}

/// One number that has to be asked for.
pub fn reading(name: &'static str, help: &'static str) -> Reading {
    Reading(readings(name, help, &[]))
}

/// A number that may not be known.
#[derive(Debug)]
pub struct Reading(GaugeVec);

impl Reading {
    /// It is known to be `value`.
    pub fn set(&self, value: f64) {
        self.gauge().set(value);
    }

    /// It is not known any more.
    pub fn forget(&self) {
        self.0.reset();
    }

    fn gauge(&self) -> Gauge {
        self.0.with_label_values::<&str>(&[])
    }
}

/// How a measure is spread.
pub fn histogram(name: &'static str, help: &'static str, buckets: Vec<f64>) -> Histogram {
    let family = Family { buckets: buckets.clone(), ..described("histogram", name, help, &[]) };
    defined(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)), family)
}

/// How measures are spread.
pub fn histograms(
    name: &'static str,
    help: &'static str,
    labels: &[Label],
    buckets: Vec<f64>,
) -> HistogramVec {
    let family = Family { buckets: buckets.clone(), ..described("histogram", name, help, labels) };
    let options = HistogramOpts::new(name, help).buckets(buckets);
    with_children(defined(HistogramVec::new(options, &names(labels)), family), labels)
}

/// Upper bounds of histograms, in seconds.
pub mod buckets {
    /// Of what an agent, a model, a tool or a callback takes: milliseconds, or up to ten minutes.
    pub fn long() -> Vec<f64> {
        vec![
            0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0,
            600.0,
        ]
    }

    /// Of what a server of ours answers: from 0.5 ms to 16 s, each bound twice the one before.
    pub fn short() -> Vec<f64> {
        prometheus::exponential_buckets(0.000_5, 2.0, 16).expect("the arguments are in range")
    }

    /// Of what has to wait for its turn: from 5 ms to ten minutes.
    pub fn waiting() -> Vec<f64> {
        vec![
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
            300.0, 600.0,
        ]
    }
}

fn names(labels: &[Label]) -> Vec<&'static str> {
    labels.iter().map(|label| label.name).collect()
}

fn described(
    kind: &'static str,
    name: &'static str,
    help: &'static str,
    labels: &[Label],
) -> Family {
    Family { name, kind, help, labels: labels.to_vec(), buckets: Vec::new() }
}

fn defined<C: Collector + Clone + 'static>(made: prometheus::Result<C>, family: Family) -> C {
    let made = made.expect(VALID);
    prometheus::register(Box::new(made.clone())).expect(VALID);
    catalogue::note(family);
    made
}

/// Makes all series exist, if all the values of all labels are known.
fn with_children<B: MetricVecBuilder>(vec: MetricVec<B>, labels: &[Label]) -> MetricVec<B> {
    if labels.is_empty() {
        return vec;
    }
    let mut children: Vec<Vec<&str>> = vec![Vec::new()];
    for label in labels {
        let longer = |child: &Vec<&'static str>, value: &'static str| {
            child.iter().copied().chain([value]).collect::<Vec<_>>()
        };
        children = children
            .iter()
            .flat_map(|child| label.values.iter().map(move |value| longer(child, value)))
            .collect();
    }
    for child in children {
        vec.with_label_values(&child);
    }
    vec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue, render, value};

    #[test]
    fn series_of_known_values_are_there_from_the_start() {
        let labels = [label("a").of(&["1", "2"]), label("b").of(&["x", "y"])];
        counters("recado_test_known_total", "Known", &labels);
        counters("recado_test_open_total", "Open", &[label("a").of(&["1"]), label("b")]);
        let text = render().unwrap();
        assert!(text.contains("recado_test_known_total{a=\"2\",b=\"y\"} 0"), "{text}");
        assert_eq!(text.matches("recado_test_known_total{").count(), 4, "{text}");
        assert!(!text.contains("recado_test_open_total"), "{text}");
    }

    #[test]
    fn a_reading_has_no_value_but_a_known_one() {
        let name = "recado_test_reading";
        let reading = reading(name, "A reading");
        assert_eq!(value(name, &[]), None);
        reading.set(2.5);
        assert_eq!(value(name, &[]), Some(2.5));
        reading.forget();
        assert_eq!(value(name, &[]), None);
    }

    #[test]
    fn the_catalogue_has_what_was_defined() {
        histograms("recado_test_seconds", "Seconds", &[label("queue")], vec![1.0, 2.0]);
        let families = catalogue();
        let family = families.iter().find(|it| it.name == "recado_test_seconds").unwrap();
        assert_eq!((family.kind, family.help), ("histogram", "Seconds"));
        assert_eq!((family.labels[0].name, family.buckets.len()), ("queue", 2));
    }
}
