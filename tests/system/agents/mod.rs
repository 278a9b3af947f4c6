//! Agents with tools: what they survive, what they put up with, and what they never tell.
//!
//! * `fault`: their runners are killed.
//! * `hostile`: their models misbehave.
//! * `injection`: their models were talked into something.
//! * `canaries`: what they know and must keep to themselves.
//! * `event_webhooks`: those who want to be told of everything are.
//!
//! `tap` hears everything that is published meanwhile.

mod canaries;
mod event_webhooks;
mod fault;
mod hostile;
mod injection;
mod tap;

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use recado_testkit::app::{Builder, TestApp};
use recado_testkit::model::Model;
use recado_testkit::stub::Stub;
use recado_testkit::wait_for;
use serde_json::{Value, json};

use crate::support::{Answer, Failure, MODEL_KEY, SOON};

/// The secret that all providers of a desk are paid with.
const MODEL_KEY_NAME: &str = "MODEL_KEY";

/// A system whose agents ask stubs, and an address that their answers go to.
struct Desk {
    app: TestApp,
    n_providers: AtomicUsize,
}

/// What a tool that is posted JSON is configured with, `more` laid over it.
fn posting(tool: &Stub, path: &str, parameters: &Value, more: &Value) -> Value {
    let config = json!({
        "method": "POST", "url": format!("{}{path}", tool.url()), "parameters": parameters,
    });
    with(config, more)
}

/// An object with the fields of another in place of its own.
fn with(mut object: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    object
}

impl Desk {
    async fn open(system: Builder) -> Result<Self, Failure> {
        Self::open_with_key(system, MODEL_KEY).await
    }

    async fn open_with_key(system: Builder, key: &str) -> Result<Self, Failure> {
        let app = system.start().await?;
        app.management().create_secret(MODEL_KEY_NAME, key).await?;
        Ok(Self { app, n_providers: AtomicUsize::new(0) })
    }

    /// An agent that asks `model`, which costs a dollar for a thousand tokens; `more` is what else
    /// the API takes.
    async fn agent(&self, model: &Model, more: &Value) -> anyhow::Result<String> {
        self.agent_by("openai_compatible", model, more).await
    }

    /// The same, with a provider of this kind.
    async fn agent_by(&self, kind: &str, model: &Model, more: &Value) -> anyhow::Result<String> {
        let name = format!("provider{}", self.n_providers.fetch_add(1, Ordering::Relaxed));
        let price = json!({"input_per_million_usd": 1_000.0, "output_per_million_usd": 1_000.0});
        let provider = json!({
            "name": name, "kind": kind, "base_url": model.base_url(),
            "secret_ref": MODEL_KEY_NAME, "prices": {"large": price},
        });
        self.app.management().post("/api/providers", &provider).await?;
        let agent = json!({
            "name": format!("Agent of {name}"), "model": format!("{name}.large"),
            "system_prompt": "You help.",
        });
        self.app.management().create_agent_with(&with(agent, more)).await
    }

    async fn tool(&self, name: &str, config: &Value) -> anyhow::Result<String> {
        self.app.management().create_tool(name, "", "http", config).await
    }

    /// A trigger that takes a text as `text` and a context as `context`, each message a session of
    /// its own. `execution` is laid over how it executes.
    async fn trigger(&self, agent: &str, execution: &Value) -> anyhow::Result<String> {
        let config = json!({
            "auth": {"type": "none"},
            "query_extraction": {"mode": "field", "field": "text"},
            "context_mapping": {"requesterId": "$.requesterId"},
            "session_strategy": {"mode": "ephemeral"},
            "execution": with(json!({"mode": "async"}), execution),
        });
        Ok(self.app.management().create_trigger(agent, "Desk", &config).await?.id)
    }

    /// Posts a message, and answers which execution it is in.
    async fn post(&self, trigger: &str, payload: &Value) -> anyhow::Result<String> {
        let answer = Answer::of(self.app.post_webhook(trigger, payload).await?).await?;
        ensure!(answer.status == 202, "{payload} was answered {answer:?}");
        let id = answer.json()?["execution_id"].as_str().map(str::to_owned);
        id.context("without a buffer it is certain which execution it is")
    }

    /// Waits for the end of an execution and of its delivery, and answers its details.
    async fn end_of(&self, trigger: &str, execution: &str) -> anyhow::Result<Value> {
        wait_for(&format!("the end of execution {execution}"), SOON, async || {
            let detail = self.app.management().execution(trigger, execution).await.ok()?;
            let deliveries = detail["deliveries"].as_array()?;
            let is_delivered = deliveries.iter().all(|delivery| delivery["status"] != "pending");
            (!detail["execution"]["finished_at"].is_null() && is_delivered).then_some(detail)
        })
        .await
    }

    /// Says `text`, and answers the details of the execution when it has ended.
    async fn ask(&self, trigger: &str, text: &str) -> anyhow::Result<Value> {
        let execution = self.post(trigger, &json!({"text": text})).await?;
        self.end_of(trigger, &execution).await
    }
}

/// A callback to `sink` that tells the answer.
fn callback(sink: &Stub) -> Value {
    let url = format!("{}/answers", sink.url());
    json!({"url": url, "body_template": {"answer": "{{agent_response}}"}})
}

/// What `sink` was told, in order.
fn answers(sink: &Stub) -> Vec<String> {
    let told = sink.received().into_iter().filter_map(|received| received.json());
    told.filter_map(|body| body["answer"].as_str().map(str::to_owned)).collect()
}

/// Status and error code of an execution.
fn end(detail: &Value) -> (&str, Option<&str>) {
    let execution = &detail["execution"];
    (execution["status"].as_str().unwrap_or_default(), execution["error_code"].as_str())
}

/// What an execution's tool calls have come to, in order: status and what the model was told.
fn calls(detail: &Value) -> Vec<(&str, &str)> {
    let calls = detail["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    calls
        .iter()
        .map(|call| {
            let told = call["tool_output"].as_str().unwrap_or_default();
            (call["status"].as_str().unwrap_or_default(), told)
        })
        .collect()
}
