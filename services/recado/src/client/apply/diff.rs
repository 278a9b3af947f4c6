//! What would change, and the PATCH that changes it.
//!
//! Only what a file says is compared: what it leaves out is somebody else's.

use serde_json::{Map, Value};

use crate::client::kind::{Kind, Rule};

/// One value that is not as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// `trigger_config.execution.timeout_ms`.
    pub(super) path: String,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

/// What makes `current` as `desired` says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Diff {
    pub(super) patch: Map<String, Value>,
    pub(super) changes: Vec<Change>,
    /// What would have to change and cannot.
    pub(super) fixed: Vec<&'static str>,
}

impl Diff {
    pub(super) fn of(kind: Kind, desired: &Map<String, Value>, current: &Value) -> Self {
        let mut diff = Self::default();
        for (field, rule) in kind.fields() {
            let Some(after) = desired.get(*field) else { continue };
            let before = &current[*field];
            let (before, after) = match rule {
                Rule::AnyOrder => (&sorted(before), &sorted(after)),
                Rule::Merged => (&without_nulls(before), &without_nulls(after)),
                Rule::Fixed | Rule::Replaced => (before, after),
            };
            if same(before, after) || (is_nothing(before) && is_nothing(after)) {
                continue;
            }
            if *rule == Rule::Fixed {
                diff.fixed.push(field);
                continue;
            }
            let is_merged = *rule == Rule::Merged;
            let patch = if is_merged { merging(before, after) } else { desired[*field].clone() };
            diff.patch.insert((*field).to_owned(), patch);
            compare(field, Some(before), Some(after), &mut diff.changes);
        }
        diff
    }

    /// Of a thing that is to be made: everything is new.
    pub(super) fn of_new(kind: Kind, body: &Map<String, Value>) -> Self {
        let mut diff = Self::default();
        let fields = kind.fields().iter().filter(|(field, _)| *field != "name");
        for (field, after) in fields.filter_map(|(field, _)| Some((field, body.get(*field)?))) {
            compare(field, None, Some(after), &mut diff.changes);
        }
        diff
    }
}

/// Whether two values mean the same: 1 is 1.0.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let has_same = |(key, a): (&String, &Value)| b.get(key).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(has_same)
        }
        (one, other) => one == other,
    }
}

/// What the API answers where nothing was given.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn sorted(value: &Value) -> Value {
    let Value::Array(items) = value else { return value.clone() };
    let mut items = items.clone();
    items.sort_by_key(Value::to_string);
    Value::Array(items)
}

/// A merge patch cannot say `null`, so it is what is not there. Lists are replaced as they are.
fn without_nulls(value: &Value) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let kept = fields.iter().filter(|(_, value)| !value.is_null());
    kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
}

/// The merge patch (RFC 7396) that makes `after` of `before`.
fn merging(before: &Value, after: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return after.clone() };
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let mut patch: Map<String, Value> = gone.map(|name| (name.clone(), Value::Null)).collect();
    for (name, after) in new {
        match old.get(name) {
            Some(before) if same(before, after) => {}
            Some(before) => drop(patch.insert(name.clone(), merging(before, after))),
            None => drop(patch.insert(name.clone(), after.clone())),
        }
    }
    Value::Object(patch)
}

