//! From what a file says to what the API takes: names become ids, and each thing is found, or is to
//! be made.
//!
//! What is yet to be made has no id. Until it has, a fresh one stands in for it, so that everything
//! can be judged and compared before anything is sent.

use std::collections::{BTreeSet, HashMap};

use recado_types::trigger::TriggerType;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::diff::Diff;
use super::file::{Item, Wanted};
use super::judge::judge;
use super::mistakes::Mistakes;
use crate::client::api::Api;
use crate::client::failure::Failure;
use crate::client::kind::Kind;
use crate::client::lookup::{self, ambiguous, calling, only};

/// What is there, of the kinds that are of interest.
#[derive(Debug, Default)]
pub(super) struct Existing(HashMap<Kind, Vec<Value>>);

impl Existing {
    /// Asks the server for what these items are, and for what they refer to.
    pub(super) async fn load(api: &Api, items: &[Item]) -> Result<Self, Failure> {
        let mut kinds = BTreeSet::new();
        for item in items {
            kinds.insert(item.kind);
            let words = item.kind.references().iter();
            kinds.extend(words.filter(|(word, ..)| item.given.contains_key(*word)).map(|it| it.2));
            if item.kind == Kind::Agent {
                kinds.insert(Kind::Tool);
            }
            if item.kind == Kind::Tool {
                kinds.insert(Kind::Agent);
            }
        }
        let mut existing = HashMap::new();
        for kind in kinds {
            existing.insert(kind, lookup::all(api, kind).await?);
        }
        Ok(Self(existing))
    }

    fn of(&self, kind: Kind) -> &[Value] {
        self.0.get(&kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// What people call things, by their ids.
    pub(super) fn names(&self) -> impl Iterator<Item = (String, String)> {
        let all = self.0.values().flatten();
        all.map(|it| (lookup::id(it), it["name"].as_str().unwrap_or_default().to_owned()))
    }

    #[cfg(test)]
    pub(super) fn with(mut self, kind: Kind, entries: Vec<Value>) -> Self {
        self.0.insert(kind, entries);
        self
    }
}

/// A thing as it is to be.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) item: Item,
    /// Its id, or what stands in for it.
    pub(super) id: String,
    /// As it is now, if it is.
    pub(super) current: Option<Value>,
    /// What a POST would be given.
    pub(super) body: Map<String, Value>,
    /// The same fields, as the API would answer them.
    pub(super) desired: Map<String, Value>,
}

/// Finds or plans every item; names every mistake.
pub(super) fn resolve(
    wanted: Wanted,
    existing: &Existing,
    mut fresh_id: impl FnMut() -> String,
) -> Result<Vec<Resource>, Failure> {
    let Wanted { items, mut mistakes, is_partial } = wanted;
    // Triggers belong to an agent, so the agents come first.
    let mut found: Vec<Option<&Value>> = Vec::new();
    for item in &items {
        let of_kind = if item.kind == Kind::Trigger { &[] } else { existing.of(item.kind) };
        found.push(own(item, of_kind.iter(), &mut mistakes));
    }
    let id = |found: Option<&Value>| found.map(lookup::id);
    let mut ids: Vec<String> =
        found.iter().map(|found| id(*found).unwrap_or_else(&mut fresh_id)).collect();
    let mut bodies = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let references = References { items: &items, ids: &ids, existing, is_partial };
        let body = references.body(item, &mut mistakes);
        if item.kind == Kind::Trigger {
            let agent = body.get("agent_id").cloned().unwrap_or_default();
            let of_agent =
                existing.of(Kind::Trigger).iter().filter(|it| same_id(&it["agent_id"], &agent));
            found[index] = own(item, of_agent, &mut mistakes);
            ids[index] = id(found[index]).unwrap_or_else(|| ids[index].clone());
        }
        bodies.push(body);
    }
    let mut resources = Vec::new();
    for (((item, body), id), current) in items.into_iter().zip(bodies).zip(ids).zip(found) {
        let current = current.cloned();
        let desired = judge(&item, &body, current.as_ref(), &mut mistakes);
        if let Some(current) = &current {
            for field in Diff::of(item.kind, &desired, current).fixed {
                mistakes.add_of(&item, field, "cannot be changed");
            }
        }
        resources.push(Resource { item, id, current, body, desired });
    }
    mistakes.finish()?;
    Ok(resources)
}

