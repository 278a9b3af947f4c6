//! One function for each kind of span.
//!
//! What a span is created with is on the log lines inside it, too; what only a trace is read for is
//! set as an attribute, which costs nothing where there is none.

use std::fmt::Display;

use opentelemetry::trace::Status;
use opentelemetry::{Array, StringValue, Value};
use recado_types::{
    AgentId, DeliveryId, EventDeliveryId, EventId, ExecutionId, SessionId, TenantId, ToolCallId,
    TraceContext,
};
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::context::{continued, is_recorded, linked};
use crate::conventions::{
    ERROR_TYPE, EXECUTION_ATTEMPT, EXECUTION_MESSAGES, EXECUTION_OUTCOME, GEN_AI_AGENT_ID,
    GEN_AI_AGENT_NAME, GEN_AI_AGENT_VERSION, GEN_AI_CONVERSATION_ID, GEN_AI_FINISH_REASONS,
    GEN_AI_INPUT_TOKENS, GEN_AI_OPERATION_NAME, GEN_AI_OUTPUT_TOKENS, GEN_AI_PROVIDER_NAME,
    GEN_AI_REQUEST_MODEL, GEN_AI_TOOL_CALL_ID, GEN_AI_TOOL_NAME, HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE, MESSAGING_BATCH_COUNT, MESSAGING_DESTINATION_NAME,
    MESSAGING_MESSAGE_ID, MESSAGING_OPERATION_NAME, MESSAGING_OPERATION_TYPE,
    MESSAGING_ROUTING_KEY, MESSAGING_SYSTEM, RABBITMQ, SERVER_ADDRESS, SERVER_PORT, SOURCE_KIND,
};
use crate::ids::begun_as;
use crate::is_on;

/// The fields by which a span is given its name and kind.
const OTEL_NAME: &str = "otel.name";
const OTEL_KIND: &str = "otel.kind";

/// How many traces one span is linked with, at most.
const MAX_LINKS: usize = 128;

/// Sets an attribute.
pub fn attribute(span: &Span, name: &'static str, value: impl Into<Value>) {
    if is_on() {
        span.set_attribute(name, value);
    }
}

/// Says that what `span` is about went wrong, and how, in a word.
pub fn fail(span: &Span, error_type: impl Into<StringValue>) {
    if is_on() {
        span.set_attribute(ERROR_TYPE, error_type.into());
        // The word is in the attribute; a description could quote somebody.
        span.set_status(Status::error(""));
    }
}

/// What is published: where to, and how many messages, or which.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// The exchange; empty for the default one.
    pub exchange: &'a str,
    /// The routing key, as far as it is the same for all.
    pub routing_key: &'a str,
    /// How many.
    pub n_messages: usize,
}

impl Sending<'_> {
    fn span(self) -> Span {
        let Self { exchange, routing_key, n_messages } = self;
        let destination = match exchange {
            "" => routing_key.to_owned(),
            exchange => format!("{exchange}:{routing_key}"),
        };
        let name = format!("send {destination}");
        let span = tracing::info_span!("send", otel.name = name, otel.kind = "producer");
        about_messages(&span, "send", destination);
        attribute(&span, MESSAGING_ROUTING_KEY, routing_key.to_owned());
        if n_messages != 1 {
            attribute(&span, MESSAGING_BATCH_COUNT, count(n_messages));
        }
        span
    }
}

/// Messages are published, in the trace of the current span. Nothing, if that is in none.
pub fn send(sending: Sending<'_>) -> Span {
    if is_recorded() { sending.span() } else { Span::none() }
}

/// A message is published because of others that `causes` are the contexts of: in the trace of the
/// first, linked with all. Nothing, if none of them is in one.
pub fn send_because<'c>(
    sending: Sending<'_>,
    causes: impl Iterator<Item = &'c TraceContext> + Clone,
) -> Span {
    if !is_on() {
        return Span::none();
    }
    let Some(first) = causes.clone().next() else { return Span::none() };
    continued(linked(sending.span(), causes.take(MAX_LINKS)), Some(first))
}

