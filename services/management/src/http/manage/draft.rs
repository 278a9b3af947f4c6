//! From a body in seed 001's words to a trigger that can be saved, or to all that is wrong with it.

use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::triggers::{self, Missing, Trigger, TriggerDraft};
use recado_types::shape::{FieldProblem, ObjectReader, Problems};
use recado_types::trigger::TriggerConfig;
use recado_types::{ChosenId, TriggerId};
use serde_json::{Map, Value, json};

use super::address::{Here, name_of};
use super::authentication::{self, Owner};
use crate::Api;
use crate::failure::{invalid, store_failed};
use crate::http::triggers::{MAX_DESCRIPTION, MAX_NAME};

/// What is in a generic channel's configuration under the same name. A patch replaces each as a
/// whole, as the seed's product does.
pub(super) const CHANNEL_FIELDS: [&str; 6] = [
    authentication::FIELD,
    "inputSchema",
    "messageTemplate",
    "outputTransform",
    "signatureVerification",
    "signingSecretCredentialReferenceId",
];

/// Where the channel's mistakes are, in its trigger's configuration.
const IN_CONFIG: &str = "trigger_config.channel.";

/// A body that was read, right or wrong.
pub(super) struct Reading {
    pub(super) id: TriggerId,
    draft: TriggerDraft,
    /// The secrets that are named, each with where it stands.
    secret_refs: Vec<(String, String)>,
    problems: Vec<FieldProblem>,
}

impl Reading {
    /// Of the body of a POST.
    pub(super) fn of_new(api: &Api, here: &Here, body: &Value) -> Self {
        let problems = Problems::default();
        let mut draft = TriggerDraft::new(here.agent_id, "", Value::Null);
        let mut id = TriggerId(api.clock.fresh_id());
        let mut channel = Map::from_iter([("type".to_owned(), json!("generic"))]);
        if let Some(mut fields) = ObjectReader::new(body, "", &problems) {
            if let Some(text) = fields.string("id", 1..=ChosenId::MAX_LENGTH) {
                draft.external_id = fields.accept("id", text.parse());
            }
            if let Some(chosen) = &draft.external_id {
                id = TriggerId::chosen(here.agent_id, chosen);
            }
            draft.name = read_name(&mut fields, true).unwrap_or_default();
            draft.description = read_description(&mut fields).unwrap_or_default();
            draft.enabled = fields.boolean("enabled").unwrap_or(true);
            // The seed takes them, and so says nothing about when it was made.
            fields.string("createdAt", 0..=64);
            fields.string("updatedAt", 0..=64);
            refuse_other_place(&mut fields, here);
            let owner = Owner { api, trigger: id, current: &Value::Null };
            read_channel(&mut fields, &owner, &problems, &mut channel, &mut draft);
            fields.done();
        }
        draft.trigger_config = json!({ "channel": channel, "execution": { "mode": "async" } });
        Self { id, draft, secret_refs: Vec::new(), problems: Vec::new() }.judged(problems)
    }

    /// Of the body of a PATCH, on top of what is there.
    ///
    /// # Errors
    /// 400 if nothing is to be changed.
    pub(super) fn of_patch(
        api: &Api,
        here: &Here,
        current: &Trigger,
        body: &Value,
    ) -> Result<Self, ApiError> {
        if !changes_anything(body) {
            return Err(ApiError::new(Problem::InvalidInput, "No fields to update"));
        }
        let problems = Problems::default();
        let mut draft = as_it_is(current);
        if let Some(mut fields) = ObjectReader::new(body, "", &problems) {
            for kept in ["name", "enabled"] {
                if fields.is_null(kept) {
                    fields.refuse(kept, "cannot be taken away");
                }
            }
            draft.name = read_name(&mut fields, false).unwrap_or(draft.name);
            if fields.is_null("description") {
                draft.description.clear();
            }
            draft.description = read_description(&mut fields).unwrap_or(draft.description);
            draft.enabled = fields.boolean("enabled").unwrap_or(draft.enabled);
            refuse_other_place(&mut fields, here);
            let url = here.webhook_url(api, current);
            refuse_unless(&mut fields, "id", |id| id == name_of(current));
            refuse_unless(&mut fields, "webhookUrl", |given| given == url);
            refuse_unless(&mut fields, "createdAt", |at| is_at(at, current.created_at));
            refuse_unless(&mut fields, "updatedAt", |at| is_at(at, current.updated_at));
            let mut config = draft.trigger_config.take();
            match config.get_mut("channel").and_then(Value::as_object_mut) {
                Some(channel) if channel.get("type") == Some(&json!("generic")) => {
                    let headers = channel.get(authentication::FIELD).cloned().unwrap_or_default();
                    let owner = Owner { api, trigger: current.id, current: &headers };
                    read_channel(&mut fields, &owner, &problems, channel, &mut draft);
                }
                _ => refuse_channel(&mut fields),
            }
            draft.trigger_config = config;
            fields.done();
        }
        let reading = Self { id: current.id, draft, secret_refs: Vec::new(), problems: Vec::new() };
        Ok(reading.judged(problems))
    }

