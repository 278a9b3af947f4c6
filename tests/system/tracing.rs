//! One trace from the webhook to the callback, whoever works on it, as a collector sees it.

use anyhow::Context;
use recado_testkit::app::{Builder, Role, TestApp};
use recado_testkit::callback::Sink;
use recado_testkit::model::{Model, Turn, Usage};
use recado_testkit::otlp::{Collector, Span};
use recado_testkit::sql;
use recado_testkit::tool::Tool;
use serde_json::{Value, json};

use crate::support::{Answer, MODEL_KEY, SOON, Story, echo, ended, system, thinker};

const TEXT: &str = "canary-text-of-the-traces";
const QUERY: &str = "canary-query-of-the-callback";
const SENDER: &str = "+5511987650177";

/// The span in which a caller is.
const CALLER: &str = "00f067aa0ba902b7";

/// The trace of the nth caller, and a `traceparent` that says so.
fn caller(n: u8, flags: &str) -> (String, String) {
    let trace = format!("{n:032x}");
    let parent = format!("00-{trace}-{CALLER}-{flags}");
    (trace, parent)
}

/// A system whose roles tell a collector of everything.
struct Watched {
    app: TestApp,
    collector: Collector,
}

impl Watched {
    async fn start() -> anyhow::Result<Self> {
        Self::by(system()).await
    }

    async fn trusting_callers() -> anyhow::Result<Self> {
        Self::by(system().env("RECADO_TRUST_TRACEPARENT", "true")).await
    }

    async fn by(system: Builder) -> anyhow::Result<Self> {
        let collector = Collector::start();
        let app = system
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
            .env("OTEL_BSP_SCHEDULE_DELAY", "100")
            .start()
            .await?;
        Ok(Self { app, collector })
    }

    async fn trigger(&self, agent: &str, execution: Value) -> anyhow::Result<String> {
        let config = json!({
            "auth": {"type": "none"},
            "query_extraction": {"mode": "field", "field": "text"},
            "context_mapping": {"phoneNumber": "$.from"},
            "session_strategy": {"mode": "derive", "fields": ["from"]},
            "execution": execution,
        });
        Ok(self.app.management().create_trigger(agent, "Traced", &config).await?.id)
    }

    async fn post(&self, trigger: &str, parent: &str) -> anyhow::Result<Answer> {
        let request = self.app.webhook(0, trigger)?.header("traceparent", parent);
        let message = json!({"text": TEXT, "from": SENDER});
        Ok(Answer::of(request.json(&message).send().await?).await?)
    }

    /// The span of that name below another one.
    async fn below(&self, parent: &Span, name: &str) -> anyhow::Result<Span> {
        let what = format!("`{name}` below `{}`", parent.name);
        let is_it = |span: &Span| {
            (&span.trace_id, &span.parent) == (&parent.trace_id, &parent.id) && span.name == name
        };
        self.collector.span(&what, SOON, is_it).await
    }

    /// The span of a stranger's webhook in ingress, and that of what it published.
    async fn webhook(&self, caller: &str, sent: &str) -> anyhow::Result<(Span, Span)> {
        let link = (caller.to_owned(), CALLER.to_owned());
        let server = self.server(|span| span.links.contains(&link)).await?;
        assert_eq!((server.parent.as_str(), server.links.len()), ("", 1));
        assert_ne!(server.trace_id, caller, "the caller does not choose our trace");
        let sent = self.below(&server, sent).await?;
        Ok((server, sent))
    }

    /// The same of a caller who is trusted, and whose trace goes on.
    async fn trusted_webhook(&self, caller: &str, sent: &str) -> anyhow::Result<(Span, Span)> {
        let server = self.server(|span| span.trace_id == caller).await?;
        assert_eq!((server.parent.as_str(), server.links.len()), (CALLER, 0));
        let sent = self.below(&server, sent).await?;
        Ok((server, sent))
    }

    async fn server(&self, wanted: impl Fn(&Span) -> bool) -> anyhow::Result<Span> {
        let name = "POST /api/triggers/webhook/{id}";
        let is_it = |span: &Span| span.kind == "server" && wanted(span);
        let server = self.collector.span("the webhook", SOON, is_it).await?;
        assert_eq!((server.name.as_str(), server.service.as_str()), (name, "recado-ingress"));
        Ok(server)
    }
}

/// That a span is what it should be.
fn assert_is(span: &Span, service: &str, kind: &str, attributes: &[(&str, &str)]) {
    assert_eq!((span.service.as_str(), span.kind), (service, kind), "{span:?}");
    for (name, value) in attributes {
        assert_eq!(span.attribute(name), *value, "{name} of {span:?}");
    }
}

/// That there are a span of the model's answer below a run's, and one of the request below that.
async fn assert_model_was_asked(watched: &Watched, run: &Span) -> anyhow::Result<()> {
    let chat = watched.below(run, "chat gpt-4.1").await?;
    assert_is(
        &chat,
        "recado-agent-runner",
        "client",
        &[
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "gpt-4.1"),
            ("gen_ai.usage.input_tokens", "850"),
            ("gen_ai.usage.output_tokens", "400"),
        ],
    );
    let asked = watched.below(&chat, "POST").await?;
    assert_is(
        &asked,
        "recado-agent-runner",
        "client",
        &[
            ("http.request.method", "POST"),
            ("http.response.status_code", "200"),
            ("server.address", "127.0.0.1"),
        ],
    );
    Ok(())
}

