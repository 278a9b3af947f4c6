//! From a body to an agent that can be saved, or to all that is wrong with it.

use recado_http::ApiError;
use recado_store::agents::{Agent, AgentDraft, Labels, Missing};
use recado_store::{Store, tenants};
use recado_types::agent::AgentSpec;
use recado_types::shape::{ObjectReader, Problems};
use recado_types::{ProjectId, TenantId};
use serde_json::{Map, Value, json};

use crate::failure::{invalid, store_failed};
use crate::merge::merge_patch;

pub(super) const MAX_NAME: usize = 255;
pub(super) const MAX_EXTERNAL_ID: usize = 255;
pub(super) const MAX_LABELS: usize = 64;
pub(super) const MAX_LABEL_KEY: usize = 63;
pub(super) const MAX_LABEL_VALUE: usize = 255;

/// What an agent is besides what can be changed.
const READ_ONLY: [&str; 4] = ["id", "version", "created_at", "updated_at"];

/// What a body makes of an agent.
#[derive(Debug)]
pub(super) struct Reading {
    /// The tenant's oldest project without it.
    project_id: Option<ProjectId>,
    name: String,
    external_id: Option<String>,
    labels: Labels,
    spec: AgentSpec,
}

impl Reading {
    /// Of the body of a POST.
    pub(super) fn of_new(body: &Value) -> Result<Self, ApiError> {
        let problems = Problems::default();
        let read = ObjectReader::new(body, "", &problems).and_then(read);
        problems.finish(()).map_err(invalid)?;
        Ok(read.expect("what is missing is a problem"))
    }

    /// Of the body of a PATCH, on top of what is there. The result is judged, not the patch.
    pub(super) fn of_patch(current: &Agent, body: &Value) -> Result<Self, ApiError> {
        let Value::Object(changes) = body else { return Self::of_new(body) };
        let mut merged = writable(current);
        for (name, change) in changes {
            // A `null` stays where it is: it counts as absent, so the field gets its default, or is
            // said to be required, or not to be known.
            let before = merged.remove(name).unwrap_or_default();
            merged.insert(name.clone(), merge_patch(before, change));
        }
        Self::of_new(&Value::Object(merged))
    }

    /// The draft, in the tenant's oldest project unless another one is named.
    pub(super) async fn draft(
        self,
        store: &Store,
        tenant: TenantId,
    ) -> Result<AgentDraft, ApiError> {
        let Self { project_id, name, external_id, labels, spec } = self;
        let project_id = match project_id {
            Some(project) => project,
            None => tenants::default_project(store, tenant)
                .await
                .map_err(store_failed)?
                .ok_or_else(|| ApiError::invalid_field("project_id", "is required"))?,
        };
        Ok(AgentDraft { project_id, name, external_id, labels, spec })
    }
}

/// 400, naming every reference in vain by its path.
pub(super) fn refused(spec: &AgentSpec, missing: &Missing) -> ApiError {
    let problems = Problems::default();
    if missing.project {
        problems.add("project_id", "is no project of this tenant");
    }
    for (path, model) in spec.model_refs() {
        if missing.providers.contains(&model.provider) {
            problems.add(path, "begins with no provider of this tenant");
        }
    }
    for (path, tool) in spec.tool_refs() {
        if missing.tools.contains(&tool) {
            problems.add(path, "is no tool of this tenant");
        }
    }
    invalid(problems.finish(()).err().unwrap_or_default())
}

/// An agent as a POST would make it.
fn writable(agent: &Agent) -> Map<String, Value> {
    let mut fields = agent.spec.as_object().cloned().unwrap_or_default();
    fields.insert("project_id".into(), json!(agent.project_id));
    fields.insert("name".into(), json!(agent.name));
    fields.insert("external_id".into(), json!(agent.external_id));
    fields.insert("labels".into(), json!(agent.labels));
    fields
}

fn read(mut fields: ObjectReader<'_>) -> Option<Reading> {
    let project_id = fields.parsed("project_id");
    let name = fields.required_name("name", MAX_NAME).map(str::to_owned);
    let external_id = fields.string("external_id", 1..=MAX_EXTERNAL_ID).map(str::to_owned);
    let labels = read_labels(&mut fields);
    // Empty is fine, forgotten is not.
    fields.required("system_prompt");
    let spec = AgentSpec::read(&mut fields);
    fields.read_only(&READ_ONLY);
    fields.done();
    Some(Reading { project_id, name: name?, external_id, labels, spec: spec? })
}