/// Says which message a span is about.
pub fn of_message(span: &Span, id: impl Display) {
    if is_on() {
        attribute(span, MESSAGING_MESSAGE_ID, id.to_string());
    }
}

/// A batch of messages is handled. A single one is handled in its own trace. Several are handled
/// together in a trace of their own that is linked with theirs, if any of them is in one.
pub fn process<'c>(
    queue: &'static str,
    n_messages: usize,
    causes: impl Iterator<Item = &'c TraceContext> + Clone,
) -> Span {
    let span = tracing::info_span!(
        "process",
        otel.name = field::Empty,
        otel.kind = field::Empty,
        broker.queue = queue,
    );
    if !is_on() {
        return span;
    }
    span.record(OTEL_NAME, format!("process {queue}"));
    span.record(OTEL_KIND, "consumer");
    about_messages(&span, "process", queue);
    let first = causes.clone().next();
    if n_messages == 1 || first.is_none() {
        return continued(span, first);
    }
    attribute(&span, MESSAGING_BATCH_COUNT, count(n_messages));
    linked(span, causes.take(MAX_LINKS))
}

/// An execution, as far as its span tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// Which.
    pub execution_id: ExecutionId,
    /// Whose.
    pub tenant_id: TenantId,
    /// Whose conversation.
    pub session_id: SessionId,
    /// Who answers.
    pub agent_id: AgentId,
    /// What people call it.
    pub agent_name: &'a str,
    /// Which version.
    pub agent_version: u32,
    /// How often it was claimed.
    pub attempt: u32,
    /// How many messages it answers.
    pub n_messages: u32,
    /// What made it.
    pub cause: Option<&'a TraceContext>,
    /// The id that its span was given in the row.
    pub span_id: Option<&'a str>,
    /// The contexts of its messages.
    pub messages: &'a [TraceContext],
}

/// An agent is run, in the trace of what made the execution, linked with all of its messages.
pub fn invoke_agent(it: &Invocation<'_>) -> Span {
    let span = tracing::info_span!(
        "invoke_agent",
        otel.name = field::Empty,
        execution.id = %it.execution_id,
        tenant.id = %it.tenant_id,
        session.id = %it.session_id,
    );
    if !is_on() {
        return span;
    }
    span.record(OTEL_NAME, format!("invoke_agent {}", it.agent_name));
    attribute(&span, GEN_AI_OPERATION_NAME, "invoke_agent");
    attribute(&span, GEN_AI_AGENT_ID, it.agent_id.to_string());
    attribute(&span, GEN_AI_AGENT_NAME, it.agent_name.to_owned());
    attribute(&span, GEN_AI_AGENT_VERSION, it.agent_version.to_string());
    attribute(&span, GEN_AI_CONVERSATION_ID, it.session_id.to_string());
    attribute(&span, EXECUTION_ATTEMPT, i64::from(it.attempt));
    attribute(&span, EXECUTION_MESSAGES, i64::from(it.n_messages));
    let span = continued(linked(span, it.messages.iter().take(MAX_LINKS)), it.cause);
    match it.span_id {
        Some(id) => begun_as(span, id),
        None => span,
    }
}

/// Says how an execution, or an attempt at it, ended.
pub fn ended(span: &Span, outcome: &'static str) {
    attribute(span, EXECUTION_OUTCOME, outcome);
    if matches!(outcome, "failed" | "timeout" | "lease_lost" | "given_back") {
        fail(span, outcome);
    }
}

/// A model is asked. Nothing, if the current span is in no trace.
pub fn chat(provider: &str, model: &str) -> Span {
    if !is_recorded() {
        return Span::none();
    }
    let name = format!("chat {model}");
    let span = tracing::info_span!("chat", otel.name = name, otel.kind = "client");
    attribute(&span, GEN_AI_OPERATION_NAME, "chat");
    attribute(&span, GEN_AI_PROVIDER_NAME, provider.to_owned());
    attribute(&span, GEN_AI_REQUEST_MODEL, model.to_owned());
    span
}

