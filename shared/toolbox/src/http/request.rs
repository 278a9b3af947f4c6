//! The request that a call of an HTTP tool is.
//!
//! Arguments that the URL or the configured query use are used up there. Of what is left, `body` is
//! the whole body if the tool's schema says so, and the others go to the query; else all of it is
//! the body of `POST`, `PUT` and `PATCH` and the query of `GET` and `DELETE`.
//!
//! What the tool's owner has set stays set: a model cannot repeat a parameter of the URL, of the
//! configured query or of the credential under the same name, whatever its case, and can make up
//! parameters only with plain names, which no server takes for another one's (`id[]`, `id%00`).

use std::collections::HashSet;
use std::time::Duration;

use recado_http::credential::authorise;
use recado_http::guard::Outbound;
use recado_types::credential::{Credential, KeyPlace};
use recado_types::tool::{HttpTool, ToolMethod};
use reqwest::Method;
use serde_json::{Map, Value};
use url::Url;

use crate::offer::Surroundings;
use crate::refusal::{Refusal, shortened};

/// The longest URL. Servers take 8 KiB of request line, most of them not more.
const MAX_URL: usize = 8 * 1024;

/// The argument that is the whole body, where the schema has it.
const BODY: &str = "body";

/// What is to be sent, its credential included.
///
/// # Errors
/// Why nothing can be sent.
pub(crate) fn request(
    tool: &HttpTool,
    arguments: Map<String, Value>,
    surroundings: &Surroundings,
) -> Result<Outbound, Refusal> {
    let context = &surroundings.context;
    let mut url = tool.url.render(context, &arguments).map_err(Refusal::Fill)?;
    surroundings.hosts.check(&url, tool.url.host_is_dynamic()).map_err(Refusal::Closed)?;
    let mut parameters = configured_query(tool, &arguments, context)?;
    let mut rest = arguments;
    rest.retain(|name, _| !tool.uses_up(name));
    let body = take_body(tool, &mut rest);
    let fixed = fixed_names(tool, &url);
    for (name, value) in &rest {
        if fixed.contains(&name.to_lowercase()) {
            return Err(Refusal::Fixed(shortened(name)));
        }
        if !may_be_parameter(tool, name) {
            return Err(Refusal::Unknown(shortened(name)));
        }
        parameters.extend(texts_of(value).map(|text| (name.clone(), text)));
    }
    if !parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(&parameters);
    }
    surroundings.client.guard().check_url(&url).map_err(Refusal::Forbidden)?;
    let request = Outbound::new(method_of(tool.method), url)
        .timeout(Duration::from_millis(tool.timeout_ms.into()))
        .propagating();
    let request = with_body(request, body)?;
    let request = with_headers(request, tool, context)?;
    let request = authorised(request, tool, surroundings)?;
    if request.url.as_str().len() > MAX_URL {
        return Err(Refusal::LongUrl(MAX_URL));
    }
    Ok(request)
}

fn method_of(method: ToolMethod) -> Method {
    match method {
        ToolMethod::Get => Method::GET,
        ToolMethod::Post => Method::POST,
        ToolMethod::Put => Method::PUT,
        ToolMethod::Patch => Method::PATCH,
        ToolMethod::Delete => Method::DELETE,
    }
}

fn configured_query(
    tool: &HttpTool,
    arguments: &Map<String, Value>,
    context: &Map<String, Value>,
) -> Result<Vec<(String, String)>, Refusal> {
    let mut parameters = Vec::new();
    for (name, template) in &tool.query {
        let value = template.render(context, arguments).map_err(Refusal::Fill)?;
        parameters.extend(value.map(|value| (name.clone(), value)));
    }
    Ok(parameters)
}

/// Takes what is the body out of `rest`.
fn take_body(tool: &HttpTool, rest: &mut Map<String, Value>) -> Option<Value> {
    if tool.has_body_parameter() {
        return rest.remove(BODY);
    }
    tool.method.has_body().then(|| Value::Object(std::mem::take(rest)))
}

/// The parameters that are the owner's, in lower case.
fn fixed_names(tool: &HttpTool, url: &Url) -> HashSet<String> {
    let of_url = url.query_pairs().map(|(name, _)| name.to_lowercase());
    let configured = tool.query.iter().map(|(name, _)| name.to_lowercase());
    let key = match &tool.auth {
        Credential::ApiKey { name, place: KeyPlace::Query, .. } => Some(name.to_lowercase()),
        _ => None,
    };
    of_url.chain(configured).chain(key).collect()
}

fn may_be_parameter(tool: &HttpTool, name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    tool.parameters.has(name) || !name.is_empty() && name.chars().all(plain)
}

/// The values of one parameter: one for each item of a list; none for `null`.
fn texts_of(value: &Value) -> impl Iterator<Item = String> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    items.iter().filter_map(|item| match item {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    })
}

fn with_body(request: Outbound, body: Option<Value>) -> Result<Outbound, Refusal> {
    match body {
        None => Ok(request),
        Some(body) => request.json(&body).map_err(Refusal::Http),
    }
}

fn with_headers(
    mut request: Outbound,
    tool: &HttpTool,
    context: &Map<String, Value>,
) -> Result<Outbound, Refusal> {
    for (name, template) in &tool.headers {
        let value = template.render(context).map_err(Refusal::Fill)?;
        request = request.secret_header(name, &value).map_err(Refusal::Http)?;
    }
    Ok(request)
}

fn authorised(
    request: Outbound,
    tool: &HttpTool,
    surroundings: &Surroundings,
) -> Result<Outbound, Refusal> {
    let Some(name) = tool.auth.secret_ref() else { return Ok(request) };
    let secret =
        surroundings.secrets.get(name).ok_or_else(|| Refusal::NoSecret(name.to_owned()))?;
    authorise(request, &tool.auth, secret)
        .map_err(|source| Refusal::UnusableSecret { name: name.to_owned(), source })
}
