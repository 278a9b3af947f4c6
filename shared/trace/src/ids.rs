//! A span under an id that was chosen before it began.
//!
//! An execution gets the id of its span when it is claimed, in the row: so what follows from its
//! end, somewhere else and from nothing but rows, is a child of that span.

use std::cell::Cell;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::is_on;

thread_local! {
    /// The id of the next span that begins on this thread.
    static NEXT: Cell<Option<SpanId>> = const { Cell::new(None) };
}

/// Random ids, but for the span that `begun_as` begins.
#[derive(Clone, Debug, Default)]
pub struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        self.0.new_trace_id()
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.take().unwrap_or_else(|| self.0.new_span_id())
    }
}

/// Begins `span` now, under the id `id`, which must be 16 hexadecimal digits and used once.
pub(crate) fn begun_as(span: Span, id: &str) -> Span {
    if is_on()
        && let Ok(id) = SpanId::from_hex(id)
        && id != SpanId::INVALID
    {
        NEXT.set(Some(id));
        let _begun = span.context();
        NEXT.set(None);
    }
    span
}