/// Two forms of one id are one id.
fn same_id(one: &Value, other: &Value) -> bool {
    let id = |value: &Value| value.as_str()?.parse::<recado_types::AgentId>().ok();
    one == other || (id(one).is_some() && id(one) == id(other))
}

/// The one of `candidates` that an item is: by its external id if it has one, otherwise by its name.
fn own<'v>(
    item: &Item,
    candidates: impl Iterator<Item = &'v Value>,
    mistakes: &mut Mistakes,
) -> Option<&'v Value> {
    let (field, called) = match &item.external_id {
        Some(external_id) => ("external_id", external_id),
        None => ("name", &item.name),
    };
    let found: Vec<&Value> = candidates.filter(|it| it[field] == called.as_str()).collect();
    if found.len() > 1 {
        let ids: Vec<String> = found.iter().map(|it| lookup::id(it)).collect();
        let several = ambiguous(item.kind, called, &ids);
        mistakes.add_of(item, field, format!("tells nobody which it is: {several}"));
    }
    found.first().copied()
}

/// What names lead to: to what the files have, and then to what is there.
struct References<'a> {
    items: &'a [Item],
    ids: &'a [String],
    existing: &'a Existing,
    /// Whether the files have what could not be read.
    is_partial: bool,
}

impl References<'_> {
    /// An item in the API's words.
    fn body(&self, item: &Item, mistakes: &mut Mistakes) -> Map<String, Value> {
        let mut body = item.given.clone();
        for (word, field, kind) in item.kind.references() {
            let Some(called) = body.remove(*word) else { continue };
            if body.contains_key(*field) {
                mistakes.add_of(item, word, format!("is the same as {field}: give one of them"));
            }
            let id = if called.is_null() {
                Value::Null
            } else {
                self.id(*kind, &called, item, word, mistakes)
            };
            body.insert((*field).to_owned(), id);
        }
        match item.kind {
            Kind::Trigger => {
                let config = body.get("trigger_config").unwrap_or(&Value::Null);
                let trigger_type = TriggerType::of(config).as_str();
                body.entry("trigger_type").or_insert_with(|| json!(trigger_type));
            }
            Kind::Agent => self.tools_of_agent(item, &mut body, mistakes),
            Kind::Tool if body.get("kind") == Some(&json!("agent")) => {
                if let Some(Value::Object(config)) = body.get_mut("config")
                    && let Some(called) = config.remove("agent")
                {
                    let id = self.id(Kind::Agent, &called, item, "config.agent", mistakes);
                    config.insert("agent_id".into(), id);
                }
            }
            _ => {}
        }
        body
    }

    fn tools_of_agent(&self, item: &Item, body: &mut Map<String, Value>, mistakes: &mut Mistakes) {
        if let Some(tools) = body.get_mut("tools") {
            self.tools(tools, "tools", item, mistakes);
        }
        let variations = body.get_mut("variations").and_then(Value::as_array_mut);
        for (index, variation) in variations.into_iter().flatten().enumerate() {
            if let Some(tools) = variation.get_mut("tools") {
                self.tools(tools, &format!("variations[{index}].tools"), item, mistakes);
            }
        }
    }

    fn tools(&self, tools: &mut Value, path: &str, item: &Item, mistakes: &mut Mistakes) {
        for (index, tool) in tools.as_array_mut().into_iter().flatten().enumerate() {
            let path = format!("{path}[{index}]");
            let named = match tool {
                Value::Object(fields) => fields.get_mut("tool"),
                bare => Some(bare),
            };
            if let Some(named) = named {
                *named = self.id(Kind::Tool, named, item, &path, mistakes);
            }
        }
    }

    /// The id of what a field of an item names.
    fn id(
        &self,
        kind: Kind,
        called: &Value,
        item: &Item,
        path: &str,
        mistakes: &mut Mistakes,
    ) -> Value {
        let Some(called) = called.as_str() else {
            let reason = format!("must be the name or the id of {}", kind.one());
            mistakes.add_of(item, path, reason);
            return nobody();
        };
        if kind.is_id(called) {
            return called.into();
        }
        let is_called = |item: &Item| {
            item.kind == kind
                && (item.name == called || item.external_id.as_deref() == Some(called))
        };
        let in_files: Vec<usize> =
            self.items.iter().enumerate().filter(|it| is_called(it.1)).map(|it| it.0).collect();
        let refusal = match in_files.as_slice() {
            [index] => return self.ids[*index].as_str().into(),
            [] => match only(kind, called, self.existing.of(kind)) {
                Ok(Some(found)) => return lookup::id(found).into(),
                // It may be in what could not be read.
                Ok(None) if self.is_partial => return nobody(),
                Ok(None) => format!("names nobody: there is no {}", calling(kind, called)),
                Err(ambiguous) => format!("names several: {ambiguous}"),
            },
            [..] => {
                let several = calling(kind, called);
                format!("names several: {several} is there more than once in these files")
            }
        };
        mistakes.add_of(item, path, refusal);
        nobody()
    }
}

