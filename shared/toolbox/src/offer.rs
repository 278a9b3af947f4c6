//! One thing that a model may call, and what a call of it comes to.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_http::guard::{GuardedClient, Outbound};
use recado_store::tools::{AgentBehindTool, ToolForRunner};
use recado_types::agent::ApprovalRule;
use recado_types::credential::{Credential, KeyPlace};
use recado_types::hidden::HIDDEN;
use recado_types::tool::{AgentToolSpec, DefaultsError, DefaultsFromContext, HttpTool, McpTool};
use recado_types::trigger::ContextField;
use recado_types::{AgentId, ToolCallId, ToolId};
use serde_json::{Map, Value};

use super::hosts::Hosts;
use super::mcp::{McpServer, McpToolInfo};
use super::refusal::Refusal;
use super::schema::Checker;
use super::scrub::Scrubber;
use super::secrets::Secrets;
use super::{Delegate, Named, http};
use crate::ToolDefinition;

/// The most that a model is shown of how a server describes a tool, in bytes.
const MAX_FOREIGN_DESCRIPTION: usize = 4 * 1024;

/// One thing that a model may call.
pub(super) struct Offer {
    pub(super) tool_id: ToolId,
    /// When the tool, or one of its secrets, was last changed.
    pub(super) tool_updated_at: DateTime<Utc>,
    /// What its owner calls the tool, or the server that it is at.
    owned_name: String,
    pub(super) definition: ToolDefinition,
    pub(super) approval: ApprovalRule,
    pub(super) checker: Checker,
    pub(super) how: How,
}

/// How a call is made.
pub(super) enum How {
    Http(Box<HttpTool>),
    Mcp {
        server: Arc<McpServer>,
        spec: Arc<McpTool>,
        /// What the server calls the tool.
        name: String,
        /// Whether the server describes it at more length.
        description_was_cut: bool,
    },
    Agent {
        id: AgentId,
        name: String,
    },
}

/// What calls depend on besides the tool and the arguments.
pub(super) struct Surroundings {
    pub(super) client: GuardedClient,
    pub(super) context: Map<String, Value>,
    /// The context with [`HIDDEN`] for hidden values.
    pub(super) visible: Map<String, Value>,
    pub(super) secrets: Secrets,
    pub(super) hosts: Hosts,
}

/// A call, ready to be sent.
pub(super) enum Sending {
    Http {
        request: Box<Outbound>,
        /// Where in the query the key stands, if it stands there.
        key_parameter: Option<String>,
        max_response_bytes: usize,
    },
    Mcp {
        server: Arc<McpServer>,
        name: String,
        arguments: Map<String, Value>,
        timeout: Duration,
        max_response_bytes: usize,
    },
    /// Somebody else makes it.
    Delegated,
}

/// How a call ended, as it was said: neither scrubbed nor cut.
pub(super) struct Ended {
    pub(super) text: String,
    /// Whether the tool said more than was read.
    pub(super) was_cut: bool,
    pub(super) failure: Option<Failure>,
}

/// Why a call failed.
pub(super) struct Failure {
    /// A label of bounded variety.
    pub(super) code: &'static str,
    /// In words for the model, which may be the tool's.
    pub(super) told: String,
    /// Whether it said more than was read.
    pub(super) was_cut: bool,
}

impl Ended {
    pub(super) fn said(text: String, was_cut: bool) -> Self {
        Self { text, was_cut, failure: None }
    }

    pub(super) fn failed(code: &'static str, told: impl Into<String>) -> Self {
        let failure = Some(Failure { code, told: told.into(), was_cut: false });
        Self { text: String::new(), was_cut: false, failure }
    }
}

impl Surroundings {
    pub(super) fn new(
        client: GuardedClient,
        context: &Map<String, Value>,
        secrets: Secrets,
        hosts: Hosts,
    ) -> Self {
        let masked = |(name, value): (&String, &Value)| {
            let value = if ContextField::is_visible(name) || value.is_null() {
                value.clone()
            } else {
                Value::from(HIDDEN)
            };
            (name.clone(), value)
        };
        let visible = context.iter().map(masked).collect();
        Self { client, context: context.clone(), visible, secrets, hosts }
    }
}

impl Offer {
    pub(super) fn http(tool: &ToolForRunner, approval: &ApprovalRule, http: Box<HttpTool>) -> Self {
        Self {
            tool_id: tool.id,
            tool_updated_at: tool.updated_at,
            owned_name: tool.name.clone(),
            definition: ToolDefinition {
                name: tool.name.clone(),
                description: tool.description.clone(),
                parameters: http.shown_parameters(),
            },
            approval: approval.clone(),
            checker: Checker::with(http.parameters.clone()),
            how: How::Http(http),
        }
    }

    pub(super) fn agent(
        tool: &ToolForRunner,
        approval: &ApprovalRule,
        agent_id: AgentId,
        agent: &AgentBehindTool,
    ) -> Self {
        let description = if tool.description.is_empty() {
            format!("Asks {}. {}", agent.name, agent.description).trim_end().to_owned()
        } else {
            tool.description.clone()
        };
        let parameters = AgentToolSpec::parameters();
        Self {
            tool_id: tool.id,
            tool_updated_at: tool.updated_at,
            owned_name: tool.name.clone(),
            checker: Checker::of(&parameters),
            definition: ToolDefinition { name: tool.name.clone(), description, parameters },
            approval: approval.clone(),
            how: How::Agent { id: agent_id, name: agent.name.clone() },
        }
    }

