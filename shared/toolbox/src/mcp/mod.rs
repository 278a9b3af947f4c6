//! MCP servers: tools that speak the Model Context Protocol, over streamable HTTP or stdio.
//!
//! What is promised, whatever a server does:
//!
//! * over HTTP it is reached through the guard, without redirects; as a process it is one of the
//!   programs that the operator lists, with an environment of its own, and it dies with the
//!   connection, together with everything it started;
//! * listing and calling end within their time, lists and answers are cut to their limits, and a
//!   call that nobody waits for any more is cancelled;
//! * a server gets no answer to what it asks for of its own accord, but that there is none;
//! * nothing that it says, and nothing secret that it is sent, reaches a log or an error.
//!
//! Connecting costs several round trips or a process, so connections are shared (`pool`): by
//! executions whose tool, address, headers, environment and secrets are the same.
//!
//! * `destination`: where a server is, with everything filled in.
//! * `pool`, `connection`, `usage`: which connection, and how long it lives.
//! * `streamable_http`, `stdio`, `restrained`: the ways there.
//! * `listing`, `answer`: what comes back.

mod answer;
mod connection;
mod destination;
mod error;
mod listing;
mod pool;
mod restrained;
mod stdio;
mod streamable_http;
#[cfg(test)]
mod tests;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_http::guard::GuardedClient;
use recado_types::tool::McpTool;
use recado_types::{TenantId, ToolCallId, ToolId};
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};

pub(super) use self::error::McpError;

use self::connection::Limits;
use self::destination::Destination;
use self::pool::{Held, Key, Pool};
use super::hosts::Hosts;
use super::secrets::Secrets;

/// How many tools of one server are offered; models take no more.
const MOST_OFFERED: usize = 128;

/// After how long a server that was away is tried once more.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Who waited this long in vain for a server need not be followed by others at once.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// All MCP servers of this process. Clones share connections.
#[derive(Clone)]
pub(crate) struct Servers {
    pool: Arc<Pool>,
    stdio_commands: Vec<String>,
}

/// Everything that a connection depends on.
pub(super) struct Connecting<'a> {
    /// For the log.
    pub(super) tenant: TenantId,
    /// Whose connection it is.
    pub(super) tool: ToolId,
    /// Moves with every change of the tool.
    pub(super) updated_at: DateTime<Utc>,
    /// What the tool is.
    pub(super) spec: &'a McpTool,
    /// What fills the address, the headers and the environment.
    pub(super) context: &'a Map<String, Value>,
    /// By the names in `spec`.
    pub(super) secrets: &'a Secrets,
    /// Where the server may be.
    pub(super) hosts: &'a Hosts,
    /// The longest that connecting and listing the tools may take.
    pub(super) patience: Duration,
}

/// A server as one execution sees it. Its connection stays open for as long as this lives, and is
/// replaced if it breaks.
pub(super) struct McpServer {
    pool: Arc<Pool>,
    key: Key,
    limits: Limits,
    tools: Vec<McpToolInfo>,
    held: Held,
}

/// A tool of a server.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct McpToolInfo {
    /// The server's own name for it.
    pub(super) name: String,
    /// The beginning of the server's description, not scrubbed; at most 16 KiB.
    pub(super) description: String,
    /// Whether the description is longer.
    pub(super) description_was_cut: bool,
    /// Kept to the rules for schemas of our own tools; `{"type": "object"}` where it did not.
    pub(super) input_schema: Value,
}

/// What a tool said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct McpAnswer {
    /// At most the tool's `max_response_bytes`.
    pub(super) text: String,
    /// Whether it is about a failure.
    pub(super) is_error: bool,
    /// Whether it said more.
    pub(super) truncated: bool,
}

impl Servers {
    /// Servers that `client` reaches, and those that are one of `stdio_commands`
    /// (`RECADO_MCP_STDIO_COMMANDS`). Nothing is connected yet.
    pub(crate) fn new(client: GuardedClient, stdio_commands: Vec<String>) -> Self {
        Self { pool: Arc::new(Pool::new(client)), stdio_commands }
    }
}

/// Connects to a server, or shares a connection that is open, and takes note of its tools. A server
/// that is away gets a second chance after a second.
///
/// # Errors
/// Why there are none.
pub(super) async fn connect(
    servers: &Servers,
    connecting: &Connecting<'_>,
) -> Result<McpServer, McpError> {
    let spec = connecting.spec;
    let destination = Destination::of(connecting, &servers.stdio_commands)?;
    let (tool, updated_at) = (connecting.tool, connecting.updated_at);
    let key = Key { tool, updated_at, destination };
    let answer_bytes = usize::try_from(spec.max_response_bytes).unwrap_or(usize::MAX);
    let limits = Limits { answer_bytes };
    let list = async || {
        let held = servers.pool.connection(&key, limits).await?;
        let tools = held.connection.tools().await?;
        Ok((held, tools))
    };
    let listing = async {
        match list().await {
            // Where there is no connection the pool has tried again already.
            Err(McpError::Shared(error)) => Err(McpError::Shared(error)),
            Err(error) if error.is_passing() => {
                sleep(TRY_AGAIN_AFTER).await;
                list().await
            }
            listed => listed,
        }
    };
    let Ok(listed) = timeout(connecting.patience, listing).await else {
        if connecting.patience >= LONG_ENOUGH {
            servers.pool.note_silence(&key).await;
        }
        return Err(McpError::Timeout);
    };
    let (held, listed) = listed?;
    let mut tools: Vec<_> = listed.iter().filter(|tool| spec.includes(&tool.name)).collect();
    if tools.len() > MOST_OFFERED {
        tracing::warn!(
            tenant.id = %connecting.tenant,
            tool.id = %tool,
            mcp.tools = tools.len(),
            "an MCP server has more tools than are offered: choose with `include`"
        );
        tools.truncate(MOST_OFFERED);
    }
    let tools = tools.into_iter().cloned().collect();
    Ok(McpServer { pool: Arc::clone(&servers.pool), key, limits, tools, held })
}

impl McpServer {
    /// The tools that are included.
    pub(super) fn tools(&self) -> &[McpToolInfo] {
        &self.tools
    }

    /// Calls the tool that the server calls `name`, once. `key` goes along in `_meta`, as
    /// `recado/idempotency-key`.
    ///
    /// # Errors
    /// When there is no answer; the call may have been made.
    pub(super) async fn call(
        &self,
        name: &str,
        args: Map<String, Value>,
        key: ToolCallId,
        patience: Duration,
    ) -> Result<McpAnswer, McpError> {
        let connection = &self.held.connection;
        if !connection.is_over() {
            return connection.call(name, args, key, patience).await;
        }
        let calling = async {
            let held = self.pool.connection(&self.key, self.limits).await?;
            held.connection.call(name, args, key, patience).await
        };
        timeout(patience, calling).await.unwrap_or(Err(McpError::Timeout))
    }
}

impl std::fmt::Debug for McpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpServer")
            .field("tool", &self.key.tool)
            .field("tools", &self.tools.len())
            .finish_non_exhaustive()
    }
}
