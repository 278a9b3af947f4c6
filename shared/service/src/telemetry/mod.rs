//! Logs and traces.
//!
//! Logs go to standard error: one JSON object a line, or lines for people when standard error is
//! a terminal. An error that is logged as `error = &error as &dyn Error` is written with its whole
//! chain. Nothing that a user sends can break a line or move the cursor.
//!
//! Traces go to an OpenTelemetry collector, if one is named. They are sent in batches from a
//! thread of their own; when the collector is away or slow, spans are dropped, never work.

mod json;
mod panics;
mod terminal;

use std::io::{self, IsTerminal};
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};
use tracing::Level;
use tracing_subscriber::filter::{ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config;

/// The longest that the end of a process waits for the collector.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RECADO_LOG` is not in the syntax of `EnvFilter`.
    #[error("RECADO_LOG is malformed")]
    Filter(#[source] ParseError),
    /// The exporter cannot be built for this endpoint.
    #[error("failed to set up the export of traces")]
    Exporter(#[source] ExporterBuildError),
}

/// The telemetry of this process.
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sets up logs, traces and the log line of a panic, for the whole process. If a process has
    /// telemetry already, as in tests, that stays.
    ///
    /// # Errors
    /// When a setting is of no use.
    pub fn install(role: &str, settings: &config::Telemetry) -> Result<Self, TelemetryError> {
        // lapin logs messages that were returned to it, bodies and all, whatever the level asked
        // for; what is worth knowing, the broker crate says itself.
        let lapin = "lapin=off".parse().map_err(TelemetryError::Filter)?;
        // rmcp logs what MCP servers say.
        let rmcp = "rmcp=off".parse().map_err(TelemetryError::Filter)?;
        let filter = EnvFilter::try_new(&settings.log).map_err(TelemetryError::Filter)?;
        // async-imap logs what it sends, passwords too.
        let imap = "async_imap=off".parse().map_err(TelemetryError::Filter)?;
        let filter = filter.add_directive(lapin).add_directive(rmcp).add_directive(imap);
        global::set_text_map_propagator(TraceContextPropagator::new());
        let traces = traces(role, settings)?;
        let for_people = io::stderr().is_terminal();
        let installed = match &traces {
            // What is not logged is traced all the same.
            Some(provider) => Registry::default()
                .with(otel_layer(provider.tracer("recado")))
                .with(log_layer(for_people).with_filter(filter))
                .try_init(),
            None => Registry::default().with(filter).with(log_layer(for_people)).try_init(),
        };
        if installed.is_ok() {
            panics::log_them();
            if traces.is_some() {
                recado_trace::switch_on();
            }
        }
        Ok(Self { traces })
    }

    /// Sends what has not been sent yet, waiting a few seconds at most. Blocks: to be called after
    /// the runtime has ended, or through `spawn_blocking`.
    pub fn flush(self) {
        let Some(traces) = self.traces else { return };
        if let Err(error) = traces.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(error = &error as &dyn std::error::Error, "some traces were not sent");
        }
    }
}

fn traces(
    role: &str,
    settings: &config::Telemetry,
) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    let Some(endpoint) = &settings.otlp_endpoint else { return Ok(None) };
    // The protocol's path goes behind whatever path the operator gave.
    let endpoint = format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/'));
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint)
        .build()
        .map_err(TelemetryError::Exporter)?;
    let batches = BatchConfigBuilder::default().with_max_queue_size(settings.trace_queue).build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let service = Resource::builder().with_service_name(format!("recado-{role}")).build();
    let roots = Sampler::TraceIdRatioBased(settings.trace_ratio);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(roots)))
        .with_id_generator(recado_trace::Ids::default())
        .with_resource(service)
        .build();
    Ok(Some(provider))
}

fn otel_layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    // Spans of libraries are noise, and those of the exporter would export themselves for ever.
    // Nor is anything below what is logged by default.
    let ours = filter_fn(|metadata| {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("recado")
    });
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(ours)
}

fn log_layer<S>(for_people: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = fmt::layer().with_writer(io::stderr);
    if for_people {
        lines.fmt_fields(terminal::fields()).boxed()
    } else {
        lines.fmt_fields(json::Object).event_format(json::Lines).boxed()
    }
}