/// Stands where a mistake was told, so that it is not told twice.
fn nobody() -> Value {
    json!(Uuid::nil())
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::wanted;
    use super::*;

    const ECHO: &str = "01930000-0000-7000-8000-000000000001";
    const SEARCH: &str = "01930000-0000-7000-8000-000000000002";
    const ERP: &str = "01930000-0000-7000-8000-000000000003";
    const OTHER: &str = "01930000-0000-7000-8000-000000000004";

    fn agent(id: &str, name: &str) -> Value {
        json!({"id": id, "name": name, "model": "builtin.echo", "system_prompt": ""})
    }

    fn existing() -> Existing {
        let search = json!({"id": SEARCH, "name": "search", "kind": "http"});
        let erp = json!({"id": ERP, "name": "ERP", "agent_id": ECHO, "trigger_type": "webhook"});
        Existing::default()
            .with(Kind::Agent, vec![agent(ECHO, "Echo"), agent(OTHER, "Other")])
            .with(Kind::Tool, vec![search])
            .with(Kind::Trigger, vec![erp])
    }

    fn resolved(text: &str) -> Result<Vec<Resource>, String> {
        let mut n = 0x0193_0000_0000_7000_8000_ffff_0000_0000_u128;
        let fresh_id = || {
            n += 1;
            Uuid::from_u128(n).to_string()
        };
        resolve(wanted(text, None), &existing(), fresh_id).map_err(|failure| failure.to_string())
    }

    #[test]
    fn names_become_ids_of_the_files_first_and_then_of_the_server() {
        let resources = resolved(
            "agents:\n- name: New\n  model: builtin.echo\n  system_prompt: x\n  \
             tools: [search, {tool: ask, approval: always}]\n\
             tools:\n- name: ask\n  kind: agent\n  config: {agent: New}\n\
             triggers:\n- {name: ERP, agent: Echo}\n- {name: ERP, agent: New, trigger_config: {}}\n",
        )
        .unwrap();
        let [new, ask, there, fresh] = resources.as_slice() else { panic!("{resources:?}") };
        assert_eq!(new.body["tools"][0], SEARCH);
        assert_eq!(new.body["tools"][1]["tool"], ask.id.as_str());
        assert_eq!(new.desired["tools"][1], json!({"tool": ask.id, "approval": "always"}));
        assert_eq!(ask.body["config"], json!({"agent_id": new.id}));
        assert_eq!((there.id.as_str(), there.current.is_some()), (ERP, true));
        assert_eq!(there.body["agent_id"], ECHO);
        assert_eq!(there.body["trigger_type"], "webhook");
        assert_eq!((fresh.current.is_some(), &fresh.body["agent_id"]), (false, &json!(new.id)));
        assert_ne!(fresh.id, ERP);
    }

    #[test]
    fn every_reference_in_vain_and_every_mistake_is_told_with_its_line() {
        let told = resolved(
            "agents:\n- name: Echo\n  tools: [nothing]\n  limits: {max_iterations: 0}\n- name: B\n\
             triggers:\n- name: T\n  agent: nobody\n  agent_id: x\n  trigger_config:\n    \
             execution:\n      timeout_ms: 1\n      typo: 2\n",
        )
        .unwrap_err();
        for expected in [
            "x.yaml:3: agent `Echo`: tools[0] names nobody: there is no tool `nothing`",
            "x.yaml:4: agent `Echo`: limits.max_iterations must be",
            "x.yaml:5: agent `B`: model is required",
            "x.yaml:5: agent `B`: system_prompt is required",
            "x.yaml:8: trigger `T`: agent is the same as agent_id",
            "x.yaml:8: trigger `T`: agent names nobody: there is no agent `nobody`",
            "x.yaml:12: trigger `T`: trigger_config.execution.timeout_ms must be",
            "x.yaml:13: trigger `T`: trigger_config.execution.typo is not a known field",
        ] {
            assert!(told.contains(expected), "{expected}\n{told}");
        }
    }

    #[test]
    fn mistakes_of_every_sort_and_document_are_told_at_once() {
        let told = resolved(
            "agents:\n- {name: Echo, modle: x, limits: 7}\n- {model: builtin.echo}\n---\n\
             providers:\n- {name: p, kind: anthropic, base_url: 5, prices: []}\n\
             tools:\n- {name: search, kind: mcp}\n- {name: search, kind: http}\n\
             event_endpoints:\n- {name: E, url: https://x, event_types: a, enabled: maybe}\n\
             triggers:\n- {name: ERP, agent: nobody, trigger_type: 1}\n",
        )
        .unwrap_err();
        for expected in [
            "x.yaml:2 (document 1): agent `Echo`: modle is not a known field",
            "x.yaml:2 (document 1): agent `Echo`: limits must be an object",
            "x.yaml:3 (document 1): agents[1]: name is required",
            "x.yaml:3 (document 1): agents[1]: system_prompt is required",
            "x.yaml:6 (document 2): provider `p`: base_url must be a string",
            "x.yaml:6 (document 2): provider `p`: prices must be an object",
            "x.yaml:8 (document 2): tool `search`: kind cannot be changed",
            "x.yaml:9 (document 2): tool `search` is there twice",
            "x.yaml:11 (document 2): event endpoint `E`: event_types must be a list",
            "x.yaml:11 (document 2): event endpoint `E`: enabled must be true or false",
            "x.yaml:13 (document 2): trigger `ERP`: agent names nobody",
            "x.yaml:13 (document 2): trigger `ERP`: trigger_type must be a string",
        ] {
            assert!(told.contains(expected), "{expected}\n{told}");
        }
    }

    #[test]
    fn nothing_is_missed_that_may_be_in_what_cannot_be_read() {
        let told = resolved("agent: []\ntriggers:\n- {name: T, agent: New, trigger_config: 1}\n");
        let told = told.unwrap_err();
        assert!(told.starts_with("there are 2 mistakes"), "{told}");
        assert!(told.contains("`agent` is not one of") && told.contains("trigger_config must be"));
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused_with_the_ids() {
        let twice = Existing::default()
            .with(Kind::Agent, vec![agent(ECHO, "Echo"), agent(OTHER, "Echo")])
            .with(Kind::Trigger, Vec::new());
        for text in [
            "triggers:\n- {name: T, agent: Echo, trigger_config: {}}\n",
            "agents:\n- {name: Echo, model: builtin.echo, system_prompt: x}\n",
        ] {
            let refused =
                resolve(wanted(text, None), &twice, || ERP.to_owned()).unwrap_err().to_string();
            assert!(refused.contains(ECHO) && refused.contains(OTHER), "{refused}");
        }
    }

    #[test]
    fn defaults_are_no_difference() {
        let text = "agents:\n- {name: Echo, limits: {max_iterations: 10}, sampling: {}}\n\
                    providers:\n- {name: p, kind: anthropic, base_url: 'https://x/v1/'}\n";
        let resources = resolved(text).unwrap();
        let limits = &resources[0].desired["limits"];
        assert_eq!(limits["max_tool_calls"], 50, "as the API answers them");
        assert!(!resources[0].desired.contains_key("context_window"), "the file does not say it");
        assert_eq!(resources[1].desired["base_url"], "https://x/v1");
    }
}