    /// All tools of an MCP server; their names are the server's until they are given others.
    pub(super) fn mcp(
        tool: &ToolForRunner,
        approval: &ApprovalRule,
        spec: McpTool,
        server: McpServer,
    ) -> Vec<Self> {
        let (server, spec) = (Arc::new(server), Arc::new(spec));
        let offer = |info: &McpToolInfo| Self {
            tool_id: tool.id,
            tool_updated_at: tool.updated_at,
            owned_name: tool.name.clone(),
            checker: Checker::of(&info.input_schema),
            definition: ToolDefinition {
                name: info.name.clone(),
                description: info.description.clone(),
                parameters: spec.defaults.hide_in(&info.input_schema),
            },
            approval: approval.clone(),
            how: How::Mcp {
                server: Arc::clone(&server),
                spec: Arc::clone(&spec),
                name: info.name.clone(),
                description_was_cut: info.description_was_cut,
            },
        };
        server.tools().iter().map(offer).collect()
    }

    /// What the model is told of it. A server can put what it was sent into what it says of its
    /// tools.
    pub(super) fn told(&self, scrubber: &Scrubber) -> ToolDefinition {
        let ToolDefinition { name, description, parameters } = &self.definition;
        let description = match &self.how {
            How::Mcp { description_was_cut, .. } => {
                scrubber.foreign(description, *description_was_cut, MAX_FOREIGN_DESCRIPTION).0
            }
            How::Http(_) | How::Agent { .. } => scrubber.text(description).into_owned(),
        };
        ToolDefinition { name: name.clone(), description, parameters: scrubber.json(parameters) }
    }

    /// For a tool of an MCP server, what the server is called with us and the tool with it.
    pub(super) fn name_at_server(&self) -> Option<(&str, &str)> {
        match &self.how {
            How::Mcp { name, .. } => Some((&self.owned_name, name)),
            How::Http(_) | How::Agent { .. } => None,
        }
    }

    /// Who answers to it.
    pub(super) fn named(&self) -> Named<'_> {
        match &self.how {
            How::Http(_) | How::Mcp { .. } => {
                Named::Tool { id: self.tool_id, name: &self.owned_name }
            }
            How::Agent { id, name } => Named::Agent { id: *id, name },
        }
    }

    /// Puts in what the tool's owner wants there, whatever the model wrote.
    ///
    /// # Errors
    /// Why there can be no call.
    pub(super) fn with_defaults(
        &self,
        arguments: Map<String, Value>,
        context: &Map<String, Value>,
    ) -> Result<Value, DefaultsError> {
        let mut arguments = Value::Object(arguments);
        if let Some(defaults) = self.defaults() {
            defaults.apply(&mut arguments, context)?;
        }
        Ok(arguments)
    }

    fn defaults(&self) -> Option<&DefaultsFromContext> {
        match &self.how {
            How::Http(tool) => Some(&tool.defaults),
            How::Mcp { spec, .. } => Some(&spec.defaults),
            How::Agent { .. } => None,
        }
    }

    /// What is to be sent.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) fn sending(
        &self,
        arguments: Value,
        surroundings: &Surroundings,
    ) -> Result<(Sending, Option<Delegate>), Refusal> {
        let arguments = match arguments {
            Value::Object(arguments) => arguments,
            _ => Map::new(),
        };
        match &self.how {
            How::Http(tool) => {
                let request = Box::new(http::request(tool, arguments, surroundings)?);
                let max_response_bytes = tool.max_response_bytes as usize;
                let key_parameter = match &tool.auth {
                    Credential::ApiKey { name, place: KeyPlace::Query, .. } => Some(name.clone()),
                    _ => None,
                };
                Ok((Sending::Http { request, key_parameter, max_response_bytes }, None))
            }
            How::Mcp { server, spec, name, .. } => {
                let sending = Sending::Mcp {
                    server: Arc::clone(server),
                    name: name.clone(),
                    arguments,
                    timeout: Duration::from_millis(spec.timeout_ms.into()),
                    max_response_bytes: spec.max_response_bytes as usize,
                };
                Ok((sending, None))
            }
            How::Agent { id, .. } => {
                let input = arguments.get("input").and_then(Value::as_str).unwrap_or_default();
                let delegate = Delegate { agent_id: *id, input: input.to_owned() };
                Ok((Sending::Delegated, Some(delegate)))
            }
        }
    }
}

impl Sending {
    /// A label of bounded variety.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Mcp { .. } => "mcp",
            Self::Delegated => "agent",
        }
    }

    /// The most bytes that may be shown of what the tool says.
    pub(super) fn max_response_bytes(&self) -> usize {
        match self {
            Self::Http { max_response_bytes, .. } | Self::Mcp { max_response_bytes, .. } => {
                *max_response_bytes
            }
            Self::Delegated => 0,
        }
    }

    pub(super) async fn send(
        &self,
        client: &GuardedClient,
        key: ToolCallId,
        patience: Duration,
        margin: usize,
    ) -> Ended {
        match self {
            Self::Http { request, max_response_bytes, .. } => {
                http::send(client, request, key, patience, max_response_bytes + margin).await
            }
            Self::Mcp { server, name, arguments, timeout, .. } => {
                let patience = patience.min(*timeout);
                match server.call(name, arguments.clone(), key, patience).await {
                    Ok(answer) => Ended {
                        text: answer.text,
                        was_cut: answer.truncated,
                        failure: answer.is_error.then(|| Failure {
                            code: "tool_error",
                            told: "the tool reported an error".into(),
                            was_cut: false,
                        }),
                    },
                    Err(error) => {
                        let cause = &error as &dyn std::error::Error;
                        tracing::warn!(tool_call.id = %key, error = cause, "an MCP call failed");
                        let (code, told, was_cut) = (error.code(), error.told(), error.was_cut());
                        let failure = Some(Failure { code, told, was_cut });
                        Ended { text: String::new(), was_cut: false, failure }
                    }
                }
            }
            Self::Delegated => Ended::failed("misconfigured", "another agent answers this call"),
        }
    }
}
