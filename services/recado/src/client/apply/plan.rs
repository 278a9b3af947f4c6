//! What there is to do, known before anything is done.

use std::collections::{HashMap, HashSet};

use reqwest::header::HeaderValue;
use serde_json::{Map, Value};

use super::diff::Diff;
use super::mistakes::Mistakes;
use super::order::{Step, Task, order};
use super::resolve::Resource;
use crate::client::api::Api;
use crate::client::failure::Failure;
use crate::client::kind::Kind;

/// What becomes of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Change,
    Nothing,
}

/// A thing, and what becomes of it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) resource: Resource,
    pub(super) action: Action,
    pub(super) diff: Diff,
    /// Which version was compared, if the server tells.
    pub(super) etag: Option<HeaderValue>,
}

/// Compares everything with what is there. What differs is looked at once more by itself, with its
/// version, so that nobody else's change is written over.
pub(super) async fn plan(api: &Api, resources: Vec<Resource>) -> Result<Vec<Planned>, Failure> {
    let mut mistakes = Mistakes::default();
    let mut planned = Vec::new();
    for resource in resources {
        let kind = resource.item.kind;
        let Some(listed) = &resource.current else {
            let diff = Diff::of_new(kind, &resource.body);
            planned.push(Planned { resource, action: Action::Create, diff, etag: None });
            continue;
        };
        let mut diff = Diff::of(kind, &resource.desired, listed);
        let mut etag = None;
        if diff != Diff::default() {
            let (version, now) = api.get(&["api", kind.path(), &resource.id]).await?.into_parts();
            etag = version;
            diff = Diff::of(kind, &resource.desired, &now);
        }
        for field in &diff.fixed {
            mistakes.add_of(&resource.item, field, "cannot be changed");
        }
        let action = if diff.patch.is_empty() { Action::Nothing } else { Action::Change };
        planned.push(Planned { resource, action, diff, etag });
    }
    mistakes.finish()?;
    planned.sort_by_key(|it| it.resource.item.kind);
    Ok(planned)
}

impl Planned {
    /// What is to be sent; of something new all of it, otherwise what differs.
    pub(super) fn body(&self) -> &Map<String, Value> {
        match self.action {
            Action::Create => &self.resource.body,
            Action::Change | Action::Nothing => &self.diff.patch,
        }
    }
}

/// The requests, in an order in which each has what it needs; by the places in `planned`.
pub(super) fn steps(planned: &[Planned]) -> Vec<Step> {
    let is_new = |it: &&Planned| it.action == Action::Create;
    let new: HashSet<&str> =
        planned.iter().filter(is_new).map(|it| it.resource.id.as_str()).collect();
    let places: Vec<usize> =
        (0..planned.len()).filter(|place| planned[*place].action != Action::Nothing).collect();
    let task = |place: &usize| {
        let thing = &planned[*place];
        let mut needs = HashSet::new();
        for value in thing.body().values() {
            texts(value, &mut |text| {
                if new.contains(text) {
                    needs.insert(text.to_owned());
                }
            });
        }
        Task {
            id: thing.resource.id.clone(),
            is_new: thing.action == Action::Create,
            is_agent: thing.resource.item.kind == Kind::Agent,
            needs,
        }
    };
    let tasks: Vec<Task> = places.iter().map(task).collect();
    let in_plan = |step: Step| match step {
        Step::Whole(index) => Step::Whole(places[index]),
        Step::WithoutTools(index) => Step::WithoutTools(places[index]),
        Step::Tools(index) => Step::Tools(places[index]),
    };
    order(&tasks).into_iter().map(in_plan).collect()
}

/// Every text in a value.
fn texts(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, visit)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// With the ids of what was made since, in place of what stood in for them.
pub(super) fn with_ids(value: &Value, made: &HashMap<String, String>) -> Value {
    match value {
        Value::String(text) => made.get(text).unwrap_or(text).as_str().into(),
        Value::Array(items) => items.iter().map(|item| with_ids(item, made)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), with_ids(field, made))).collect()
        }
        plain => plain.clone(),
    }
}

/// Without the tools that are yet to be made, its own and those of its variations.
pub(super) fn without_tools(
    body: &Map<String, Value>,
    missing: &HashSet<&str>,
) -> Map<String, Value> {
    let mut body = body.clone();
    let is_there = |tool: &Value| {
        let id = tool.as_str().or(tool["tool"].as_str());
        id.is_none_or(|id| !missing.contains(id))
    };
    let keep = |tools: Option<&mut Value>| {
        if let Some(Value::Array(tools)) = tools {
            tools.retain(is_there);
        }
    };
    keep(body.get_mut("tools"));
    let variations = body.get_mut("variations").and_then(Value::as_array_mut);
    for variation in variations.into_iter().flatten() {
        keep(variation.get_mut("tools"));
    }
    body
}