/// That the log lines of an execution say which one it is, and some of them in which span.
fn assert_logs_know(app: &TestApp, execution: &str, trace: &str) -> anyhow::Result<()> {
    for role in [Role::AgentRunner, Role::Delivery] {
        let log = app.whole_log(role, 0)?;
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of_it: Vec<Value> = lines.filter(|line| line["execution.id"] == execution).collect();
        assert!(!of_it.is_empty(), "{role} says nothing of the execution:\n{log}");
        let in_trace = |line: &&Value| line["trace_id"] == trace;
        assert!(of_it.iter().any(|line| in_trace(&line) && line["span_id"].is_string()), "{role}");
    }
    Ok(())
}

#[tokio::test]
async fn one_trace_leads_from_the_webhook_to_the_callback() -> Story {
    let watched = Watched::start().await?;
    let Watched { app, collector } = &watched;
    let (model, sink, events) = (Model::start(), Sink::start(), Sink::start());
    let tool = Tool::answering([("/find", json!({"found": TEXT}))]);
    model.claim_usage(Usage { prompt_tokens: 850, completion_tokens: 400 });
    model.respond_with(|chat| match chat.turn() {
        0 => Turn::call("find", &json!({"what": chat.input()})),
        _ => Turn::say(chat.input()),
    });
    let find = json!({
        "method": "POST", "url": format!("{}/find", tool.url()),
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}},
    });
    let find = app.management().create_tool("find", "", "http", &find).await?;
    let agent = thinker(app, &model).await?;
    app.management().patch(&format!("/api/agents/{agent}"), &json!({"tools": [find]})).await?;
    let wanted = json!({"name": "audit", "url": events.url(), "agent_id": agent});
    app.management().make_event_endpoint(&wanted).await?;
    let callback = json!({"url": format!("{}/?token={QUERY}", sink.url())});
    let trigger = watched.trigger(&agent, json!({"mode": "async", "callback": callback})).await?;

    // Whether it is recorded is not for the caller to say.
    let (stranger, parent) = caller(1, "00");
    assert_eq!(watched.post(&trigger, &parent).await?.status, 202);
    let sent = "send recado.work:execution.requested";
    let (server, sent) = watched.webhook(&stranger, sent).await?;
    let trace = server.trace_id.clone();
    assert_is(&server, "recado-ingress", "server", &[("http.response.status_code", "202")]);
    let detail = ended(app, &trigger, 1).await?.remove(0);
    let id = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (execution, session) =
        (id(&detail["execution"]["id"]), id(&detail["session"]["session_id"]));
    let destination = "recado.work:execution.requested";
    assert_is(
        &sent,
        "recado-ingress",
        "producer",
        &[
            ("messaging.system", "rabbitmq"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", destination),
            ("messaging.rabbitmq.destination.routing_key", "execution.requested"),
            ("messaging.message.id", execution.as_str()),
        ],
    );
    let admitted = watched.below(&sent, "process agent-runner.executions").await?;
    assert_is(
        &admitted,
        "recado-agent-runner",
        "consumer",
        &[
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "agent-runner.executions"),
        ],
    );

    let run = watched.below(&sent, "invoke_agent Sales Assistant").await?;
    assert_is(
        &run,
        "recado-agent-runner",
        "internal",
        &[
            ("gen_ai.operation.name", "invoke_agent"),
            ("gen_ai.agent.id", agent.as_str()),
            ("gen_ai.conversation.id", session.as_str()),
            ("execution.id", execution.as_str()),
            ("execution.outcome", "success"),
        ],
    );
    assert_model_was_asked(&watched, &run).await?;
    let called = watched.below(&run, "execute_tool find").await?;
    assert_is(&called, "recado-agent-runner", "internal", &[("gen_ai.tool.name", "find")]);
    let tool_request = watched.below(&called, "POST").await?;

    let delivered = watched.below(&run, "deliver").await?;
    assert_is(&delivered, "recado-delivery", "internal", &[("execution.id", execution.as_str())]);
    let attempt = watched.below(&delivered, "attempt").await?;
    assert_is(&attempt, "recado-delivery", "internal", &[("attempt.number", "1")]);
    let callback = watched.below(&attempt, "POST").await?;
    assert_is(&callback, "recado-delivery", "client", &[("http.response.status_code", "200")]);

    let published = watched.below(&run, "send recado.events:objective_event").await?;
    assert_is(&published, "recado-agent-runner", "producer", &[]);
    let told = watched.below(&published, "event.send").await?;
    let event = watched.below(&told, "POST").await?;
    assert_is(&event, "recado-delivery", "client", &[]);

    // Systems of the tenant are told; whoever sells models is not.
    let told = |it: &Span| Some(format!("00-{trace}-{}-01", it.id));
    let header = |stub: &recado_testkit::stub::Stub| {
        let first = stub.received().into_iter().next();
        first.and_then(|received| received.header("traceparent").map(str::to_owned))
    };
    assert_eq!(header(&sink), told(&callback));
    assert_eq!(header(&tool), told(&tool_request));
    assert!(header(&events).is_some_and(|told| told.contains(&trace)));
    assert_eq!(header(&model), None);

    assert_logs_know(app, &execution, &trace)?;
    for span in collector.spans() {
        for secret in [TEXT, QUERY, MODEL_KEY, SENDER.split_at(1).1] {
            assert!(!span.whole.contains(secret), "{secret} is in {span:?}");
        }
    }
    let management = |span: &Span| span.service == "recado-management" && span.kind == "server";
    collector.span("a request to management", SOON, management).await?;
    Ok(watched.app.finish().await?)
}

