//! The tools of MCP servers.

use serde_json::Value;

use super::defaults::DefaultsFromContext;
use super::environment::changes_programs;
use super::http::read_headers;
use super::template::ContextTemplate;
use super::url_template::{UrlTemplate, UrlTemplateError};
use crate::credential::Credential;
use crate::shape::{ObjectReader, Problems};

/// The most tools that can be picked of a server, and the longest name of one, in characters.
const MAX_INCLUDED: usize = 128;
const MAX_TOOL_NAME: usize = 128;
/// The most arguments and environment variables of a command, and the longest of them.
const MAX_ARGS: usize = 64;
const MAX_ENV: usize = 64;
const MAX_ARG: usize = 4_096;

/// An MCP server, whose tools an agent can call.
#[derive(Clone, Debug, PartialEq)]
pub struct McpTool {
    /// How the server is reached.
    pub transport: McpTransport,
    /// The tools that are offered, by the server's names for them; `None` for all.
    pub include: Option<Vec<String>>,
    /// How long one call may take, 100 to 120,000 ms.
    pub timeout_ms: u32,
    /// The most of a result that is read, 1 to 8,388,608 bytes.
    pub max_response_bytes: u32,
    /// What the context decides, whatever the model says.
    pub defaults: DefaultsFromContext,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum McpTransport {
    /// Streamable HTTP.
    StreamableHttp {
        /// Where; filled from the context only.
        url: UrlTemplate,
        /// Headers of every request.
        headers: Vec<(String, ContextTemplate)>,
        /// The credential of every request.
        auth: Credential,
    },
    /// A child process, if the operator allows its command.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment, beside what a program cannot do without. Nothing in it
        /// [`changes_programs`].
        env: Vec<(String, EnvValue)>,
    },
}

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    /// Written down.
    Literal(String),
    /// The secret of that name.
    Secret {
        /// The secret's name.
        secret_ref: String,
    },
}

#[derive(Clone, Copy)]
enum TransportType {
    StreamableHttp,
    Stdio,
}

impl McpTool {
    pub(super) fn read(fields: &mut ObjectReader<'_>) -> Option<Self> {
        let transport = McpTransport::read(fields);
        let include = fields.strings("include", 1..=MAX_INCLUDED, MAX_TOOL_NAME);
        let include = include.map(|names| names.into_iter().map(str::to_owned).collect());
        let timeout_ms = fields.integer("timeout_ms", 100..=120_000).unwrap_or(60_000);
        let max_response_bytes =
            fields.integer("max_response_bytes", 1..=8 << 20).unwrap_or(256 << 10);
        let defaults = DefaultsFromContext::read(fields, &[]);
        Some(Self { transport: transport?, include, timeout_ms, max_response_bytes, defaults })
    }

    /// Whether a tool of the server is offered.
    pub fn includes(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|names| names.iter().any(|included| included == name))
    }
}

impl McpTransport {
    /// Its fields stand beside its name, `transport`.
    fn read(fields: &mut ObjectReader<'_>) -> Option<Self> {
        let types =
            [("streamable_http", TransportType::StreamableHttp), ("stdio", TransportType::Stdio)];
        fields.required("transport");
        match fields.choice("transport", &types)? {
            TransportType::StreamableHttp => Self::read_http(fields),
            TransportType::Stdio => Self::read_stdio(fields),
        }
    }

    fn read_http(fields: &mut ObjectReader<'_>) -> Option<Self> {
        let text = fields.required_string("url", 1..=4_096);
        let parse = |text: &str| -> Result<UrlTemplate, UrlTemplateError> {
            text.parse::<UrlTemplate>()?.without_arguments()
        };
        let url = text.and_then(|text| fields.accept("url", parse(text)));
        let headers = read_headers(fields);
        let auth = Credential::read(fields);
        Some(Self::StreamableHttp { url: url?, headers, auth: auth? })
    }

    fn read_stdio(fields: &mut ObjectReader<'_>) -> Option<Self> {
        let command = fields.required_string("command", 1..=1_024).map(str::to_owned);
        let args = read_args(fields);
        let env = read_env(fields);
        Some(Self::Stdio { command: command?, args, env })
    }

    pub(super) fn secret_refs(&self) -> Vec<(String, &str)> {
        const PATH: &str = "config";
        match self {
            Self::StreamableHttp { auth, .. } => {
                auth.secret_ref_at(&format!("{PATH}.auth")).into_iter().collect()
            }
            Self::Stdio { env, .. } => {
                let secrets = env.iter().filter_map(|(name, value)| match value {
                    EnvValue::Literal(_) => None,
                    EnvValue::Secret { secret_ref } => {
                        Some((format!("{PATH}.env.{name}.secret_ref"), secret_ref.as_str()))
                    }
                });
                secrets.collect()
            }
        }
    }
}

/// Arguments may be empty, which [`ObjectReader::strings`] does not take.
fn read_args(fields: &mut ObjectReader<'_>) -> Vec<String> {
    let Some(value) = fields.any("args") else { return Vec::new() };
    let fits = |text: &str| text.len() <= MAX_ARG && !text.contains('\0');
    let items = value.as_array().filter(|items| items.len() <= MAX_ARGS);
    let args: Option<Vec<String>> = items.and_then(|items| {
        items
            .iter()
            .map(|item| item.as_str().filter(|text| fits(text)).map(str::to_owned))
            .collect()
    });
    if args.is_none() {
        let reason = format!("must be a list of at most {MAX_ARGS} strings of {MAX_ARG} bytes");
        fields.refuse("args", reason);
    }
    args.unwrap_or_default()
}

fn read_env(fields: &mut ObjectReader<'_>) -> Vec<(String, EnvValue)> {
    let mut env = Vec::new();
    let problems = fields.problems().clone();
    for (name, value) in fields.entries("env", MAX_ENV) {
        let shown: String = name.chars().take(64).collect();
        let path = format!("{}.{shown}", fields.path_of("env"));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
            problems.add(path, "is not the name of an environment variable");
            continue;
        }
        if changes_programs(name) {
            problems.add(path, "may not be set: it can make a program run something else");
            continue;
        }
        env.extend(EnvValue::read(value, &path, &problems).map(|value| (name.clone(), value)));
    }
    env
}

impl EnvValue {
    fn read(value: &Value, path: &str, problems: &Problems) -> Option<Self> {
        if let Value::String(text) = value {
            if text.len() <= MAX_ARG && !text.contains('\0') {
                return Some(Self::Literal(text.clone()));
            }
            problems.add(path, format!("must have at most {MAX_ARG} bytes and no U+0000"));
            return None;
        }
        let mut fields = ObjectReader::new(value, path, problems)?;
        let secret_ref = fields.required_string("secret_ref", 1..=128).map(str::to_owned);
        fields.done();
        Some(Self::Secret { secret_ref: secret_ref? })
    }
}
