//! From a body to a tool that can be saved, or to all that is wrong with it.

use recado_http::ApiError;
use recado_store::tools::{Missing, Tool, ToolDraft};
use recado_types::shape::{ObjectReader, Problems};
use recado_types::tool::{MAX_TOOL_NAME, ToolKind, ToolSpec, is_tool_name};
use serde_json::Value;

use crate::failure::invalid;

/// Every call of the model carries it.
pub(super) const MAX_DESCRIPTION: usize = 4_000;

/// What a tool is besides what can be given.
const READ_ONLY: [&str; 3] = ["id", "created_at", "updated_at"];

/// A tool that can be saved, and how its configuration is understood.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) draft: ToolDraft,
    spec: ToolSpec,
}

impl Reading {
    /// 400, naming every reference in vain by its path.
    pub(super) fn refused(&self, missing: &Missing) -> ApiError {
        let problems = Problems::default();
        if missing.agent {
            problems.add("config.agent_id", "is no agent of this tenant");
        }
        for (path, name) in self.spec.secret_refs() {
            if missing.secrets.iter().any(|secret| secret == name) {
                problems.add(path, format!("there is no secret `{name}`"));
            }
        }
        invalid(problems.finish(()).err().unwrap_or_default())
    }
}

/// Of the body of a POST.
pub(super) fn read_new(body: &Value) -> Result<Reading, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        fields.required("name");
        let name = read_name(&mut fields);
        let description = fields.string("description", 0..=MAX_DESCRIPTION).unwrap_or_default();
        fields.required("kind");
        let kind = fields.choice("kind", &ToolKind::BY_NAME);
        let config = fields.required("config");
        fields.read_only(&READ_ONLY);
        fields.done();
        let (kind, config) = (kind?, config?);
        let spec = ToolSpec::read(kind, config, &problems)?;
        Some(reading(name?, description.to_owned(), config.clone(), spec))
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("what is missing is a problem"))
}

/// Of the body of a PATCH, on top of what is there.
pub(super) fn patched(current: Tool, body: &Value) -> Result<Reading, ApiError> {
    let problems = Problems::default();
    let read = ObjectReader::new(body, "", &problems).and_then(|mut fields| {
        for kept in ["name", "config"] {
            if fields.is_null(kept) {
                fields.refuse(kept, "cannot be taken away");
            }
        }
        let name = read_name(&mut fields).unwrap_or(current.name);
        let reset = fields.is_null("description");
        let description = fields.string("description", 0..=MAX_DESCRIPTION).map(str::to_owned);
        let description =
            if reset { String::new() } else { description.unwrap_or(current.description) };
        let config = fields.any("config").cloned().unwrap_or(current.config);
        // The configuration of one kind means nothing to another.
        fields.read_only(&["kind"]);
        fields.read_only(&READ_ONLY);
        fields.done();
        let spec = ToolSpec::read(current.kind, &config, &problems)?;
        Some(reading(name, description, config, spec))
    });
    problems.finish(()).map_err(invalid)?;
    Ok(read.expect("what is missing is a problem"))
}

fn reading(name: String, description: String, config: Value, spec: ToolSpec) -> Reading {
    let mut secret_refs: Vec<String> =
        spec.secret_refs().into_iter().map(|(_, name)| name.to_owned()).collect();
    secret_refs.sort();
    secret_refs.dedup();
    let (kind, agent_id) = (spec.kind(), spec.agent_id());
    Reading { draft: ToolDraft { name, description, kind, config, secret_refs, agent_id }, spec }
}

fn read_name(fields: &mut ObjectReader<'_>) -> Option<String> {
    let name = fields.string("name", 1..=MAX_TOOL_NAME)?;
    if !is_tool_name(name) {
        fields.refuse("name", "must have only letters without accents, digits, `_` and `-`");
        return None;
    }
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    const AGENT: &str = "00000000-0000-0000-0000-000000000001";

    fn new() -> Value {
        json!({"name": "ask", "kind": "agent", "config": {"agent_id": AGENT}})
    }

    fn tool() -> Tool {
        let draft = read_new(&new()).unwrap().draft;
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Tool {
            id: AGENT.parse().unwrap(),
            name: draft.name,
            description: "Knows.".into(),
            kind: draft.kind,
            config: draft.config,
            created_at: now,
            updated_at: now,
        }
    }

    #[test]
    fn every_mistake_of_a_new_tool_is_named() {
        let read = read_new(&new()).unwrap();
        assert_eq!(read.draft.agent_id, Some(AGENT.parse().unwrap()));
        assert_eq!(read.draft.description, "");
        let wrong = json!({"name": "a b", "kind": "agent", "config": {"x": 1}, "id": 1, "y": 2});
        let error = read_new(&wrong).unwrap_err();
        // name, id, y, config.agent_id, config.x
        assert_eq!(error.message(), "5 fields are missing or invalid");
        assert_eq!(
            read_new(&json!({})).unwrap_err().message(),
            "3 fields are missing or invalid",
            "name, kind, config"
        );
        assert!(read_new(&json!([])).is_err());
    }

    #[test]
    fn a_patch_keeps_what_it_does_not_name_and_the_kind_always() {
        let same = patched(tool(), &json!({})).unwrap().draft;
        assert_eq!((same.name.as_str(), same.description.as_str()), ("ask", "Knows."));
        let reset = patched(tool(), &json!({"description": null, "name": "b"})).unwrap().draft;
        assert_eq!((reset.name.as_str(), reset.description.as_str()), ("b", ""));
        for bad in [
            json!({"kind": "agent"}),
            json!({"name": null}),
            json!({"config": null}),
            json!({"config": {}}),
            json!({"updated_at": "now"}),
        ] {
            assert!(patched(tool(), &bad).is_err(), "{bad}");
        }
    }
}