fn read_labels(fields: &mut ObjectReader<'_>) -> Labels {
    let mut labels = Labels::new();
    for (key, value) in fields.entries("labels", MAX_LABELS) {
        let shown: String = key.chars().take(MAX_LABEL_KEY).collect();
        let path = fields.path_of(&format!("labels.{shown}"));
        if !(1..=MAX_LABEL_KEY).contains(&key.chars().count()) {
            let reason = format!("must have a name of 1 to {MAX_LABEL_KEY} characters");
            fields.problems().add(&path, reason);
        }
        let value = value.as_str().filter(|text| text.chars().count() <= MAX_LABEL_VALUE);
        if value.is_none() {
            let reason = format!("must be a text of at most {MAX_LABEL_VALUE} characters");
            fields.problems().add(&path, reason);
        }
        labels.extend(value.map(|text| (key.clone(), text.to_owned())));
    }
    labels
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn new() -> Value {
        json!({"name": "a", "model": "builtin.echo", "system_prompt": ""})
    }

    fn with(changes: &Value) -> Value {
        merge_patch(new(), changes)
    }

    fn agent(body: &Value) -> Agent {
        let reading = Reading::of_new(body).unwrap();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Agent {
            id: "00000000-0000-0000-0000-000000000001".parse().unwrap(),
            project_id: "00000000-0000-0000-0000-000000000002".parse().unwrap(),
            name: reading.name,
            external_id: reading.external_id,
            labels: reading.labels,
            spec: reading.spec.to_value(),
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    #[test]
    fn a_new_agent_needs_name_model_and_prompt() {
        let wrong = json!({"model": "gpt", "version": 3, "temperature": 1});
        let error = Reading::of_new(&wrong).unwrap_err();
        assert_eq!(error.message(), "5 fields are missing or invalid");
        assert!(Reading::of_new(&new()).is_ok());
    }

    #[test]
    fn a_patch_may_be_empty_but_takes_no_identity_away() {
        let current = agent(&new());
        let unchanged = Reading::of_patch(&current, &json!({})).unwrap();
        assert_eq!(unchanged.spec.to_value(), current.spec);
        for bad in ["name", "model", "system_prompt", "id", "unknown"] {
            if bad == "id" {
                assert!(Reading::of_patch(&current, &json!({"id": "x"})).is_err());
            } else {
                assert!(Reading::of_patch(&current, &json!({bad: null})).is_err(), "{bad}");
            }
        }
        assert!(Reading::of_patch(&current, &json!([])).is_err());
    }

    #[test]
    fn a_patch_merges_objects_replaces_lists_and_resets_what_it_takes_away() {
        let current = agent(&with(&json!({
            "external_id": "crm-7",
            "labels": {"team": "sales", "stage": "test"},
            "sampling": {"temperature": 0.5, "seed": 7, "stop": ["a", "b"]},
            "limits": {"max_iterations": 3},
        })));
        let patched = Reading::of_patch(
            &current,
            &json!({
                "external_id": null,
                "labels": {"stage": null, "city": "Natal"},
                "sampling": {"seed": null, "stop": ["c"]},
                "limits": null,
            }),
        )
        .unwrap();
        assert_eq!(patched.external_id, None);
        assert_eq!(json!(patched.labels), json!({"team": "sales", "city": "Natal"}));
        let sampling = &patched.spec.sampling;
        assert_eq!((sampling.temperature, sampling.seed), (Some(0.5), None));
        assert_eq!(sampling.stop, ["c"]);
        assert_eq!(patched.spec.limits, recado_types::agent::Limits::default());
        assert_eq!(patched.project_id, Some(current.project_id));
    }

    #[test]
    fn labels_are_few_and_short() {
        let many: Map<String, Value> = (0..65).map(|n| (n.to_string(), json!("x"))).collect();
        for labels in [
            json!(many),
            json!([]),
            json!({"": "x"}),
            json!({"k".repeat(64): "x"}),
            json!({"k": "v".repeat(256)}),
            json!({"k": 1}),
        ] {
            let mut body = new();
            body["labels"] = labels;
            assert!(Reading::of_new(&body).is_err(), "{body}");
        }
        let long = json!({"labels": {"k".repeat(63): "v".repeat(255), "empty": ""}});
        assert_eq!(Reading::of_new(&with(&long)).unwrap().labels.len(), 2);
    }
}
