//! Calls over real HTTP: what tools are sent, and what models are told.

mod answers;
mod hostile;
mod opening;
mod requests;

use std::collections::HashMap;
use std::time::Duration;

use chrono::DateTime;
use recado_http::guard::{Guard, GuardedClient};
use recado_store::tools::ToolForRunner;
use recado_types::agent::ApprovalRule;
use recado_types::hosts::{DestinationHosts, HostAllowList};
use recado_types::tool::{ToolKind, ToolSpec};
use recado_types::{LlmCallId, ToolCallId, ToolId};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::hosts::Hosts;
use super::offer::{Offer, Surroundings};
use super::opening::Opened;
use super::scrub::Scrubber;
use super::secrets::Secrets;
use super::{Call, CallOutcome, Prepared, Toolbox};
use crate::ToolRequest;

/// Longer than any call of these tests takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the tool of these tests is called.
const NAME: &str = "crm";

/// A client that may reach this machine.
fn client() -> GuardedClient {
    let loopback = ["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap());
    GuardedClient::new(Guard::new(loopback.to_vec())).unwrap()
}

/// A toolbox with one HTTP tool, to be changed before it is opened.
struct Setup {
    config: Value,
    context: Value,
    secrets: Vec<(&'static str, &'static str)>,
    allowed_hosts: Vec<String>,
    destination_hosts: Vec<String>,
    approval: ApprovalRule,
    max_output_bytes: u32,
}

impl Setup {
    /// A tool with `config`, which may do without `parameters`.
    fn of(mut config: Value) -> Self {
        if config.get("parameters").is_none() {
            config["parameters"] = json!({"type": "object"});
        }
        Self {
            config,
            context: json!({}),
            secrets: Vec::new(),
            allowed_hosts: Vec::new(),
            destination_hosts: Vec::new(),
            approval: ApprovalRule::Never,
            max_output_bytes: 65_536,
        }
    }

    /// A tool that posts its arguments to `url`.
    fn post(url: &str) -> Self {
        Self::of(json!({"method": "POST", "url": url}))
    }

    fn with(mut self, field: &str, value: Value) -> Self {
        self.config[field] = value;
        self
    }

    fn knowing(mut self, context: Value) -> Self {
        self.context = context;
        self
    }

    fn secret(mut self, name: &'static str, value: &'static str) -> Self {
        self.secrets.push((name, value));
        self
    }

    fn bearer(self, value: &'static str) -> Self {
        self.with("auth", json!({"type": "bearer", "secret_ref": "KEY"})).secret("KEY", value)
    }

    fn open(self) -> Toolbox {
        let tool = match ToolSpec::from_saved(ToolKind::Http, &self.config) {
            Ok(ToolSpec::Http(tool)) => tool,
            other => panic!("{other:?}"),
        };
        let secrets = self.secrets.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let secrets = Secrets::from(secrets.collect::<HashMap<String, String>>());
        let context = object(self.context);
        let scrubber = Scrubber::new(&context, &secrets);
        let hosts = Hosts {
            led: HostAllowList::of(&self.allowed_hosts),
            destinations: DestinationHosts::of(&self.destination_hosts),
        };
        let surroundings = Surroundings::new(client(), &context, secrets, hosts);
        let found = tool_for_runner(ToolKind::Http, self.config);
        let offer = Offer::http(&found, &self.approval, tool);
        let opened = Opened { offers: vec![offer], away: Vec::new() };
        Toolbox::new(opened, surroundings, scrubber, self.max_output_bytes)
    }
}

fn tool_id() -> ToolId {
    ToolId(Uuid::from_u128(7))
}

fn tool_for_runner(kind: ToolKind, config: Value) -> ToolForRunner {
    ToolForRunner {
        id: tool_id(),
        name: NAME.into(),
        description: "Finds things.".into(),
        kind,
        config,
        agent: None,
        updated_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
    }
}

fn key() -> ToolCallId {
    ToolCallId::derived(LlmCallId(Uuid::from_u128(8)), 0)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("no object: {other}"),
    }
}

fn asks(arguments: &str) -> ToolRequest {
    ToolRequest { id: "call_1".into(), name: NAME.into(), arguments: arguments.into() }
}

fn ready(toolbox: &Toolbox, arguments: &str) -> Call {
    match toolbox.prepare(&asks(arguments)) {
        Prepared::Ready(call) => call,
        Prepared::Refused { message, .. } => panic!("refused: {message}"),
    }
}

/// Why the request is refused.
fn refused(toolbox: &Toolbox, arguments: &str) -> String {
    match toolbox.prepare(&asks(arguments)) {
        Prepared::Refused { message, .. } => message,
        Prepared::Ready(call) => panic!("not refused: {call:?}"),
    }
}

async fn called(toolbox: &Toolbox, arguments: Value) -> CallOutcome {
    let call = ready(toolbox, &arguments.to_string());
    toolbox.call(&call, key(), PATIENCE).await
}
