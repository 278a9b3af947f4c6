//! One call of one tool, for whoever set it up: they see what a model would be told, and why.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use recado_store::StoreError;
use recado_store::tools::{ToolForRunner, for_runner};
use recado_types::agent::{ApprovalRule, Limits};
use recado_types::hidden::HIDDEN;
use recado_types::tool::{McpTool, McpTransport, ToolSpec};
use recado_types::{TenantId, ToolCallId, ToolId};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::mcp::McpError;
use crate::offer::{Offer, Sending};
use crate::opening::{Opened, Opening};
use crate::refusal::{MISCONFIGURED, Refusal};
use crate::scrub::Scrubber;
use crate::toolbox::Toolbox;
use crate::{CallOutcome, Tools};

/// How much of why a call was not made is told.
const MAX_CAUSES: usize = 8;

/// What is to be tried.
pub struct Trial {
    /// Which tool.
    pub tool: ToolId,
    /// Which one of an MCP server, as the server calls it.
    pub name: Option<String>,
    /// What a model would write.
    pub arguments: Map<String, Value>,
    /// What a conversation would bring along.
    pub context: Map<String, Value>,
    /// What the tool can tell a repeated call by.
    pub key: ToolCallId,
    /// The longest that everything may take.
    pub patience: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Tried {
    /// How the call ended, as a model would be told, and in `error` as its owner is.
    pub outcome: CallOutcome,
    /// What was sent over HTTP; `None` if nothing was, or if an MCP server was asked.
    pub request: Option<SentRequest>,
}

/// A request without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentRequest {
    /// Its method.
    pub method: String,
    /// Where it went.
    pub url: String,
}

/// Why there is nothing to try.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The database is away.
    #[error("failed to look the tool up")]
    Store(#[source] StoreError),
    /// It never was, or belongs to somebody else.
    #[error("there is no such tool")]
    NotFound,
    /// It is an agent.
    #[error("the tool is an agent")]
    Agent,
    /// It is a program, which runs beside agents only.
    #[error("the tool is a program")]
    Program,
    /// A tool that is one tool was asked for by a name.
    #[error("the tool has no tools of its own")]
    NoServer,
    /// An MCP server has several tools, or none of that name.
    #[error("the server has other tools")]
    WhichTool {
        /// Those that it offers, by the names that it gives them.
        offered: Vec<String>,
    },
}

/// A tool's answer before there was a call.
enum NoCall {
    Refused(Refusal),
    Away(McpError),
    /// What is saved is no configuration any more.
    Invalid,
}

impl Tools {
    /// Makes one call of one tool, for real, and nothing else: no journal, no approval.
    ///
    /// # Errors
    /// See [`TrialError`]. A call that fails is none.
    pub async fn try_out(&self, tenant: TenantId, trial: Trial) -> Result<Tried, TrialError> {
        let deadline = Instant::now() + trial.patience;
        let access = for_runner(&self.store, tenant, &[trial.tool]).await;
        let mut access = access.map_err(TrialError::Store)?;
        let tool = access.tools.pop().ok_or(TrialError::NotFound)?;
        let (surroundings, scrubber) = self.surroundings(access, &trial.context);
        let opening = Opening {
            servers: &self.servers,
            tenant,
            surroundings: &surroundings,
            margin: scrubber.margin(),
        };
        let opened = opening.one(&tool, trial.name.as_deref(), &scrubber).await?;
        let most = Limits::default().max_tool_output_bytes;
        let toolbox = Toolbox::new(Opened::default(), surroundings, scrubber, most);
        let call = opened.and_then(|offer| {
            let call = toolbox.call_of(&offer, &tool.name, trial.arguments, &Value::Null);
            call.map_err(NoCall::Refused)
        });
        Ok(match call {
            Ok(call) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let request = call.sending.shown(&toolbox);
                Tried { outcome: toolbox.call(&call, trial.key, left).await, request }
            }
            Err(no_call) => Tried { outcome: no_call.outcome(&toolbox), request: None },
        })
    }
}

impl Opening<'_> {
    /// The tool, or the one of `name` at its server.
    async fn one(
        &self,
        tool: &ToolForRunner,
        name: Option<&str>,
        scrubber: &Scrubber,
    ) -> Result<Result<Offer, NoCall>, TrialError> {
        let approval = ApprovalRule::Never;
        match ToolSpec::from_saved(tool.kind, &tool.config) {
            Ok(ToolSpec::Agent(_)) => Err(TrialError::Agent),
            Ok(ToolSpec::Http(_)) if name.is_some() => Err(TrialError::NoServer),
            Ok(ToolSpec::Http(http)) => Ok(Ok(Offer::http(tool, &approval, http))),
            Ok(ToolSpec::Mcp(McpTool { transport: McpTransport::Stdio { .. }, .. })) => {
                Err(TrialError::Program)
            }
            Ok(ToolSpec::Mcp(spec)) => match self.connect(tool, &spec).await {
                Ok(server) => {
                    chosen(Offer::mcp(tool, &approval, spec, server), name, scrubber).map(Ok)
                }
                Err(error) => Ok(Err(NoCall::Away(error))),
            },
            Err(_told_when_it_is_saved) => Ok(Err(NoCall::Invalid)),
        }
    }
}

/// The offer of that name at its server, or the only one.
fn chosen(
    mut offers: Vec<Offer>,
    name: Option<&str>,
    scrubber: &Scrubber,
) -> Result<Offer, TrialError> {
    let at_server = |offer: &Offer| offer.name_at_server().map(|(_, name)| name.to_owned());
    let found = match name {
        Some(name) => offers.iter().position(|offer| at_server(offer).as_deref() == Some(name)),
        None => (offers.len() == 1).then_some(0),
    };
    found.map(|at| offers.swap_remove(at)).ok_or_else(|| {
        let names = offers.iter().filter_map(at_server);
        let offered = names.map(|name| scrubber.text(&name).into_owned()).collect();
        TrialError::WhichTool { offered }
    })
}

impl NoCall {
    fn outcome(&self, toolbox: &Toolbox) -> CallOutcome {
        let (code, told, detail) = match self {
            Self::Refused(refusal) => (refusal.code(), refusal.told(), chain(refusal)),
            Self::Away(error) => (error.code(), error.told(), chain(error)),
            Self::Invalid => {
                let told = "the tool is not set up";
                (MISCONFIGURED, told.to_owned(), "the tool's configuration is not valid".to_owned())
            }
        };
        toolbox.not_called(code, &told, &detail)
    }
}

/// An error with what led to it, for whoever can mend it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes =
        std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    let words: Vec<String> = causes.take(MAX_CAUSES).map(ToString::to_string).collect();
    words.join(": ")
}

impl Sending {
    /// What goes over HTTP, without the key that may stand in its query.
    fn shown(&self, toolbox: &Toolbox) -> Option<SentRequest> {
        let Self::Http { request, key_parameter, .. } = self else { return None };
        let mut url = request.url.clone();
        if let Some(key) = key_parameter {
            let kept = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
                let value = if name == *key { HIDDEN.into() } else { value };
                (name.into_owned(), value.into_owned())
            };
            let parameters: Vec<(String, String)> = request.url.query_pairs().map(kept).collect();
            url.query_pairs_mut().clear().extend_pairs(parameters);
        }
        let url = toolbox.redact(url.as_str()).into_owned();
        Some(SentRequest { method: request.method.to_string(), url })
    }
}
