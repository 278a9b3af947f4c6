//! What a collector is told.

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use recado_types::{AgentId, ExecutionId, SessionId, TenantId, TraceContext};
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::spans::{Invocation, Sending};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SENDING: Sending<'_> = Sending { exchange: "x", routing_key: "a.b", n_messages: 1 };

/// The spans of `work`, by the order of their ends.
fn told(work: impl FnOnce()) -> Vec<SpanData> {
    told_of(Sampler::AlwaysOn, work)
}

/// The same, if of what begins here so much is recorded.
fn told_of(roots: Sampler, work: impl FnOnce()) -> Vec<SpanData> {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(roots)))
        .with_simple_exporter(exporter.clone())
        .with_id_generator(Ids::default())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    switch_on();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
    exporter.get_finished_spans().unwrap()
}

fn cause(trace: &str, n: u8) -> TraceContext {
    TraceContext::of(&format!("00-{trace}-{n:016x}-01"), "a=1").unwrap()
}

#[test]
fn what_comes_of_rows_is_below_a_span_of_a_chosen_id() {
    let (first, id) = (cause(TRACE, 1), "00f067aa0ba902b7");
    let messages = [first.clone(), cause(TRACE, 2)];
    let nil = uuid::Uuid::nil();
    let run = |span_id| Invocation {
        execution_id: ExecutionId(nil),
        tenant_id: TenantId(nil),
        session_id: SessionId(nil),
        agent_id: AgentId(nil),
        agent_name: "Ana",
        agent_version: 1,
        attempt: 1,
        n_messages: 2,
        cause: Some(&first),
        span_id,
        messages: &messages,
    };
    let spans = told(|| {
        let span = spans::invoke_agent(&run(Some(id)));
        let expected = first.in_span(id).unwrap();
        assert_eq!(of(&span).unwrap(), expected);
        span.in_scope(|| drop(spans::chat("p", "m")));
        fail(&span, "timeout");
        drop(span);
        drop(spans::invoke_agent(&run(None)));
    });
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["chat m", "invoke_agent Ana", "invoke_agent Ana"]);
    assert_eq!(spans[0].parent_span_id.to_string(), id);
    assert_eq!(spans[1].span_context.span_id().to_string(), id);
    assert_eq!(spans[1].parent_span_id.to_string(), "0000000000000001");
    assert_eq!(spans[1].links.len(), 2);
    assert_ne!(spans[2].span_context.span_id().to_string(), id, "it is used once");
    assert!(spans.iter().all(|span| span.span_context.trace_id().to_string() == TRACE));
}

#[test]
fn nobody_begins_a_trace_where_none_is_recorded() {
    let spans = told(|| {
        assert!(spans::send(SENDING).is_disabled());
        assert!(spans::send_because(SENDING, [].iter()).is_disabled());
        let handled = spans::process("q", 3, [].iter());
        assert_eq!(of(&handled), None);
        handled.in_scope(|| {
            assert!(spans::send(SENDING).is_disabled());
            assert_eq!(current(), None);
        });
    });
    assert!(spans.is_empty(), "{spans:?}");
}

#[test]
fn a_batch_of_several_is_linked_and_one_of_one_goes_on() {
    let other = "1af7651916cd43dd8448eb211c80319c";
    let causes = [cause(TRACE, 1), cause(other, 2)];
    let spans = told(|| {
        drop(spans::process("q", 2, causes.iter()));
        drop(spans::process("q", 1, causes[..1].iter()));
        drop(spans::send_because(SENDING, causes.iter()));
    });
    let traces: Vec<String> =
        spans.iter().map(|span| span.span_context.trace_id().to_string()).collect();
    assert!(![TRACE, other].contains(&traces[0].as_str()));
    assert_eq!(traces[1..], [TRACE, TRACE]);
    let links: Vec<usize> = spans.iter().map(|span| span.links.len()).collect();
    assert_eq!(links, [2, 0, 2]);
    let kinds: Vec<SpanKind> = spans.iter().map(|span| span.span_kind.clone()).collect();
    assert_eq!(kinds, [SpanKind::Consumer, SpanKind::Consumer, SpanKind::Producer]);
    assert_eq!(spans[2].name, "send x:a.b");
}

/// What a caller says of itself, and whether it wants to be recorded.
fn caller(flags: TraceFlags) -> Context {
    let (trace, state) =
        (TraceId::from_hex(TRACE).unwrap(), TraceState::from_key_value([("a", "1")]));
    let caller = SpanContext::new(trace, SpanId::from(7), flags, true, state.unwrap());
    Context::new().with_remote_span_context(caller)
}

/// The spans of a request of that caller.
fn recorded(roots: Sampler, flags: TraceFlags, callers: Callers) -> Vec<SpanData> {
    told_of(roots, || called(&tracing::info_span!("request"), caller(flags), callers))
}

#[test]
fn a_stranger_decides_neither_the_trace_nor_whether_it_is_recorded() {
    let (yes, no) = (TraceFlags::SAMPLED, TraceFlags::NOT_SAMPLED);
    for wanted in [yes, no] {
        assert_eq!(recorded(Sampler::AlwaysOff, wanted, Callers::Linked).len(), 0);
        let spans = recorded(Sampler::AlwaysOn, wanted, Callers::Linked);
        let [span] = spans.as_slice() else { panic!("one span, not {spans:?}") };
        assert_ne!(span.span_context.trace_id().to_string(), TRACE);
        assert_eq!(span.parent_span_id, SpanId::INVALID);
        let [link] = &span.links[..] else { panic!("one link, not {:?}", span.links) };
        assert_eq!(link.span_context.trace_id().to_string(), TRACE);
        assert_eq!(link.span_context.span_id(), SpanId::from(7));
        assert_eq!(link.span_context.trace_state().header(), "");
    }
}

#[test]
fn a_caller_who_is_trusted_decides_both() {
    let spans = recorded(Sampler::AlwaysOff, TraceFlags::SAMPLED, Callers::Trusted);
    let [span] = spans.as_slice() else { panic!("one span, not {spans:?}") };
    assert_eq!(span.span_context.trace_id().to_string(), TRACE);
    assert_eq!((span.parent_span_id, span.links.len()), (SpanId::from(7), 0));
    assert_eq!(recorded(Sampler::AlwaysOn, TraceFlags::NOT_SAMPLED, Callers::Trusted).len(), 0);
}

#[test]
fn who_names_no_trace_is_linked_with_none() {
    for callers in [Callers::Linked, Callers::Trusted] {
        let spans = told(|| called(&tracing::info_span!("request"), Context::new(), callers));
        let [span] = spans.as_slice() else { panic!("one span, not {spans:?}") };
        assert_eq!((span.parent_span_id, span.links.len()), (SpanId::INVALID, 0));
    }
}