#[tokio::test]
async fn a_window_goes_on_with_its_first_trace_and_is_linked_with_all() -> Story {
    let watched = Watched::trusting_callers().await?;
    let Watched { app, collector } = &watched;
    let agent = echo(app).await?;
    let sink = Sink::start();
    let buffer = json!({"enabled": true, "window_ms": 60_000, "max_messages": 3});
    let callback = json!({"url": sink.url()});
    let execution = json!({"mode": "async", "message_buffer": buffer, "callback": callback});
    let trigger = watched.trigger(&agent, execution).await?;
    let mut sent = Vec::new();
    for n in 1..=3 {
        let (trace, parent) = caller(n, "01");
        assert_eq!(watched.post(&trigger, &parent).await?.status, 202);
        sent.push(watched.trusted_webhook(&trace, "send recado.work:message.received").await?.1);
    }
    ended(app, &trigger, 1).await?;

    let recorded = watched.below(&sent[0], "process buffer.inbound").await?;
    assert_is(&recorded, "recado-buffer", "consumer", &[]);
    let flushed = watched.below(&sent[0], "send recado.work:execution.requested").await?;
    assert_is(&flushed, "recado-buffer", "producer", &[]);
    let run = watched.below(&flushed, "invoke_agent Echo").await?;
    assert_is(&run, "recado-agent-runner", "internal", &[("execution.n_messages", "3")]);
    let links: Vec<_> = sent.iter().map(|sent| (sent.trace_id.clone(), sent.id.clone())).collect();
    assert_eq!((&flushed.links, &run.links), (&links, &links));
    let delivered = watched.below(&run, "deliver").await?;
    let attempt = watched.below(&delivered, "attempt").await?;
    watched.below(&attempt, "POST").await?;

    // Who waits for the answer sees it come back.
    let sync = watched.trigger(&agent, json!({"mode": "sync"})).await?;
    let (trace, parent) = caller(4, "01");
    assert_eq!(watched.post(&sync, &parent).await?.status, 200);
    let sent = "send recado.work:execution.requested";
    let (_, asked) = watched.trusted_webhook(&trace, sent).await?;
    let run = watched.below(&asked, "invoke_agent Echo").await?;
    let reply = watched.below(&run, "send execution.finished").await?;
    let heard = watched.below(&reply, "process replies").await?;
    assert_is(&heard, "recado-ingress", "consumer", &[]);

    // What fires by itself begins a trace.
    let schedule = json!({
        "schedule": {"cron": "* * * * * *", "payload": "{{scheduled_at}}"},
        "session_strategy": {"mode": "shared"},
    });
    let ticks = json!({
        "name": "Ticks", "agent_id": agent, "trigger_type": "schedule", "trigger_config": schedule,
    });
    let made = app.management().post("/api/triggers", &ticks).await?;
    let ticks = made["data"]["id"].as_str().context("a trigger has an id")?;
    let fired = collector.span("a tick", SOON, |span| span.name == "fire schedule").await?;
    assert_is(&fired, "recado-sources", "internal", &[("source.kind", "schedule")]);
    let sent = watched.below(&fired, "send recado.work:execution.requested").await?;
    watched.below(&sent, "invoke_agent Echo").await?;
    app.management().post(&format!("/api/triggers/{ticks}/disable"), &json!({})).await?;

    // What a caller who is trusted does not want recorded costs nothing.
    let unrecorded = watched.trigger(&agent, json!({"mode": "async"})).await?;
    let (trace, parent) = caller(5, "00");
    assert_eq!(watched.post(&unrecorded, &parent).await?.status, 202);
    let detail = ended(app, &unrecorded, 1).await?.remove(0);
    let id = detail["execution"]["id"].as_str().context("an execution has an id")?;
    let kept = format!(
        "SELECT count(*) FROM executions e JOIN messages m ON m.execution_id = e.id
          WHERE e.id = '{id}' AND coalesce(e.trace_context, e.span_id, m.trace_context) IS NULL"
    );
    assert_eq!(sql::count(&app.database_url(), &kept).await?, 1);
    assert!(
        collector.spans().iter().all(|span| span.trace_id != trace && !span.whole.contains(id))
    );
    Ok(watched.app.finish().await?)
}
