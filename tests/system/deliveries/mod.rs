//! Answers on their way to receivers that fail, vanish, lie or come back.
//!
//! * `sequence`: chunk after chunk, through Twilio.
//! * `kills`: the process that sends them is killed at any moment.
//! * `hostile`: receivers that keep to no rules.
//! * `destinations`: one that is dead beside others that work, and that comes back.
//! * `redelivery`: sent again, because somebody asks for it.
//! * `signed`: what one signs, another one takes.
//! * `allowed`: where they may go at all.
//! * `whatsapp`: what a long answer in Markdown looks like on a phone.

mod allowed;
mod destinations;
mod hostile;
mod kills;
mod redelivery;
mod sequence;
mod signed;
mod whatsapp;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use recado_testkit::app::{Management, TestApp};
use recado_testkit::wait_for;
use serde_json::{Value, json};

use crate::support::{Answer, SOON};

/// Four paragraphs of which no two fit into one chunk.
fn four_paragraphs() -> [String; 4] {
    ["one", "two", "three", "four"].map(|n| format!("{n}{}", " and so on".repeat(7)))
}

/// A split that cuts [`four_paragraphs`] into four.
fn in_four() -> Value {
    json!({
        "enabled": true, "numbering": false, "max_chunk_size": 100, "chunk_strategy": "paragraph",
        "inter_chunk_delay_ms": 0,
    })
}

/// A trigger of an agent that repeats what it is told, and the callback that carries the answers:
/// `{"to": who wrote, "text": the answer}`. Whoever writes has a session.
#[derive(Clone, Debug)]
struct Line {
    management: Management,
    trigger: String,
}

impl Line {
    /// One of the tenant that came with the system; `callback` is laid over the usual one.
    async fn open(app: &TestApp, callback: &Value) -> anyhow::Result<Self> {
        Self::open_for(app.management(), callback, &Value::Null).await
    }

    /// One of any tenant, with this `split_config`.
    async fn open_for(
        management: &Management,
        callback: &Value,
        split: &Value,
    ) -> anyhow::Result<Self> {
        let agent = management.create_agent("Echo", "builtin.echo", "").await?;
        let mut with = json!({
            "body_template": {"to": "{{who}}", "text": "{{agent_response}}"},
            "timeout_ms": 1_000,
            "retry": {"max_attempts": 2, "initial_delay_ms": 100, "max_delay_ms": 200},
        });
        for (field, value) in callback.as_object().into_iter().flatten() {
            with[field] = value.clone();
        }
        let mut execution = json!({"mode": "async", "callback": with});
        if !split.is_null() {
            execution["split_config"] = split.clone();
        }
        let config = json!({
            "auth": {"type": "none"},
            "query_extraction": {"mode": "field", "field": "text"},
            "context_mapping": {"who": "$.who"},
            "session_strategy": {"mode": "derive", "fields": ["who"]},
            "execution": execution,
        });
        let trigger = management.create_trigger(&agent, "Line", &config).await?.id;
        Ok(Self { management: management.clone(), trigger })
    }

    /// Writes as `who`, and gives the execution that answers.
    async fn say(&self, app: &TestApp, who: &str, text: &str) -> anyhow::Result<String> {
        let message = json!({"who": who, "text": text});
        let answer = Answer::of(app.post_webhook(&self.trigger, &message).await?).await?;
        ensure!(answer.status == 202, "{text:?} was answered {answer:?}");
        let accepted = answer.json()?;
        Ok(accepted["execution_id"].as_str().context("it is certain which it is")?.to_owned())
    }

    /// The delivery of an execution, as soon as there is one.
    async fn delivery(&self, execution: &str) -> anyhow::Result<String> {
        let path = format!("/api/deliveries?execution_id={execution}");
        wait_for(&format!("a delivery of execution {execution}"), SOON, async || {
            let listed = self.management.get(&path).await.ok()?;
            listed["data"][0]["id"].as_str().map(str::to_owned)
        })
        .await
    }

    /// The details of a delivery, when it has ended.
    async fn end_of(&self, delivery: &str) -> anyhow::Result<Value> {
        wait_for(&format!("the end of delivery {delivery}"), SOON, async || {
            let detail = self.management.delivery(delivery).await.ok()?;
            (detail["status"] != "pending").then_some(detail)
        })
        .await
    }

    /// The details of an execution's delivery, when it has ended.
    async fn outcome(&self, execution: &str) -> anyhow::Result<Value> {
        self.end_of(&self.delivery(execution).await?).await
    }

    /// Writes, and answers how long it took until the answer had arrived.
    async fn round_trip(&self, app: &TestApp, who: &str) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let outcome = self.outcome(&self.say(app, who, "hello").await?).await?;
        ensure!(outcome["status"] == "delivered", "{outcome}");
        Ok(started.elapsed())
    }

    /// How many deliveries there are of a status; one page at most.
    async fn n_deliveries(&self, status: &str) -> anyhow::Result<usize> {
        let path = format!("/api/deliveries?trigger_id={}&status={status}&limit=100", self.trigger);
        Ok(self.management.get(&path).await?["data"].as_array().map_or(0, Vec::len))
    }
}

/// What the chunks of a delivery have come to.
fn statuses(delivery: &Value) -> Vec<&str> {
    let chunks = delivery["chunks"].as_array().into_iter().flatten();
    chunks.filter_map(|chunk| chunk["status"].as_str()).collect()
}

/// Status and error code of a delivery.
fn end(delivery: &Value) -> (&str, Option<&str>) {
    (delivery["status"].as_str().unwrap_or_default(), delivery["error_code"].as_str())
}