/// Names every value that differs, as deep as there are objects and lists.
fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    if let (Some(before), Some(after)) = (before, after)
        && same(before, after)
    {
        return;
    }
    let nothing = Map::new();
    let fields = |value: Option<&Value>| match value {
        Some(Value::Object(fields)) => Some(fields.clone()),
        None | Some(Value::Null) => Some(nothing.clone()),
        Some(_) => None,
    };
    let items = |value: Option<&Value>| match value {
        Some(Value::Array(items)) => Some(items.clone()),
        None | Some(Value::Null) => Some(Vec::new()),
        Some(_) => None,
    };
    let is_inner = |value: Option<&Value>, is: fn(&Value) -> bool| value.is_some_and(is);
    let deep = |is: fn(&Value) -> bool| is_inner(before, is) || is_inner(after, is);
    match (fields(before), fields(after), items(before), items(after)) {
        (Some(old), Some(new), ..)
            if deep(Value::is_object) && !(old.is_empty() && new.is_empty()) =>
        {
            let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                compare(&format!("{path}.{name}"), old.get(name), new.get(name), changes);
            }
        }
        (_, _, Some(old), Some(new))
            if deep(Value::is_array) && !(old.is_empty() && new.is_empty()) =>
        {
            for index in 0..old.len().max(new.len()) {
                compare(&format!("{path}[{index}]"), old.get(index), new.get(index), changes);
            }
        }
        _ => {
            let known = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
            let (before, after) = (known(before), known(after));
            if before.is_some() || after.is_some() {
                changes.push(Change { path: path.to_owned(), before, after });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn diff(kind: Kind, desired: Value, current: &Value) -> Diff {
        let Value::Object(desired) = desired else { panic!("an object is expected") };
        Diff::of(kind, &desired, current)
    }

    #[test]
    fn what_a_file_does_not_say_is_left_alone() {
        let current = json!({
            "name": "ERP", "enabled": false, "description": "",
            "trigger_config": {"execution": {"timeout_ms": 5000.0, "mode": "sync"}, "auth": {}},
        });
        let same = json!({
            "name": "ERP", "description": null,
            "trigger_config": {"execution": {"mode": "sync", "timeout_ms": 5000}, "auth": {}},
        });
        assert_eq!(diff(Kind::Trigger, same, &current), Diff::default());
    }

    #[test]
    fn a_change_is_told_value_by_value_and_patched_alone() {
        let current = json!({
            "name": "ERP", "trigger_config": {
                "execution": {"mode": "sync", "timeout_ms": 5000}, "idempotency": {"path": "id"},
            },
        });
        let desired = json!({
            "name": "ERP", "trigger_config": {
                "execution": {"mode": "sync", "timeout_ms": 9000}, "auth": {"type": "none"},
            },
        });
        let found = diff(Kind::Trigger, desired, &current);
        let patch = json!({"trigger_config": {
            "execution": {"timeout_ms": 9000}, "auth": {"type": "none"}, "idempotency": null,
        }});
        assert_eq!(Value::Object(found.patch), patch);
        let told: Vec<String> = found
            .changes
            .iter()
            .map(|it| format!("{} {:?} {:?}", it.path, it.before, it.after))
            .collect();
        assert_eq!(
            told,
            [
                r#"trigger_config.auth.type None Some(String("none"))"#,
                "trigger_config.execution.timeout_ms Some(Number(5000)) Some(Number(9000))",
                r#"trigger_config.idempotency.path Some(String("id")) None"#,
            ]
        );
    }

    #[test]
    fn lists_without_an_order_and_fields_that_stay() {
        let current = json!({"name": "e", "url": "u", "event_types": ["b", "a"], "agent_id": null});
        let same = json!({"name": "e", "event_types": ["a", "b"]});
        assert_eq!(diff(Kind::EventEndpoint, same, &current), Diff::default());
        let other = diff(Kind::EventEndpoint, json!({"event_types": []}), &current);
        assert_eq!(Value::Object(other.patch), json!({"event_types": []}));
        let provider = json!({"name": "p", "kind": "anthropic", "secret_ref": "A"});
        let changed = json!({"name": "p", "kind": "openai_compatible", "secret_ref": null});
        let found = diff(Kind::Provider, changed, &provider);
        assert_eq!(found.fixed, ["kind"]);
        assert_eq!(Value::Object(found.patch), json!({"secret_ref": null}));
    }

    #[test]
    fn a_new_thing_is_told_in_full() {
        let body = json!({"name": "A", "tools": [{"tool": "x"}], "labels": {}, "model": "m"});
        let Value::Object(body) = body else { panic!() };
        let paths: Vec<String> =
            Diff::of_new(Kind::Agent, &body).changes.into_iter().map(|it| it.path).collect();
        assert_eq!(paths, ["labels", "model", "tools[0].tool"]);
    }

    /// RFC 7396, section 2.
    fn merged(target: &Value, patch: &Value) -> Value {
        let Value::Object(changes) = patch else { return patch.clone() };
        let mut fields = target.as_object().cloned().unwrap_or_default();
        for (name, change) in changes {
            let before = fields.remove(name);
            if !change.is_null() {
                fields.insert(name.clone(), merged(&before.unwrap_or_default(), change));
            }
        }
        Value::Object(fields)
    }

    fn objects() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![(0..3_i64).prop_map(Value::from), "[ab]{0,1}".prop_map(Value::from)];
        let value = leaf.prop_recursive(3, 16, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[abc]", value, 0..4)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn a_patch_leads_to_what_was_wanted_and_then_to_nothing(
            before in objects(), after in objects(),
        ) {
            let (current, desired) =
                (json!({"trigger_config": before}), json!({"trigger_config": after}));
            let found = diff(Kind::Trigger, desired.clone(), &current);
            prop_assert_eq!(found.patch.is_empty(), found.changes.is_empty());
            let then = merged(&current, &Value::Object(found.patch));
            prop_assert_eq!(diff(Kind::Trigger, desired, &then), Diff::default());
        }
    }
}