/// Says what came of asking a model.
pub fn answered(
    span: &Span,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    finish_reason: Option<&str>,
) {
    if span.is_disabled() {
        return;
    }
    let tokens = [(GEN_AI_INPUT_TOKENS, input_tokens), (GEN_AI_OUTPUT_TOKENS, output_tokens)];
    for (name, count) in tokens {
        if let Some(count) = count {
            attribute(span, name, count);
        }
    }
    if let Some(reason) = finish_reason {
        let reasons = Array::String(vec![reason.to_owned().into()]);
        attribute(span, GEN_AI_FINISH_REASONS, Value::Array(reasons));
    }
}

/// A tool is called.
pub fn execute_tool(name: &str, key: ToolCallId) -> Span {
    let span = tracing::info_span!(
        "execute_tool",
        otel.name = field::Empty,
        { GEN_AI_TOOL_NAME } = name,
        { GEN_AI_TOOL_CALL_ID } = %key,
    );
    if is_on() {
        span.record(OTEL_NAME, format!("execute_tool {name}"));
        attribute(&span, GEN_AI_OPERATION_NAME, "execute_tool");
    }
    span
}

/// A request of ours to somebody else. Nothing, if the current span is in no trace.
///
/// Its path and query are told nowhere: they may hold tokens and numbers.
pub fn request(method: &str, host: &str, port: Option<u16>) -> Span {
    if !is_recorded() {
        return Span::none();
    }
    let span = tracing::info_span!("http.client", otel.name = method, otel.kind = "client");
    attribute(&span, HTTP_REQUEST_METHOD, method.to_owned());
    attribute(&span, SERVER_ADDRESS, host.to_owned());
    if let Some(port) = port {
        attribute(&span, SERVER_PORT, i64::from(port));
    }
    span
}

/// Says what a request was answered.
pub fn responded(span: &Span, status: u16) {
    if span.is_disabled() {
        return;
    }
    attribute(span, HTTP_RESPONSE_STATUS_CODE, i64::from(status));
    if status >= 400 {
        fail(span, status.to_string());
    }
}

/// A response is sent to whoever asked.
pub fn deliver(
    delivery_id: DeliveryId,
    execution_id: ExecutionId,
    tenant_id: TenantId,
    session_id: SessionId,
    cause: Option<&TraceContext>,
) -> Span {
    let span = tracing::info_span!(
        "deliver",
        delivery.id = %delivery_id,
        execution.id = %execution_id,
        tenant.id = %tenant_id,
        session.id = %session_id,
    );
    continued(span, cause)
}

/// One attempt to send one chunk of a response. Nothing, if the current span is in no trace.
pub fn attempt(chunk_index: u32, number: u32) -> Span {
    if !is_recorded() {
        return Span::none();
    }
    tracing::info_span!("attempt", chunk.index = chunk_index, attempt.number = number)
}

/// An event is sent to an endpoint.
pub fn send_event(
    event_delivery_id: EventDeliveryId,
    event_id: EventId,
    execution_id: ExecutionId,
    tenant_id: TenantId,
    cause: Option<&TraceContext>,
) -> Span {
    let span = tracing::info_span!(
        "event.send",
        event_delivery.id = %event_delivery_id,
        event.id = %event_id,
        execution.id = %execution_id,
        tenant.id = %tenant_id,
    );
    continued(span, cause)
}

/// Something fires by itself: a trace begins.
pub fn fire(kind: &'static str) -> Span {
    if !is_on() {
        return Span::none();
    }
    let span = tracing::info_span!(parent: None, "fire", otel.name = format!("fire {kind}"));
    attribute(&span, SOURCE_KIND, kind);
    span
}

fn about_messages(span: &Span, operation: &'static str, destination: impl Into<StringValue>) {
    attribute(span, MESSAGING_SYSTEM, RABBITMQ);
    attribute(span, MESSAGING_OPERATION_NAME, operation);
    attribute(span, MESSAGING_OPERATION_TYPE, operation);
    attribute(span, MESSAGING_DESTINATION_NAME, destination.into());
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
