//! A collector of traces: it takes OTLP over HTTP, in protobuf, and remembers the spans.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as proto, ResourceSpans};
use prost::Message;

use crate::stub::{Reply, Stub};
use crate::wait_for;

/// A collector on loopback.
#[derive(Debug)]
pub struct Collector {
    stub: Stub,
    spans: Arc<Mutex<Vec<Span>>>,
}

/// A span, as plain values.
#[derive(Debug, Clone)]
pub struct Span {
    /// `service.name` of its process.
    pub service: String,
    /// In hexadecimal.
    pub trace_id: String,
    /// In hexadecimal.
    pub id: String,
    /// In hexadecimal; empty for a root.
    pub parent: String,
    /// The name.
    pub name: String,
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    pub kind: &'static str,
    /// The attributes, as text; of a list, its items with commas between.
    pub attributes: BTreeMap<String, String>,
    /// The traces that it is linked with, and the spans there.
    pub links: Vec<(String, String)>,
    /// Whether it says that something went wrong.
    pub failed: bool,
    /// All of it, what happened during it included, for a search.
    pub whole: String,
}

impl Span {
    /// An attribute; empty if it has none of that name.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

impl Collector {
    /// Starts a collector.
    pub fn start() -> Self {
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let kept = Arc::clone(&spans);
        let stub = Stub::start(move |request| {
            let decoded = ExportTraceServiceRequest::decode(request.body.as_slice());
            match decoded {
                Ok(export) if request.path == "/v1/traces" => {
                    let new = export.resource_spans.iter().flat_map(spans_of);
                    kept.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
                    Reply::new(200, "application/x-protobuf", Vec::new())
                }
                _ => Reply::text(400, "no traces"),
            }
        });
        Self { stub, spans }
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` has to be.
    pub fn url(&self) -> String {
        self.stub.url()
    }

    /// The spans that came, in the order in which they did.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until there is a span that `wanted` is true of; answers the first.
    ///
    /// # Errors
    /// If there is none `within` a time, with the names of those that came.
    pub async fn span(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Span) -> bool,
    ) -> anyhow::Result<Span> {
        let found = wait_for(what, within, async || self.spans().into_iter().find(&wanted)).await;
        found.map_err(|error| {
            let came = self.spans();
            let tell = |span: &Span| format!("{} {} {}", span.trace_id, span.service, span.name);
            error.context(came.iter().map(tell).collect::<Vec<_>>().join("\n"))
        })
    }
}

fn spans_of(of_process: &ResourceSpans) -> Vec<Span> {
    let attributes = of_process.resource.iter().flat_map(|resource| &resource.attributes);
    let service =
        attributes.filter(|it| it.key == "service.name").map(value_of).collect::<String>();
    let spans = of_process.scope_spans.iter().flat_map(|scope| &scope.spans);
    spans.map(|span| read(&service, span)).collect()
}

fn read(service: &str, span: &proto::Span) -> Span {
    let kind = match span.kind {
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "internal",
    };
    let link = |link: &proto::span::Link| (hex::encode(&link.trace_id), hex::encode(&link.span_id));
    let failed = span.status.as_ref().is_some_and(|it| it.code == StatusCode::Error as i32);
    Span {
        service: service.to_owned(),
        trace_id: hex::encode(&span.trace_id),
        id: hex::encode(&span.span_id),
        parent: hex::encode(&span.parent_span_id),
        name: span.name.clone(),
        kind,
        attributes: span.attributes.iter().map(|it| (it.key.clone(), value_of(it))).collect(),
        links: span.links.iter().map(link).collect(),
        failed,
        whole: format!("{span:?}"),
    }
}

fn value_of(attribute: &KeyValue) -> String {
    text_of(attribute.value.as_ref())
}

fn text_of(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(Value::ArrayValue(values)) => {
            let items = values.values.iter().map(|value| text_of(Some(value)));
            items.collect::<Vec<_>>().join(",")
        }
        _ => String::new(),
    }
}
