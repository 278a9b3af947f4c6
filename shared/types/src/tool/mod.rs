//! Tools: what agents can do besides talking.
//!
//! A [`ToolSpec`] is parsed in one way, for saving and for loading alike. Whatever a model or a
//! payload puts into a call stays in its place: an argument in a path is one segment, a value in a
//! header is one line, and what [`DefaultsFromContext`] sets is what is sent.

mod agent;
mod defaults;
mod environment;
mod http;
mod mcp;
mod parameters;
mod template;
mod url_template;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use agent::AgentToolSpec;
pub use defaults::{DefaultsError, DefaultsFromContext};
pub use environment::changes_programs;
pub use http::{HttpTool, ToolMethod};
pub use mcp::{EnvValue, McpTool, McpTransport};
pub use parameters::{ParameterSchema, ParameterSchemaError};
pub use template::{ArgTemplate, ContextTemplate, RenderError, ToolTemplateError};
pub use url_template::{UrlTemplate, UrlTemplateError};

pub use crate::json_schema::SchemaError;

use crate::AgentId;
use crate::shape::{FieldProblem, ObjectReader, Problems};

/// The longest name of a tool, in characters: models take 64, of which the name of an MCP server
/// leaves some for its tools.
pub const MAX_TOOL_NAME: usize = 48;

/// What a tool is: `tools.kind` and `tools.config`.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it is taken apart as soon as it was read")]
pub enum ToolSpec {
    /// A request.
    Http(Box<HttpTool>),
    /// The tools of a server.
    Mcp(McpTool),
    /// Another agent.
    Agent(AgentToolSpec),
}

/// The kinds of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ToolKind {
    /// A request.
    Http,
    /// The tools of a server.
    Mcp,
    /// Another agent.
    Agent,
}

impl ToolKind {
    /// All kinds, by their names.
    pub const BY_NAME: [(&str, Self); 3] =
        [("http", Self::Http), ("mcp", Self::Mcp), ("agent", Self::Agent)];

    /// Its name, in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Mcp => "mcp",
            Self::Agent => "agent",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::BY_NAME.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}

/// Whether models can call a tool by `name`: 1 to 48 ASCII letters, digits, `_` and `-`.
pub fn is_tool_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_TOOL_NAME).contains(&name.len()) && name.bytes().all(plain)
}

impl ToolSpec {
    /// Reads a `config`, naming every mistake by its path under `config`.
    pub fn read(kind: ToolKind, config: &Value, problems: &Problems) -> Option<Self> {
        let mut fields = ObjectReader::new(config, "config", problems)?;
        let spec = match kind {
            ToolKind::Http => HttpTool::read(&mut fields).map(Box::new).map(Self::Http),
            ToolKind::Mcp => McpTool::read(&mut fields).map(Self::Mcp),
            ToolKind::Agent => AgentToolSpec::read(&mut fields).map(Self::Agent),
        };
        fields.done();
        spec
    }

    /// Reads a `config` that was saved.
    pub fn from_saved(kind: ToolKind, config: &Value) -> Result<Self, Vec<FieldProblem>> {
        let problems = Problems::default();
        let spec = Self::read(kind, config, &problems);
        let incomplete =
            || vec![FieldProblem { path: "config".into(), reason: "is incomplete".into() }];
        problems.finish(spec)?.ok_or_else(incomplete)
    }

    /// Its kind.
    pub fn kind(&self) -> ToolKind {
        match self {
            Self::Http(_) => ToolKind::Http,
            Self::Mcp(_) => ToolKind::Mcp,
            Self::Agent(_) => ToolKind::Agent,
        }
    }

    /// The secrets it names, each with the path of where it does so.
    pub fn secret_refs(&self) -> Vec<(String, &str)> {
        match self {
            Self::Http(tool) => tool.auth.secret_ref_at("config.auth").into_iter().collect(),
            Self::Mcp(tool) => tool.transport.secret_refs(),
            Self::Agent(_) => Vec::new(),
        }
    }

    /// The agent that it is, if it is one.
    pub fn agent_id(&self) -> Option<AgentId> {
        match self {
            Self::Agent(tool) => Some(tool.agent_id),
            Self::Http(_) | Self::Mcp(_) => None,
        }
    }
}
