//! Requests as tools.

use serde_json::{Value, json};

use super::defaults::DefaultsFromContext;
use super::parameters::{self, ParameterSchema};
use super::template::{ArgTemplate, ContextTemplate};
use super::url_template::UrlTemplate;
use crate::credential::Credential;
use crate::header_name;
use crate::shape::ObjectReader;

/// The most headers and the most query parameters of a tool, and the longest name of one.
const MAX_HEADERS: usize = 32;
const MAX_QUERY: usize = 32;
const MAX_NAME: usize = 128;

/// The argument that is the whole body of a request, if the schema has it.
const BODY: &str = "body";

/// A request that an agent can make.
///
/// Arguments that the URL or the query names are used up there. If the schema has a property `body`,
/// that argument is the body and what remains goes into the query; if it has not, what remains is
/// the query of a GET or DELETE and the JSON body of the others.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpTool {
    /// Its method.
    pub method: ToolMethod,
    /// Where to.
    pub url: UrlTemplate,
    /// Its headers, at most 32.
    pub headers: Vec<(String, ContextTemplate)>,
    /// Parameters of its query, at most 32, besides those in the URL.
    pub query: Vec<(String, ArgTemplate)>,
    /// What it is called with. A schema that names its parameters takes no others, unless it says
    /// so; what [`Self::defaults`] sets is always taken.
    pub parameters: ParameterSchema,
    /// The credential it carries.
    pub auth: Credential,
    /// How long it may take, 100 to 120,000 ms.
    pub timeout_ms: u32,
    /// The most of the answer's body that is read, 1 to 8,388,608 bytes.
    pub max_response_bytes: u32,
    /// What the context decides, whatever the model says.
    pub defaults: DefaultsFromContext,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolMethod {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl ToolMethod {
    /// Whether arguments go into a JSON body, and not into the query.
    pub fn has_body(self) -> bool {
        match self {
            Self::Post | Self::Put | Self::Patch => true,
            Self::Get | Self::Delete => false,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl HttpTool {
    pub(super) fn read(fields: &mut ObjectReader<'_>) -> Option<Self> {
        const METHODS: [ToolMethod; 5] = [
            ToolMethod::Get,
            ToolMethod::Post,
            ToolMethod::Put,
            ToolMethod::Patch,
            ToolMethod::Delete,
        ];
        let methods = METHODS.map(|method| (method.as_str(), method));
        let method = fields.choice("method", &methods).unwrap_or(ToolMethod::Get);
        fields.required("url");
        let url: Option<UrlTemplate> = fields.parsed("url");
        let headers = read_headers(fields);
        let query = read_query(fields);
        let schema = read_schema(fields);
        let auth = Credential::read(fields);
        let timeout_ms = fields.integer("timeout_ms", 100..=120_000).unwrap_or(30_000);
        let max_response_bytes =
            fields.integer("max_response_bytes", 1..=8 << 20).unwrap_or(256 << 10);
        let has_property = |name: &str| schema["properties"].get(name).is_some();
        // Where there is no such property, the arguments themselves are the body or the query.
        let implied: Vec<&str> =
            [BODY, "query"].into_iter().filter(|name| !has_property(name)).collect();
        let defaults = DefaultsFromContext::read(fields, &implied);
        let closed = parameters::closed(&schema, defaults.roots());
        let parameters = fields.accept("parameters", ParameterSchema::compile(&closed));
        let tool = Self {
            method,
            url: url?,
            headers,
            query,
            parameters: parameters?,
            auth: auth?,
            timeout_ms,
            max_response_bytes,
            defaults,
        };
        tool.refuse_unknown_arguments(fields);
        Some(tool)
    }

    /// The schema as a model is shown it: without what the context decides.
    pub fn shown_parameters(&self) -> Value {
        self.defaults.hide_in(self.parameters.as_value())
    }

    /// Whether the argument `body` is the whole body.
    pub fn has_body_parameter(&self) -> bool {
        self.parameters.has(BODY)
    }

    /// Whether the URL or the query uses an argument up.
    pub fn uses_up(&self, argument: &str) -> bool {
        self.placed_arguments().any(|(_, name)| name == argument)
    }

    /// The arguments that URL and query name, each with the field that does.
    fn placed_arguments(&self) -> impl Iterator<Item = (String, &str)> {
        let in_url = self.url.arguments().map(|name| ("url".to_owned(), name));
        let in_query = self.query.iter().flat_map(|(parameter, template)| {
            template.arguments().map(move |name| (format!("query.{parameter}"), name))
        });
        in_url.chain(in_query)
    }

    /// An argument that no call can have is found when saving.
    fn refuse_unknown_arguments(&self, fields: &ObjectReader<'_>) {
        let schema = self.parameters.as_value();
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            return;
        }
        for (at, name) in self.placed_arguments().filter(|(_, name)| !self.parameters.has(name)) {
            fields.refuse(&at, format!("`{{{{{name}}}}}` is no property of `parameters`"));
        }
    }
}

fn read_schema(fields: &mut ObjectReader<'_>) -> Value {
    let nothing = || json!({"type": "object", "properties": {}});
    fields.any("parameters").cloned().unwrap_or_else(nothing)
}

pub(super) fn read_headers(fields: &mut ObjectReader<'_>) -> Vec<(String, ContextTemplate)> {
    let mut headers: Vec<(String, ContextTemplate)> = Vec::new();
    for (name, value) in fields.entries("headers", MAX_HEADERS) {
        let at = format!("headers.{}", beginning_of(name));
        if !header_name::is_token(name) || name.len() > MAX_NAME {
            fields.refuse(&at, "is not the name of an HTTP header");
            continue;
        }
        if header_name::is_reserved(name) {
            fields.refuse(&at, "is set by Recado and cannot be configured");
            continue;
        }
        if headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            fields.refuse(&at, "is there twice");
            continue;
        }
        let Some(text) = value.as_str() else {
            fields.refuse(&at, "must be a string");
            continue;
        };
        headers.extend(fields.accept(&at, text.parse()).map(|template| (name.clone(), template)));
    }
    headers
}

fn read_query(fields: &mut ObjectReader<'_>) -> Vec<(String, ArgTemplate)> {
    let mut query = Vec::new();
    for (name, value) in fields.entries("query", MAX_QUERY) {
        let at = format!("query.{}", beginning_of(name));
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            fields.refuse(&at, "is not the name of a query parameter");
            continue;
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => {
                fields.refuse(&at, "must be a string, a number, `true` or `false`");
                continue;
            }
        };
        query.extend(fields.accept(&at, text.parse()).map(|template| (name.clone(), template)));
    }
    query
}

fn beginning_of(name: &str) -> String {
    name.chars().take(64).collect()
}