    /// With what is wrong with the configuration, too, where the body says it.
    fn judged(mut self, problems: Problems) -> Self {
        self.problems = problems.finish(()).err().unwrap_or_default();
        let in_body = |path: String| match path.strip_prefix(IN_CONFIG) {
            Some(path) => path.to_owned(),
            None => path,
        };
        match TriggerConfig::parse(&self.draft.trigger_config) {
            Ok(config) => {
                let refs = config.secret_refs().into_iter();
                self.secret_refs =
                    refs.map(|(path, name)| (in_body(path), name.to_owned())).collect();
            }
            Err(wrong) => {
                let known: Vec<String> = self.problems.iter().map(|it| it.path.clone()).collect();
                let wrong = wrong.into_iter().map(|problem| FieldProblem {
                    path: in_body(problem.path),
                    reason: problem.reason,
                });
                self.problems.extend(wrong.filter(|it| !known.contains(&it.path)));
            }
        }
        self.draft.secret_refs = self.secret_refs.iter().map(|(_, name)| name.clone()).collect();
        self
    }

    /// The draft, if the body was right. If it was not, secrets are looked up as well, so that one
    /// answer names every mistake.
    pub(super) async fn draft(&self, here: &Here) -> Result<&TriggerDraft, ApiError> {
        if self.problems.is_empty() {
            return Ok(&self.draft);
        }
        let own = |name: &String| self.draft.own_secrets.iter().any(|own| own.name == *name);
        let refs = self.draft.secret_refs.iter().filter(|name| !own(name));
        let refs: Vec<String> = refs.cloned().collect();
        let (store, tenant) = (&here.caller.store, here.caller.tenant);
        let missing = triggers::missing(store, tenant, None, None, &refs).await;
        Err(self.refused(&missing.map_err(store_failed)?))
    }

    /// 400, naming all that is wrong, secrets that are not there included.
    pub(super) fn refused(&self, missing: &Missing) -> ApiError {
        let in_vain = self.secret_refs.iter().filter(|(_, name)| missing.secrets.contains(name));
        let in_vain = in_vain.map(|(path, name)| FieldProblem {
            path: path.clone(),
            reason: format!("there is no secret `{name}`"),
        });
        let problems: Vec<FieldProblem> = self.problems.iter().cloned().chain(in_vain).collect();
        if problems.is_empty() {
            // The agent went while we looked.
            return Problem::AgentNotFound.into();
        }
        invalid(problems)
    }
}

/// The fields that a patch can change.
fn changes_anything(body: &Value) -> bool {
    let changes = |name: &str| {
        ["name", "description", "enabled"].contains(&name) || CHANNEL_FIELDS.contains(&name)
    };
    // What is no object, or has fields that nobody knows, is told so.
    body.as_object().is_none_or(|fields| {
        fields.keys().any(|name| changes(name) || !READ_ONLY.contains(&name.as_str()))
    })
}

/// What a trigger is besides what can be changed.
const READ_ONLY: [&str; 7] =
    ["id", "tenantId", "projectId", "agentId", "createdAt", "updatedAt", "webhookUrl"];

fn as_it_is(current: &Trigger) -> TriggerDraft {
    TriggerDraft {
        app_id: current.app_id,
        description: current.description.clone(),
        enabled: current.enabled,
        ..TriggerDraft::new(current.agent_id, &current.name, current.trigger_config.clone())
    }
}

/// A name, without the spaces around it.
fn read_name(fields: &mut ObjectReader<'_>, is_required: bool) -> Option<String> {
    let name = if is_required {
        fields.required_name("name", MAX_NAME)
    } else {
        fields.name("name", MAX_NAME)
    };
    name.map(|name| name.trim().to_owned())
}

fn read_description(fields: &mut ObjectReader<'_>) -> Option<String> {
    fields.string("description", 0..=MAX_DESCRIPTION).map(str::to_owned)
}

/// The parts of the address may stand in the body, too.
fn refuse_other_place(fields: &mut ObjectReader<'_>, here: &Here) {
    let Here { caller, project, project_id, agent, agent_id, .. } = here;
    let is = |given: &str, id: String, named: &str| given == named || given == id;
    refuse_unless(fields, "tenantId", |it| it == caller.tenant.to_string());
    refuse_unless(fields, "projectId", |it| is(it, project_id.to_string(), project));
    refuse_unless(fields, "agentId", |it| is(it, agent_id.to_string(), agent));
}

/// Of what cannot be changed, only what is there may be given.
fn refuse_unless(
    fields: &mut ObjectReader<'_>,
    key: &'static str,
    is_there: impl FnOnce(&str) -> bool,
) {
    let Some(given) = fields.any(key) else { return };
    if !given.as_str().is_some_and(is_there) {
        fields.refuse(key, "is read-only");
    }
}

fn is_at(text: &str, at: DateTime<Utc>) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok_and(|given| given == at)
}

/// Reads what a generic channel is made of, on top of what is there: `null` takes away.
fn read_channel(
    fields: &mut ObjectReader<'_>,
    owner: &Owner<'_>,
    problems: &Problems,
    channel: &mut Map<String, Value>,
    draft: &mut TriggerDraft,
) {
    for key in CHANNEL_FIELDS {
        if fields.is_null(key) {
            channel.remove(key);
        }
        let Some(given) = fields.any(key) else { continue };
        let mut value = given.clone();
        if key == authentication::FIELD {
            let read = owner.read(given, problems);
            (value, draft.own_secrets) = (read.config, read.secrets);
        }
        if value.is_null() {
            channel.remove(key)
        } else {
            channel.insert(key.to_owned(), value)
        };
    }
}

/// Of a trigger of another channel, nothing can be said in these words.
fn refuse_channel(fields: &mut ObjectReader<'_>) {
    for key in CHANNEL_FIELDS {
        if fields.any(key).is_some() {
            fields.refuse(
                key,
                "belongs to the channel `generic`, which this trigger does not have: change it \
                 with PATCH /api/triggers/{id}",
            );
        }
    }
}
