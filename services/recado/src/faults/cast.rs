//! Who takes part in a row: a tenant of its own, its agents and triggers, whoever is called back.

use std::time::Duration;

use recado_testkit::app::{Management, NewTrigger, TestApp};
use recado_testkit::callback::Sink;
use recado_testkit::stub::Fault;
use recado_testkit::tool::Tool;
use serde_json::{Value, json};

use super::ticking::Ticking;

/// How long receivers take as a rule: at any time some are asked and have not answered.
const IN_DOUBT: Duration = Duration::from_millis(40);

/// One turn that calls the tool, one that says what the user said.
const SCRIPT: &str = "call: note {\"text\": \"$input\"}\n---\nsay: $input";

/// A tenant with everything that its load needs.
pub(super) struct Cast {
    pub(super) management: Management,
    /// Keeps every callback.
    pub(super) sink: Sink,
    /// What scripted agents call.
    pub(super) tool: Tool,
    /// Executed at once.
    pub(super) direct: NewTrigger,
    /// Gathered for a while, answered in chunks.
    pub(super) buffered: NewTrigger,
    /// Answered by an agent that calls a tool first.
    pub(super) scripted: NewTrigger,
    /// Fires by itself.
    pub(super) ticking: Ticking,
}

impl Cast {
    pub(super) async fn make(app: &TestApp) -> anyhow::Result<Self> {
        let management = app.another_tenant().await?;
        let sink = Sink::start();
        sink.fail_always(Fault::Delay(IN_DOUBT));
        let tool = Tool::answering([("/note", json!({"noted": true}))]);
        let echo = management.create_agent("Echo", "builtin.echo", "").await?;
        let scripted = scripted_agent(&management, &tool).await?;
        let answered = answered(&sink.url());
        let direct = management.create_trigger(&echo, "Direct", &answered).await?;
        let buffered = management.create_trigger(&echo, "Buffered", &buffered(&answered)).await?;
        let scripted = management.create_trigger(&scripted, "Scripted", &answered).await?;
        let ticking = Ticking::start(&management, &echo).await?;
        Ok(Self { management, sink, tool, direct, buffered, scripted, ticking })
    }

    /// The ids of those that are posted to.
    pub(super) fn triggers(&self) -> [&str; 3] {
        [&self.direct.id, &self.buffered.id, &self.scripted.id]
    }

    /// How many requests have come out of the system so far.
    pub(super) fn n_asked(&self) -> usize {
        self.sink.count() + self.tool.count()
    }

    /// Receivers are as they usually are.
    pub(super) fn heal(&self) {
        self.sink.heal();
        self.sink.fail_always(Fault::Delay(IN_DOUBT));
    }
}

async fn scripted_agent(management: &Management, tool: &Tool) -> anyhow::Result<String> {
    let config = json!({
        "method": "POST",
        "url": format!("{}/note", tool.url()),
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
    });
    let tool = management.create_tool("note", "Notes what was said.", "http", &config).await?;
    let agent = json!({
        "name": "Scripted", "model": "builtin.script", "system_prompt": SCRIPT, "tools": [tool],
    });
    management.create_agent_with(&agent).await
}

/// JSON, signed, with an id, one session per user; called back under `url`.
fn answered(url: &str) -> Value {
    json!({
        "auth": {"type": "signature", "algorithm": "sha256"},
        "idempotency": {"path": "id"},
        "query_extraction": {"mode": "field", "field": "text"},
        "context_mapping": {"userId": "$.userId"},
        "session_strategy": {"mode": "derive", "fields": ["userId"]},
        "execution": {
            "mode": "async",
            "callback": {
                "url": format!("{url}/callback"),
                "method": "POST",
                "content_type": "application/json",
                "body_template": {"session": "{{userId}}", "text": "{{agent_response}}"},
                "timeout_ms": 4_000,
                "retry": {"max_attempts": 10, "initial_delay_ms": 100, "max_delay_ms": 2_000},
            },
        },
    })
}

fn buffered(answered: &Value) -> Value {
    let mut config = answered.clone();
    config["execution"]["message_buffer"] =
        json!({"enabled": true, "window_ms": 300, "max_messages": 8, "concat_separator": "\n\n"});
    config["execution"]["split_config"] = json!({
        "enabled": true, "numbering": true, "max_chunk_size": 100, "max_chunks": 50,
        "chunk_strategy": "paragraph", "inter_chunk_delay_ms": 20,
    });
    config
}
