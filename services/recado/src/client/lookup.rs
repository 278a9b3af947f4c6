//! From what people call something to what the server knows of it.

use std::collections::HashMap;

use serde_json::Value;

use super::api::{Answer, Api, Listed};
use super::cli::Output;
use super::failure::Failure;
use super::kind::Kind;
use crate::table::one_line;

/// More than these are not searched: what is behind them has to be named by its id.
const MAX_SEARCHED: usize = 10_000;
/// As many names are looked up for a table.
const MAX_NAMED: usize = 1_000;

/// Finds one by its id, its external id or its name.
pub(super) async fn find(api: &Api, kind: Kind, called: &str) -> Result<Answer, Failure> {
    let id = id_of(api, kind, called).await?;
    api.get(&["api", kind.path(), &id]).await
}

/// The id of the one that is called so.
pub(super) async fn id_of(api: &Api, kind: Kind, called: &str) -> Result<String, Failure> {
    if kind.is_id(called) {
        return Ok(called.to_owned());
    }
    match only(kind, called, &all(api, kind).await?) {
        Ok(Some(found)) => Ok(id(found)),
        Ok(None) => Err(Failure::failed(format!("there is no {}", calling(kind, called)))),
        Err(ambiguous) => Err(Failure::Failed(ambiguous)),
    }
}

/// All of a kind.
pub(super) async fn all(api: &Api, kind: Kind) -> Result<Vec<Value>, Failure> {
    let listed = api.list(&["api", kind.path()], &[], MAX_SEARCHED).await?;
    if listed.more {
        let what = kind.plural();
        return Err(Failure::failed(format!(
            "there are more than {MAX_SEARCHED} {what}: they cannot be told apart by their names"
        )));
    }
    Ok(listed.entries)
}

/// Puts names in the place of the ids in a column, for people: programs keep the ids.
///
/// The names come from one list, which is asked for once; who is not among its first, or was
/// deleted, keeps the id, and so does everybody if there is no list to be had: what was asked for is
/// there, and is worth more than a name.
pub(super) async fn name_ids(
    api: &Api,
    kind: Kind,
    listed: &mut Listed,
    field: &str,
    output: Output,
) {
    if listed.entries.is_empty() || output == Output::Json {
        return;
    }
    let known = match api.list(&["api", kind.path()], &[], MAX_NAMED).await {
        Ok(known) => known.entries,
        Err(_) => return,
    };
    replace_ids(&mut listed.entries, field, &known);
}

fn replace_ids(entries: &mut [Value], field: &str, known: &[Value]) {
    let names: HashMap<&str, &Value> =
        known.iter().filter_map(|it| Some((it["id"].as_str()?, &it["name"]))).collect();
    for entry in entries {
        let name = entry[field].as_str().and_then(|id| names.get(id)).copied();
        if let Some(name) = name {
            entry[field] = name.clone();
        }
    }
}

/// The one of `candidates` that has this external id or name; an error if there are several.
pub(super) fn only<'v>(
    kind: Kind,
    called: &str,
    candidates: impl IntoIterator<Item = &'v Value>,
) -> Result<Option<&'v Value>, String> {
    let is_called = |entry: &&Value| entry["external_id"] == called || entry["name"] == called;
    let found: Vec<&Value> = candidates.into_iter().filter(is_called).collect();
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        several => {
            let ids: Vec<String> = several.iter().copied().map(id).collect();
            Err(ambiguous(kind, called, &ids))
        }
    }
}

/// That a name is no name, since it is several things'.
pub(super) fn ambiguous(kind: Kind, called: &str, ids: &[String]) -> String {
    let what = kind.plural().replace('_', " ");
    format!("there are several {what} called `{}`: {}", one_line(called), ids.join(", "))
}

/// How one is spoken of: trigger `ERP`.
pub(super) fn calling(kind: Kind, called: &str) -> String {
    format!("{} `{}`", kind.singular(), one_line(called))
}

pub(super) fn id(entry: &Value) -> String {
    entry["id"].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_has_no_name_of_its_own_is_named_by_its_id() {
        let agents = [
            json!({"id": "1", "name": "Echo", "external_id": null}),
            json!({"id": "2", "name": "Sales", "external_id": "Echo"}),
            json!({"id": "3", "name": "Support", "external_id": "support"}),
        ];
        let only = |called| only(Kind::Agent, called, &agents).map(|found| found.map(id));
        assert_eq!(only("Support"), Ok(Some("3".into())));
        assert_eq!(only("support"), Ok(Some("3".into())));
        assert_eq!(only("nobody"), Ok(None));
        assert_eq!(only("Echo"), Err("there are several agents called `Echo`: 1, 2".into()));
        assert!(Kind::Agent.is_id("01930000-0000-7000-8000-000000000001"));
        assert!(!Kind::Agent.is_id("Echo"));
    }

    #[test]
    fn names_stand_where_they_are_known() {
        let mut rows = [json!({"agent_id": "1"}), json!({"agent_id": "2"}), json!({})];
        replace_ids(&mut rows, "agent_id", &[json!({"id": "1", "name": "Echo"})]);
        assert_eq!(rows, [json!({"agent_id": "Echo"}), json!({"agent_id": "2"}), json!({})]);
    }
}
