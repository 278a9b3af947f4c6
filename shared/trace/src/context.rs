//! From spans to text, and back.

use std::str::FromStr;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use recado_types::TraceContext;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::is_on;

/// The context of a span, if it is recorded.
pub fn of(span: &Span) -> Option<TraceContext> {
    if !is_on() || span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let context = span.span_context();
    if !context.is_sampled() {
        return None;
    }
    let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags());
    let parent = format!("00-{trace}-{span}-{:02x}", flags.to_u8());
    TraceContext::of(&parent, &context.trace_state().header())
}

/// Whether the current span is recorded.
pub(crate) fn is_recorded() -> bool {
    is_on() && Span::current().context().span().span_context().is_sampled()
}

/// The context of the current span, if it is recorded.
pub fn current() -> Option<TraceContext> {
    of(&Span::current())
}

/// Makes `span`, which must not have been entered yet, part of the trace that `cause` is in; or
/// part of none, if it is in none.
pub fn continued(span: Span, cause: Option<&TraceContext>) -> Span {
    if is_on() {
        let parent = cause.and_then(span_context).unwrap_or_else(unrecorded);
        // Refused only if nobody collects traces.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
    span
}

/// Links `span`, which must not have been entered yet, with what it is about.
pub fn linked<'c>(span: Span, causes: impl IntoIterator<Item = &'c TraceContext>) -> Span {
    if is_on() {
        causes.into_iter().filter_map(span_context).for_each(|cause| span.add_link(cause));
    }
    span
}

/// What the `traceparent` of a request to us may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Nothing: a trace of our own begins, linked with the caller's.
    Linked,
    /// The trace, and whether it is recorded.
    Trusted,
}

/// Relates `span`, which must not have been entered yet and is that of a request to us, to the
/// trace that its caller is in, if it says that it is in one.
pub fn called(span: &Span, caller: Context, callers: Callers) {
    match callers {
        // Refused only if nobody collects traces.
        Callers::Trusted => drop(span.set_parent(caller)),
        Callers::Linked => {
            let caller = caller.span().span_context().clone();
            if caller.is_valid() {
                // Its state is what a stranger wrote.
                let (trace, id) = (caller.trace_id(), caller.span_id());
                let flags = caller.trace_flags();
                span.add_link(SpanContext::new(trace, id, flags, true, TraceState::NONE));
            }
        }
    }
}

fn span_context(context: &TraceContext) -> Option<SpanContext> {
    let mut parts = context.parent().split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(parts.next()?, 16).ok()?);
    let state = TraceState::from_str(context.state()).unwrap_or_default();
    Some(SpanContext::new(trace, span, flags, true, state))
}

/// A parent whose children are not recorded. Its ids are seen by nobody.
fn unrecorded() -> SpanContext {
    let (trace, span) = (TraceId::from(1), SpanId::from(1));
    SpanContext::new(trace, span, TraceFlags::NOT_SAMPLED, true, TraceState::NONE)
}
