//! From the tools that an agent has to what its model is offered.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::time::Duration;

use futures_util::future::join_all;
use recado_store::tools::ToolForRunner;
use recado_types::agent::AgentTool;
use recado_types::tool::{McpTool, ToolSpec};
use recado_types::{TenantId, ToolId};

use super::mcp::{self, Connecting};
use super::names;
use super::offer::{Offer, Surroundings};

/// The most that a model is offered: what providers take.
const MAX_OFFERS: usize = 128;
/// The longest that an execution waits for an MCP server before it begins without it.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// What an agent's tools come to.
#[derive(Default)]
pub(super) struct Opened {
    /// What the model can call.
    pub(super) offers: Vec<Offer>,
    /// What is missing there, for now.
    pub(super) away: Vec<Away>,
}

/// An MCP server that could not be reached.
pub(super) struct Away {
    /// The tool that it is.
    pub(super) tool_id: ToolId,
    /// How the names of its tools begin.
    pub(super) prefix: String,
}

/// What it takes to open tools.
pub(super) struct Opening<'a> {
    pub(super) servers: &'a mcp::Servers,
    pub(super) tenant: TenantId,
    pub(super) surroundings: &'a Surroundings,
    /// How much has to be read of an answer beyond what is shown of it.
    pub(super) margin: usize,
}

impl Away {
    fn of(tool: &ToolForRunner) -> Self {
        Self { tool_id: tool.id, prefix: names::prefix(&tool.name) }
    }
}

impl Opening<'_> {
    /// What an agent with `wanted` is offered, in that order, each under a name of its own. What
    /// cannot be offered is left out, and why is logged.
    pub(super) async fn open_all(&self, wanted: &[AgentTool], found: Vec<ToolForRunner>) -> Opened {
        let mut found: HashMap<ToolId, ToolForRunner> =
            found.into_iter().map(|tool| (tool.id, tool)).collect();
        let opened: Vec<_> = wanted
            .iter()
            .filter_map(|wanted| {
                let tool = found.remove(&wanted.tool);
                if tool.is_none() {
                    tracing::warn!(tool.id = %wanted.tool, "an agent's tool does not exist");
                }
                Some(Box::pin(self.open(wanted, tool?)))
            })
            .collect();
        let (mut offers, mut away) = (Vec::new(), Vec::new());
        for opened in join_all(opened).await {
            match opened {
                Ok(opened) => offers.extend(opened),
                Err(server) => away.push(server),
            }
        }
        let mut offers = named(offers);
        if offers.len() > MAX_OFFERS {
            tracing::warn!(
                tenant.id = %self.tenant,
                n_offers = offers.len(),
                "an agent has more than {MAX_OFFERS} tools: the last ones are left out"
            );
            offers.truncate(MAX_OFFERS);
        }
        Opened { offers, away }
    }

    /// One tool: one offer, or as many as an MCP server has, or the server if it is away.
    async fn open(&self, wanted: &AgentTool, tool: ToolForRunner) -> Result<Vec<Offer>, Away> {
        let approval = &wanted.approval;
        match ToolSpec::from_saved(tool.kind, &tool.config) {
            Ok(ToolSpec::Http(http)) => Ok(vec![Offer::http(&tool, approval, http)]),
            Ok(ToolSpec::Agent(asked)) => {
                let Some(agent) = &tool.agent else {
                    tracing::warn!(tool.id = %tool.id, "the agent behind a tool does not exist");
                    return Ok(Vec::new());
                };
                Ok(vec![Offer::agent(&tool, approval, asked.agent_id, agent)])
            }
            Ok(ToolSpec::Mcp(spec)) => match self.connect(&tool, &spec).await {
                Ok(server) => Ok(Offer::mcp(&tool, approval, spec, server)),
                Err(error) => {
                    let cause = &error as &dyn Error;
                    tracing::warn!(tool.id = %tool.id, error = cause, "an MCP server is away");
                    if error.is_passing() { Err(Away::of(&tool)) } else { Ok(Vec::new()) }
                }
            },
            Err(problems) => {
                let paths: Vec<&str> = problems.iter().map(|problem| &*problem.path).collect();
                tracing::warn!(tool.id = %tool.id, ?paths, "a tool's configuration is not valid");
                Ok(Vec::new())
            }
        }
    }

    /// Reaches an MCP server.
    ///
    /// # Errors
    /// Why that was not to be.
    pub(super) async fn connect(
        &self,
        tool: &ToolForRunner,
        spec: &McpTool,
    ) -> Result<mcp::McpServer, mcp::McpError> {
        // More is read than is shown, so that no part of a secret is left where it is cut.
        let margin = u32::try_from(self.margin).unwrap_or(u32::MAX);
        let max_response_bytes = spec.max_response_bytes.saturating_add(margin);
        let spec = McpTool { max_response_bytes, ..spec.clone() };
        let connecting = Connecting {
            tenant: self.tenant,
            tool: tool.id,
            updated_at: tool.updated_at,
            spec: &spec,
            context: &self.surroundings.context,
            secrets: &self.surroundings.secrets,
            hosts: &self.surroundings.hosts,
            patience: CONNECT_PATIENCE,
        };
        mcp::connect(self.servers, &connecting).await
    }
}

/// `offers` under the names by which models call them. What has the same name as another at the same
/// server is left out.
fn named(offers: Vec<Offer>) -> Vec<Offer> {
    let own = offers.iter().filter(|offer| offer.name_at_server().is_none());
    let taken: HashSet<&str> = own.map(|offer| offer.definition.name.as_str()).collect();
    let wanted: Vec<(&str, &str)> = offers.iter().filter_map(Offer::name_at_server).collect();
    let mut given = names::names(&wanted, &taken).into_iter();
    let with_name = |mut offer: Offer| {
        if offer.name_at_server().is_some() {
            offer.definition.name = given.next().flatten()?;
        }
        Some(offer)
    };
    offers.into_iter().filter_map(with_name).collect()
}
