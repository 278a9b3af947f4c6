//! A real server over both ways, and servers that nobody should have to meet.

mod forward;
mod http;
mod real;

use std::collections::HashMap;

use recado_http::guard::Guard;
use recado_testkit::mcp::everything_script;
use recado_types::LlmCallId;
use recado_types::tool::{ToolKind, ToolSpec};
use serde_json::json;

use super::*;

/// Enough for Node.js to start on a machine that is busy compiling.
const PATIENT: Duration = Duration::from_mins(1);
const IMPATIENT: Duration = Duration::from_millis(300);

/// A tool of a tenant, and what surrounds it.
struct Given {
    servers: Servers,
    spec: McpTool,
    tool: ToolId,
    updated_at: DateTime<Utc>,
    context: Map<String, Value>,
    secrets: Secrets,
    hosts: Hosts,
}

impl Given {
    fn new(config: &Value) -> Self {
        Self::with_commands(config, &[])
    }

    fn with_commands(config: &Value, commands: &[&str]) -> Self {
        let loopback = Guard::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let commands = commands.iter().map(ToString::to_string).collect();
        let ToolSpec::Mcp(spec) = ToolSpec::from_saved(ToolKind::Mcp, config).unwrap() else {
            panic!("a config of an MCP tool is one");
        };
        let secrets = [("token", "hunter2 with spaces"), ("key", "k-3y")];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let context = json!({"tenant": "acme", "host": "127.0.0.1"});
        let Value::Object(context) = context else { panic!("it is an object") };
        Self {
            servers: Servers::new(GuardedClient::new(loopback).unwrap(), commands),
            spec,
            tool: ToolId::from(uuid::Uuid::from_u128(7)),
            updated_at: DateTime::UNIX_EPOCH,
            context,
            secrets: Secrets::from(HashMap::from(secrets)),
            hosts: Hosts::default(),
        }
    }

    fn http(url: &str) -> Self {
        Self::new(&at(url))
    }

    /// `server-everything` as a process.
    fn everything() -> Self {
        let script = everything_script().unwrap();
        let config = json!({
            "transport": "stdio",
            "command": "node",
            "args": [script, "stdio"],
            "env": {"PLAIN": "yes", "SECRET": {"secret_ref": "key"}},
        });
        Self::with_commands(&config, &["node"])
    }

    async fn connect(&self) -> Result<McpServer, McpError> {
        self.connect_within(PATIENT).await
    }

    async fn connect_within(&self, patience: Duration) -> Result<McpServer, McpError> {
        let connecting = Connecting {
            tenant: TenantId::from(uuid::Uuid::from_u128(1)),
            tool: self.tool,
            updated_at: self.updated_at,
            spec: &self.spec,
            context: &self.context,
            secrets: &self.secrets,
            hosts: &self.hosts,
            patience,
        };
        connect(&self.servers, &connecting).await
    }
}

fn at(url: &str) -> Value {
    json!({"transport": "streamable_http", "url": url})
}

fn a_key() -> ToolCallId {
    ToolCallId::derived(LlmCallId::from(uuid::Uuid::from_u128(9)), 0)
}

async fn call(server: &McpServer, name: &str, args: Value) -> Result<McpAnswer, McpError> {
    call_within(PATIENT, server, name, args).await
}

async fn call_within(
    patience: Duration,
    server: &McpServer,
    name: &str,
    args: Value,
) -> Result<McpAnswer, McpError> {
    let Value::Object(args) = args else { panic!("arguments have names") };
    server.call(name, args, a_key(), patience).await
}
