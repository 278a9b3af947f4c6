//! Those who want to be told of everything that agents do: every event reaches them at least once,
//! signed, under one id, whatever dies on the way.
//!
//! * `telling`: what they are told, when they want no more, and when their secret changes.
//! * `faults`: something dies in the middle.
//! * `secrecy`: what events and callbacks are signed with is known to nobody else.

mod faults;
mod secrecy;
mod telling;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use recado_testkit::app::{Builder, Management};
use recado_testkit::callback::Sink;
use recado_testkit::model::{Model, Turn};
use recado_testkit::stub::Received;
use recado_testkit::tool::Tool;
use recado_testkit::wait_for;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::{Desk, posting};
use crate::support::{Failure, SOON};

/// What happens in an execution of the [`Office`], in this order.
const WHOLE: [&str; 5] =
    ["user_message", "assistant_message", "tool_called", "tool_result", "assistant_message"];

/// An agent with a tool, and somebody who is told of its events.
struct Office {
    desk: Desk,
    model: Model,
    tool: Tool,
    listener: Listener,
    trigger: String,
}

/// An address that events are sent to, as its owner knows it.
struct Listener {
    sink: Sink,
    endpoint: String,
    secret: String,
}

/// An event as it arrived.
#[derive(Clone, Debug)]
struct Told {
    /// `webhook-id`.
    id: String,
    /// Without `objective_event.`.
    kind: String,
    /// The execution, as its objective's id.
    objective: String,
    body: String,
}

impl Office {
    async fn open(system: Builder) -> Result<Self, Failure> {
        let desk = Desk::open(system).await?;
        let (model, tool) = (Model::start(), Tool::answering([("/find", json!({"found": 3}))]));
        model.respond_with(|chat| match chat.turn() {
            0 => Turn::call("find", &json!({"what": chat.input()})),
            _ => Turn::say(format!("found: {}", chat.input())),
        });
        let parameters = json!({"type": "object", "properties": {"what": {"type": "string"}}});
        let find = desk.tool("find", &posting(&tool, "/find", &parameters, &json!({}))).await?;
        let agent = desk.agent(&model, &json!({"tools": [find]})).await?;
        let listener = Listener::of(desk.app.management(), &agent).await?;
        let trigger = desk.trigger(&agent, &json!({})).await?;
        Ok(Self { desk, model, tool, listener, trigger })
    }

    /// Has the agent do something, and gives the execution.
    async fn begin(&self, text: &str) -> anyhow::Result<String> {
        self.desk.post(&self.trigger, &json!({"text": text})).await
    }

    /// The same, and waits until the listener was told of all of it.
    async fn told_of(&self, text: &str) -> anyhow::Result<Vec<Told>> {
        let n_told = self.listener.heard().len();
        let execution = self.begin(text).await?;
        self.desk.end_of(&self.trigger, &execution).await?;
        self.listener.until_told(n_told + WHOLE.len()).await?;
        Ok(self.listener.heard().split_off(n_told))
    }
}

impl Listener {
    /// One for the events of an agent.
    async fn of(management: &Management, agent: &str) -> anyhow::Result<Self> {
        let sink = Sink::start();
        let url = format!("{}/events", sink.url());
        let wanted = json!({"name": "audit", "url": url, "agent_id": agent});
        let made = management.make_event_endpoint(&wanted).await?;
        Ok(Self { sink, endpoint: made.id, secret: made.secret })
    }

    fn path(&self) -> String {
        format!("/api/event-endpoints/{}", self.endpoint)
    }

    /// What it took, in the order in which it came, repetitions included.
    fn heard(&self) -> Vec<Told> {
        let received = self.sink.received();
        received.iter().filter(|received| received.succeeded()).map(Told::of).collect()
    }

    /// Waits until it took so many requests.
    async fn until_told(&self, n: usize) -> anyhow::Result<()> {
        let told = async || (self.heard().len() >= n).then_some(());
        wait_for(&format!("{n} events"), SOON, told).await
    }

    /// Waits until it was told of everything that happened in each of `n` executions.
    async fn until_told_of(&self, n: usize) -> anyhow::Result<()> {
        let is_told_of = async || {
            let told = by_execution(&self.heard());
            let n_whole = told.values().filter(|told| told.len() == WHOLE.len()).count();
            (n_whole >= n).then_some(())
        };
        wait_for(&format!("all events of {n} executions"), SOON, is_told_of).await
    }
}

/// The different events of each execution, in the order in which they came first.
fn by_execution(told: &[Told]) -> BTreeMap<String, Vec<Told>> {
    let mut known = BTreeSet::new();
    let mut executions: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for told in told {
        if known.insert(told.id.clone()) {
            executions.entry(told.objective.clone()).or_default().push(told.clone());
        }
    }
    executions
}

fn kinds(told: &[Told]) -> Vec<&str> {
    told.iter().map(|told| told.kind.as_str()).collect()
}

impl Told {
    fn of(received: &Received) -> Self {
        let body = received.json().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            id: received.header("webhook-id").unwrap_or_default().to_owned(),
            kind: text(&body["type"]).replace("objective_event.", ""),
            objective: text(&body["data"]["objective"]["id"]),
            body: received.text(),
        }
    }
}

/// Whether the library of Standard Webhooks takes a request for genuine.
fn is_genuine(received: &Received, secret: &str) -> anyhow::Result<bool> {
    let mut headers = HeaderMap::new();
    for (name, value) in &received.headers {
        headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
    }
    Ok(Webhook::new(secret)?.verify(&received.body, &headers).is_ok())
}

/// What a PATCH or a POST of the API gives.
async fn change(
    management: &Management,
    method: Method,
    path: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let response = management.request(method, path)?.json(body).send().await?;
    let (status, mut answer) = (response.status(), response.json::<Value>().await?);
    ensure!(status.is_success(), "{path} answered {status}: {answer}");
    answer.get_mut("data").map(Value::take).context("an answer without data")
}
