#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod arguments;
mod cut;
mod hosts;
mod http;
mod mcp;
mod metrics;
mod names;
mod offer;
mod opening;
mod refusal;
mod schema;
mod scrub;
mod secrets;
#[cfg(test)]
mod tests;
mod toolbox;
mod trial;

use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_http::guard::GuardedClient;
use recado_store::tools::{self, ToolAccess};
use recado_store::{Store, StoreError};
use recado_types::agent::{AgentTool, Limits};
use recado_types::hosts::{DestinationHosts, HostAllowList};
use recado_types::{AgentId, TenantId, ToolId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::metrics::register_metrics;
pub use self::toolbox::Toolbox;
pub use self::trial::{SentRequest, Trial, TrialError, Tried};

use self::hosts::Hosts;
use self::offer::Surroundings;
use self::opening::{Opened, Opening};
use self::scrub::Scrubber;
use self::secrets::Secrets;

/// A model's wish to call a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRequest {
    /// What the model calls this request.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them: it should be JSON.
    pub arguments: String,
}

/// A tool as a model is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolDefinition {
    /// What the model calls it.
    pub name: String,
    /// What it is good for.
    pub description: String,
    /// The JSON Schema of its arguments, an object.
    pub parameters: Value,
}

/// All that tool calls of this process share.
pub struct Tools {
    store: Store,
    client: GuardedClient,
    servers: mcp::Servers,
}

/// What a model's request comes to.
#[derive(Debug)]
pub enum Prepared {
    /// Nothing was sent, and nothing will be.
    Refused {
        /// The tool, if there is one of that name.
        tool_id: Option<ToolId>,
        /// The arguments, for the journal and for people: without what is hidden.
        shown: Value,
        /// Why, in words that the model can use.
        message: String,
        /// Whether the only reason is that an MCP server could not be reached when the toolbox was
        /// opened: with another toolbox, in a while, the same request may be ready. A call that is
        /// due (a person has approved it, or nobody knows whether it was made) is worth waiting
        /// for that; to a request that is new the refusal is an answer like any other.
        unreachable: bool,
    },
    /// It can be called.
    Ready(Call),
}

/// A call that can be made.
pub struct Call {
    /// Which tool.
    pub tool_id: ToolId,
    /// When it was last changed: what somebody approves is a call of the tool as it is then.
    pub tool_updated_at: DateTime<Utc>,
    /// The arguments, for the journal and for people: without what is hidden.
    pub shown: Value,
    /// Whether a person has to agree first.
    pub needs_approval: bool,
    /// Who makes the call instead of [`Toolbox::call`].
    pub delegate: Option<Delegate>,
    /// The name by which the model called it.
    name: String,
    sending: Box<offer::Sending>,
}

/// A sub-agent's task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegate {
    /// Who is to do it.
    pub agent_id: AgentId,
    /// What.
    pub input: String,
}

/// Who answers to a name that a model uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// A tool; one at an MCP server goes by its server.
    Tool {
        /// Which.
        id: ToolId,
        /// What its owner calls it.
        name: &'a str,
    },
    /// A sub-agent.
    Agent {
        /// Which.
        id: AgentId,
        /// What people call it.
        name: &'a str,
    },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallOutcome {
    /// For the model; scrubbed, and cut to the agent's `max_tool_output_bytes`.
    pub output: String,
    /// In short what went wrong, if something did; it is part of `output` too.
    pub error: Option<String>,
    /// What went wrong, in a word of a small fixed set.
    pub error_code: Option<&'static str>,
    /// Whether the tool said more than `output` tells.
    pub truncated: bool,
    /// How long it took.
    pub duration: Duration,
}

impl ToolRequest {
    /// The arguments for a provider that takes back only objects: what the model wrote if it is
    /// one, and an object that quotes it if not.
    pub fn arguments_object(&self) -> Map<String, Value> {
        if self.arguments.trim().is_empty() {
            return Map::new();
        }
        serde_json::from_str(&self.arguments).unwrap_or_else(|_not_an_object| {
            let quoted = Value::String(self.arguments.clone());
            Map::from_iter([("malformed".to_owned(), quoted)])
        })
    }
}

impl Tools {
    /// Tools that reach what `client` reaches. `stdio_commands` are the programs that MCP servers
    /// may be (`RECADO_MCP_STDIO_COMMANDS`).
    pub fn new(store: Store, client: GuardedClient, stdio_commands: Vec<String>) -> Self {
        let servers = mcp::Servers::new(client.clone(), stdio_commands);
        Self { store, client, servers }
    }

    /// The same, with tools as `store` sees them. Connections are shared.
    #[must_use]
    pub fn seen_by(&self, store: Store) -> Self {
        Self { store, client: self.client.clone(), servers: self.servers.clone() }
    }

    /// The toolbox of an execution whose agent has no tools: it still knows what is hidden.
    pub fn none(&self, context: &Map<String, Value>) -> Toolbox {
        let scrubber = Scrubber::new(context, &Secrets::default());
        let surroundings =
            Surroundings::new(self.client.clone(), context, Secrets::default(), Hosts::default());
        Toolbox::new(
            Opened::default(),
            surroundings,
            scrubber,
            Limits::default().max_tool_output_bytes,
        )
    }

    /// The tools of one execution. One that is gone, or whose MCP server is away, is left out; that
    /// a server is away is told whoever asks for one of its tools.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn open(
        &self,
        tenant: TenantId,
        offered: &[AgentTool],
        context: &Map<String, Value>,
        limits: &Limits,
    ) -> Result<Toolbox, StoreError> {
        let ids: Vec<ToolId> = offered.iter().map(|tool| tool.tool).collect();
        let mut access = tools::for_runner(&self.store, tenant, &ids).await?;
        let tools = std::mem::take(&mut access.tools);
        let (surroundings, scrubber) = self.surroundings(access, context);
        let opening = Opening {
            servers: &self.servers,
            tenant,
            surroundings: &surroundings,
            margin: scrubber.margin(),
        };
        let opened = opening.open_all(offered, tools).await;
        Ok(Toolbox::new(opened, surroundings, scrubber, limits.max_tool_output_bytes))
    }

    /// What calls depend on besides the tools of `access`, and what has to be hidden of it.
    fn surroundings(
        &self,
        access: ToolAccess,
        context: &Map<String, Value>,
    ) -> (Surroundings, Scrubber) {
        let secrets = Secrets::from(access.secrets);
        let hosts = Hosts {
            led: HostAllowList::of(&access.allowed_hosts),
            destinations: DestinationHosts::of(&access.destination_hosts),
        };
        let scrubber = Scrubber::new(context, &secrets);
        (Surroundings::new(self.client.clone(), context, secrets, hosts), scrubber)
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("tool_id", &self.tool_id)
            .field("name", &self.name)
            .field("needs_approval", &self.needs_approval)
            .finish_non_exhaustive()
    }
}
