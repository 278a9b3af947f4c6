//! What an operation is called in programs: `listTriggers`, `rotateTriggerSecret`. The names follow
//! from methods and addresses by rule, so that none has to be made up, and none changes unless its
//! address does.

use crate::http::operation::{Method, Operation, Resource};

/// A part of an address that is not in braces.
struct Part<'a> {
    word: &'a str,
    /// Whether it is followed by an id: one of them is meant.
    is_one: bool,
}

/// Where the rule would give two operations the same name.
const NOUNS: [(&str, &str); 1] = [("/api/tenant", "OwnTenant")];

/// The name of an operation; unique, as a test tells.
pub(super) fn operation_id(resource: &Resource, operation: &Operation) -> String {
    let id = by_rule(resource.path, operation);
    let same = |at: &&Operation| by_rule(resource.path, at) == id;
    let is_first =
        resource.operations.iter().find(same).is_some_and(|at| at.method == operation.method);
    if is_first {
        id
    } else {
        format!("{id}As{}", capitalised(&operation.method.name().to_lowercase()))
    }
}

fn by_rule(path: &str, operation: &Operation) -> String {
    if let Some((_, noun)) = NOUNS.iter().find(|(at, _)| *at == path) {
        return format!("{}{noun}", verb(operation));
    }
    let mut parts = parts(path);
    let Some(last) = parts.pop() else { return verb(operation).to_owned() };
    let owners: String = parts.iter().map(|part| singular(&joined(part.word))).collect();
    if last.is_one {
        return format!("{}{owners}{}", verb(operation), singular(&joined(last.word)));
    }
    let is_collection = last.word.ends_with('s');
    match operation.method {
        Method::Get if is_list(operation) => format!("list{owners}{}", joined(last.word)),
        Method::Post | Method::Put if !is_collection => {
            let objects: String = parts.iter().map(noun_of).collect();
            action(last.word, &objects)
        }
        Method::Post => format!("create{owners}{}", singular(&joined(last.word))),
        _ => format!("{}{owners}{}", verb(operation), joined(last.word)),
    }
}

/// `rotate-secret` of a `Trigger` is `rotateTriggerSecret`.
fn action(word: &str, object: &str) -> String {
    let (verb, rest) = word.split_once(['-', '_']).unwrap_or((word, ""));
    format!("{verb}{object}{}", joined(rest))
}

fn verb(operation: &Operation) -> &'static str {
    match operation.method {
        Method::Get => "get",
        Method::Post => "create",
        Method::Put => "replace",
        Method::Patch => "update",
        Method::Delete => "delete",
    }
}

fn is_list(operation: &Operation) -> bool {
    operation.summary.starts_with("List")
}

/// The words of an address, without those that say nothing but whose it is.
fn parts(path: &str) -> Vec<Part<'_>> {
    let is_managed = path.starts_with("/manage/");
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let follows = |index: usize| segments.get(index + 1).is_some_and(|next| next.starts_with('{'));
    let says_something = |part: &Part<'_>| match part.word {
        "api" | "v1" | "manage" => false,
        "tenants" | "projects" => !is_managed,
        word => !word.starts_with('{'),
    };
    let parts = segments.iter().enumerate();
    parts
        .map(|(index, word)| Part { word, is_one: follows(index) })
        .filter(says_something)
        .collect()
}

fn noun_of(part: &Part<'_>) -> String {
    let noun = joined(part.word);
    if part.is_one { singular(&noun) } else { noun }
}

/// `tool-calls` is `ToolCalls`.
fn joined(words: &str) -> String {
    words.split(['-', '_']).map(capitalised).collect()
}

pub(super) fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn singular(noun: &str) -> String {
    match noun.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => noun.strip_suffix('s').unwrap_or(noun).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::web;

    use super::*;
    use crate::http::operation::Access;

    fn id(method: &str, path: &'static str, summary: &'static str) -> String {
        let of = match method {
            "GET" => Operation::get,
            "POST" => Operation::post,
            "PUT" => Operation::put,
            "PATCH" => Operation::patch,
            _ => Operation::delete,
        };
        by_rule(path, &of(summary, Access::Public, web::route))
    }

    #[test]
    fn names_follow_from_addresses() {
        for (method, path, summary, expected) in [
            ("GET", "/api/event-deliveries", "List", "listEventDeliveries"),
            ("POST", "/api/event-deliveries", "Make", "createEventDelivery"),
            ("POST", "/api/event-deliveries/{id}/send-again", "Send", "sendEventDeliveryAgain"),
            ("GET", "/api/triggers/stats", "Count", "getTriggerStats"),
            ("GET", "/api/triggers/{id}/executions", "List", "listTriggerExecutions"),
            ("GET", "/api/triggers/{id}/executions/{e}", "Show", "getTriggerExecution"),
            ("POST", "/api/triggers/{id}/rotate-secret", "Rotate", "rotateTriggerSecret"),
            ("PUT", "/api/executions/{id}/tool-calls/{c}/deny", "Deny", "denyExecutionToolCall"),
            ("POST", "/api/members/import", "Import", "importMembers"),
            ("GET", "/api/v1/sessions/{id}/trigger-context", "Show", "getSessionTriggerContext"),
            ("PATCH", "/api/tenant", "Change", "updateOwnTenant"),
            ("PATCH", "/api/tenants/{id}", "Change", "updateTenant"),
            (
                "POST",
                "/manage/tenants/{t}/projects/{p}/agents/{a}/triggers",
                "Make",
                "createAgentTrigger",
            ),
        ] {
            assert_eq!(id(method, path, summary), expected, "{method} {path}");
        }
    }
}
