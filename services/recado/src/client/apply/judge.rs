//! What the server would say of a thing, as far as it can be known before it is asked: the same code
//! judges it here.

use recado_types::agent::AgentSpec;
use recado_types::shape::{FieldProblem, ObjectReader, Problems};
use recado_types::tool::{ToolKind, ToolSpec};
use recado_types::trigger::{TriggerConfig, TriggerType};
use serde_json::{Map, Value, json};
use url::Url;

use super::file::Item;
use super::mistakes::Mistakes;
use crate::client::kind::Kind;

/// What a POST needs besides a name.
fn required(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Provider => &["kind", "base_url"],
        Kind::Tool => &["kind", "config"],
        Kind::Agent => &["model", "system_prompt"],
        Kind::Trigger => &["agent_id", "trigger_config"],
        Kind::EventEndpoint => &["url"],
        Kind::Project | Kind::App => &[],
    }
}

/// The fields of `body` as the API would answer them, and what is wrong with them.
pub(super) fn judge(
    item: &Item,
    body: &Map<String, Value>,
    current: Option<&Value>,
    mistakes: &mut Mistakes,
) -> Map<String, Value> {
    if current.is_none() {
        let is_missing = |field: &&&str| body.get(**field).is_none_or(Value::is_null);
        for field in required(item.kind).iter().filter(is_missing) {
            // Where the file says a name, its absence was told already, or it was not found.
            let words = item.kind.references().iter();
            let word = words.clone().find(|(_, of, _)| of == field).map_or(*field, |it| it.0);
            if !item.given.contains_key(word) {
                let reason = format!("{}: {word} is required", item.label());
                mistakes.add(item.at(""), reason);
            }
        }
    }
    let mut desired = body.clone();
    let problems = match item.kind {
        Kind::Agent => agent(&mut desired, current),
        Kind::Tool => tool(&desired, current),
        Kind::Trigger => match desired.get("trigger_config").filter(|config| !config.is_null()) {
            Some(config) => {
                let given = desired.get("trigger_type").and_then(Value::as_str);
                let trigger_type = given.and_then(|name| name.parse().ok());
                let trigger_type = trigger_type.unwrap_or_else(|| TriggerType::of(config));
                TriggerConfig::parse_as(trigger_type, config).err().unwrap_or_default()
            }
            None => Vec::new(),
        },
        Kind::Provider => {
            trim_base_url(&mut desired);
            Vec::new()
        }
        Kind::Project | Kind::App | Kind::EventEndpoint => Vec::new(),
    };
    for FieldProblem { path, reason } in problems.into_iter().chain(wrong_types(item.kind, body)) {
        mistakes.add_of(item, &path, reason);
    }
    desired
}

/// What is not judged any further here is at least what it has to be: the server knows the rest.
fn wrong_types(kind: Kind, body: &Map<String, Value>) -> Vec<FieldProblem> {
    let texts: &[&'static str] = match kind {
        Kind::Provider => &["kind", "base_url", "secret_ref"],
        Kind::App => &["status"],
        Kind::Tool => &["kind", "description"],
        Kind::Agent => &["project_id"],
        Kind::Trigger => &["agent_id", "app_id", "trigger_type", "description"],
        Kind::EventEndpoint => &["agent_id", "url"],
        Kind::Project => &[],
    };
    let (body, problems) = (Value::Object(body.clone()), Problems::default());
    if let Some(mut fields) = ObjectReader::new(&body, "", &problems) {
        for field in texts {
            fields.string(field, 0..=usize::MAX);
        }
        if let Kind::Trigger | Kind::EventEndpoint = kind {
            fields.boolean("enabled");
        }
        if kind == Kind::Provider {
            fields.object("prices");
        }
        let types = fields.any("event_types").filter(|_| kind == Kind::EventEndpoint);
        if types.is_some_and(|types| !types.is_array()) {
            fields.refuse("event_types", "must be a list");
        }
    }
    problems.finish(()).err().unwrap_or_default()
}

/// What an agent does not say has a default, and is answered with it.
fn agent(desired: &mut Map<String, Value>, current: Option<&Value>) -> Vec<FieldProblem> {
    // What the file leaves to others stays as it is, and has to be there for the whole to be read.
    let mut whole = desired.clone();
    for (field, _) in Kind::Agent.fields() {
        let kept = current.map(|current| current[*field].clone()).unwrap_or_default();
        whole.entry(*field).or_insert(kept);
    }
    whole.entry("model").or_insert_with(|| json!("builtin.echo"));
    if whole["model"].is_null() {
        whole.insert("model".into(), json!("builtin.echo"));
    }
    let problems = Problems::default();
    let whole = Value::Object(whole);
    let spec = ObjectReader::new(&whole, "", &problems).and_then(|mut it| AgentSpec::read(&mut it));
    if let Err(problems) = problems.finish(()) {
        return problems;
    }
    let shown = spec.map(|spec| spec.to_value()).unwrap_or_default();
    for (field, value) in desired.iter_mut() {
        if let Some(shown) = shown.get(field) {
            *value = shown.clone();
        }
    }
    Vec::new()
}

fn tool(desired: &Map<String, Value>, current: Option<&Value>) -> Vec<FieldProblem> {
    let kind = desired.get("kind").or(current.map(|current| &current["kind"]));
    let kind = kind.and_then(Value::as_str).and_then(ToolKind::named);
    match (kind, desired.get("config").filter(|config| !config.is_null())) {
        (Some(kind), Some(config)) => {
            let problems = Problems::default();
            ToolSpec::read(kind, config, &problems);
            problems.finish(()).err().unwrap_or_default()
        }
        // The server says what kinds it has.
        _ => Vec::new(),
    }
}

/// It is kept without its last slash.
fn trim_base_url(desired: &mut Map<String, Value>) {
    let given = desired.get("base_url").and_then(Value::as_str);
    if let Some(url) = given.and_then(|text| Url::parse(text).ok()) {
        desired.insert("base_url".into(), url.as_str().trim_end_matches('/').into());
    }
}
