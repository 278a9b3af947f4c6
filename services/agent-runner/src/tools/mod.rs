//! What agents can do besides talking: HTTP tools, MCP servers and other agents.
//!
//! A model asks for a call; [`Toolbox::prepare`] says what that comes to before anything is done,
//! and [`Toolbox::call`] does it. In between, the runner writes the call down and may wait for a
//! person. Preparing has no effects and depends on nothing but the request, the context and the
//! tools, so it is repeated after a restart rather than kept.
//!
//! What is promised, whatever a model was talked into:
//!
//! * a value that `defaults_from_context` names is the context's in every request that is sent; if
//!   the context has none, nothing is sent;
//! * arguments reach a URL, a query or a body as values only: they cannot name another path, host or
//!   header;
//! * a host that comes from the context is one of those that the tenant allows, and any host is one
//!   of its destinations; no redirect is followed, no private address is reached;
//! * secrets and hidden context values are taken out of everything that comes back, errors included;
//! * every call ends within its time, and what it says is cut to its limits;
//! * a call carries the same `Idempotency-Key` however often it is made.
//!
//! * `opening`, `offer`: from an agent's tools to what its model is offered.
//! * `arguments`, `schema`, `refusal`: what the model wrote, and whether it will do.
//! * `http`, `mcp`: the ways to make a call.
//! * `hosts`: where the tenant lets tools go.
//! * `scrub`, `cut`, `secrets`: what is done to what comes back.
//! * `names`: what the tools of MCP servers are called.

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

use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_http::guard::GuardedClient;
use recado_store::{Store, StoreError, tools};
use recado_types::agent::{AgentTool, Limits};
use recado_types::hosts::{DestinationHosts, HostAllowList};
use recado_types::{AgentId, TenantId, ToolId};
use serde_json::{Map, Value};

pub(crate) use self::toolbox::Toolbox;

use self::hosts::Hosts;
use self::offer::Surroundings;
use self::opening::{Opened, Opening};
use self::scrub::Scrubber;
use self::secrets::Secrets;

/// All that tool calls of this process share.
pub(crate) struct Tools {
    store: Store,
    client: GuardedClient,
    servers: mcp::Servers,
}

/// What a model's request comes to.
#[derive(Debug)]
pub(crate) enum Prepared {
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
pub(crate) struct Call {
    /// Which tool.
    pub(crate) tool_id: ToolId,
    /// When it was last changed: what somebody approves is a call of the tool as it is then.
    pub(crate) tool_updated_at: DateTime<Utc>,
    /// The arguments, for the journal and for people: without what is hidden.
    pub(crate) shown: Value,
    /// Whether a person has to agree first.
    pub(crate) needs_approval: bool,
    /// Who makes the call instead of [`Toolbox::call`].
    pub(crate) delegate: Option<Delegate>,
    /// The name by which the model called it.
    name: String,
    sending: Box<offer::Sending>,
}

/// A sub-agent's task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delegate {
    /// Who is to do it.
    pub(crate) agent_id: AgentId,
    /// What.
    pub(crate) input: String,
}

/// Who answers to a name that a model uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named<'a> {
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
pub(crate) struct CallOutcome {
    /// For the model; scrubbed, and cut to the agent's `max_tool_output_bytes`.
    pub(crate) output: String,
    /// In short what went wrong, if something did; it is part of `output` too.
    pub(crate) error: Option<String>,
    /// Whether the tool said more than `output` tells.
    pub(crate) truncated: bool,
    /// How long it took.
    pub(crate) duration: Duration,
}

impl Tools {
    /// Tools that reach what `client` reaches. `stdio_commands` are the programs that MCP servers
    /// may be (`RECADO_MCP_STDIO_COMMANDS`).
    pub(crate) fn new(store: Store, client: GuardedClient, stdio_commands: Vec<String>) -> Self {
        let servers = mcp::Servers::new(client.clone(), stdio_commands);
        Self { store, client, servers }
    }

    /// The toolbox of an execution whose agent has no tools: it still knows what is hidden.
    pub(crate) fn none(&self, context: &Map<String, Value>) -> Toolbox {
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
    pub(crate) async fn open(
        &self,
        tenant: TenantId,
        offered: &[AgentTool],
        context: &Map<String, Value>,
        limits: &Limits,
    ) -> Result<Toolbox, StoreError> {
        let ids: Vec<ToolId> = offered.iter().map(|tool| tool.tool).collect();
        let access = tools::for_runner(&self.store, tenant, &ids).await?;
        let secrets = Secrets::from(access.secrets);
        let hosts = Hosts {
            led: HostAllowList::of(&access.allowed_hosts),
            destinations: DestinationHosts::of(&access.destination_hosts),
        };
        let scrubber = Scrubber::new(context, &secrets);
        let surroundings = Surroundings::new(self.client.clone(), context, secrets, hosts);
        let opening = Opening {
            servers: &self.servers,
            tenant,
            surroundings: &surroundings,
            margin: scrubber.margin(),
        };
        let opened = opening.open_all(offered, access.tools).await;
        Ok(Toolbox::new(opened, surroundings, scrubber, limits.max_tool_output_bytes))
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
