//! From a body to a trigger that can be saved, or to all that is wrong with it.

use std::collections::HashMap;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use recado_http::ApiError;
use recado_intake::auth::Keys;
use recado_intake::channel::Incoming;
use recado_intake::{CompiledTrigger, Owner, message};
use recado_store::Store;
use recado_store::triggers::{self, Missing, Trigger, TriggerDraft};
use recado_types::shape::{FieldProblem, ObjectReader, Problems};
use recado_types::trigger::{Source, TriggerConfig, TriggerType};
use recado_types::{AgentId, AppId, ChosenId, MessageId, ProjectId, TenantId, TriggerId};
use serde_json::Value;
use uuid::Uuid;

use crate::failure::{invalid, store_failed};
use crate::merge::merge_patch;

/// The longest name and description, in characters.
pub(in crate::http) const MAX_NAME: usize = 255;
pub(in crate::http) const MAX_DESCRIPTION: usize = 1_000;

/// What a trigger is besides what can be changed.
const READ_ONLY: [&str; 7] = [
    "id",
    "project_id",
    "app_webhook_url",
    "webhook_secret",
    "version",
    "created_at",
    "updated_at",
];

/// A body that was read, right or wrong.
#[derive(Debug)]
pub(super) struct Reading {
    agent_id: Option<AgentId>,
    app_id: Option<AppId>,
    external_id: Option<ChosenId>,
    name: Option<String>,
    description: String,
    /// `None` if it could not be read: then the configuration is taken for what it looks like.
    trigger_type: Option<TriggerType>,
    trigger_config: Option<Value>,
    /// What the configuration says, if it is right.
    source: Option<Source>,
    enabled: bool,
    secret_refs: Vec<SecretRef>,
    problems: Vec<FieldProblem>,
}

/// A secret's name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SecretRef {
    path: String,
    name: String,
}

impl Reading {
    /// Of the body of a POST.
    pub(super) fn of_new(body: &Value, now: DateTime<Utc>) -> Self {
        let mut reading = Self::nothing();
        let problems = Problems::default();
        if let Some(mut fields) = ObjectReader::new(body, "", &problems) {
            fields.required("agent_id");
            reading.agent_id = read_id(&mut fields, "agent_id");
            reading.app_id = read_id(&mut fields, "app_id");
            reading.external_id = read_chosen(&mut fields, "external_id");
            reading.name = fields.required_name("name", MAX_NAME).map(str::to_owned);
            reading.description = read_description(&mut fields).unwrap_or_default();
            reading.trigger_type = read_type(&mut fields);
            reading.trigger_config = fields.required("trigger_config").cloned();
            reading.enabled = fields.boolean("enabled").unwrap_or(true);
            fields.read_only(&READ_ONLY);
            fields.done();
        }
        reading.judged(problems).refused_if_over(now)
    }

    /// Of the body of a PATCH, on top of what is there. Fields replace; `trigger_config` is a
    /// merge patch (RFC 7396), and the result is judged, not the patch.
    pub(super) fn of_patch(current: &Trigger, body: &Value) -> Self {
        let mut reading = Self::nothing();
        let problems = Problems::default();
        if let Some(mut fields) = ObjectReader::new(body, "", &problems) {
            for kept in ["agent_id", "name", "trigger_config", "enabled"] {
                if fields.is_null(kept) {
                    fields.refuse(kept, "cannot be taken away");
                }
            }
            reading.agent_id = read_id(&mut fields, "agent_id").or(Some(current.agent_id));
            if current.external_id.is_some() && reading.agent_id != Some(current.agent_id) {
                fields.refuse("agent_id", "cannot change: its `external_id` is one of this agent");
            }
            if !fields.is_null("app_id") {
                reading.app_id = read_id(&mut fields, "app_id").or(current.app_id);
            }
            let name = fields.name("name", MAX_NAME).unwrap_or(&current.name);
            reading.name = Some(name.to_owned());
            if !fields.is_null("description") {
                let given = read_description(&mut fields);
                reading.description = given.unwrap_or_else(|| current.description.clone());
            }
            reading.enabled = fields.boolean("enabled").unwrap_or(current.enabled);
            let patch = fields.any("trigger_config");
            let config = current.trigger_config.clone();
            reading.trigger_config = Some(patch.map_or(config.clone(), |p| merge_patch(config, p)));
            fields.read_only(&READ_ONLY);
            fields.read_only(&["external_id", "trigger_type"]);
            reading.trigger_type = current.trigger_type.parse().ok();
            fields.done();
        }
        reading.judged(problems)
    }

    fn nothing() -> Self {
        Self {
            agent_id: None,
            app_id: None,
            external_id: None,
            name: None,
            description: String::new(),
            trigger_type: None,
            trigger_config: None,
            source: None,
            enabled: true,
            secret_refs: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// With what is wrong with the configuration, too.
    fn judged(mut self, problems: Problems) -> Self {
        self.problems = problems.finish(()).err().unwrap_or_default();
        let Some(config) = &self.trigger_config else { return self };
        let trigger_type = self.trigger_type.unwrap_or_else(|| TriggerType::of(config));
        match TriggerConfig::parse_as(trigger_type, config) {
            Ok(config) => {
                self.secret_refs = secret_refs(&config);
                self.source = Some(config.source.clone());
                self.refused_if_mute(config);
            }
            Err(problems) => self.problems.extend(problems),
        }
        if self.app_id.is_some() && trigger_type != TriggerType::Webhook {
            self.problems.push(FieldProblem {
                path: "app_id".into(),
                reason: "is for webhook triggers: they are channels of apps".into(),
            });
        }
        self
    }

    /// With the mistake that a tick of a schedule would become no message, if it would not: nobody is
    /// there to be told when it fires.
    fn refused_if_mute(&mut self, config: TriggerConfig) {
        let Source::Schedule(schedule) = &config.source else { return };
        let id = TriggerId(Uuid::nil());
        let payload = schedule.payload(id, DateTime::UNIX_EPOCH);
        let owner = Owner {
            id,
            tenant_id: TenantId(Uuid::nil()),
            project_id: ProjectId(Uuid::nil()),
            agent_id: AgentId(Uuid::nil()),
            enabled: true,
        };
        let trigger = CompiledTrigger::new(owner, config, Keys::default(), HashMap::new());
        let tick = Incoming::of(payload);
        let judged = message::context_of(&trigger.config.context_mapping, &tick.payload)
            .and_then(|context| {
                message::session_of(&trigger, MessageId(Uuid::nil()), &context, &tick)
            })
            .and_then(|_| message::text_of(&trigger, &tick));
        if let Err(refusal) = judged {
            self.problems.push(FieldProblem {
                path: "trigger_config.schedule.payload".into(),
                reason: format!("makes no message: {refusal}"),
            });
        }
    }

    /// With the mistake that a new schedule has no tick left, if it has none.
    fn refused_if_over(mut self, now: DateTime<Utc>) -> Self {
        if let Some(Source::Schedule(schedule)) = &self.source
            && schedule.next_after(now).is_none()
        {
            self.problems.push(FieldProblem {
                path: "trigger_config.schedule".into(),
                reason: "has no tick left: all of them are in the past".into(),
            });
        }
        self
    }

    /// The draft, if the body was right. If it was not, references are looked up as well, so that
    /// one answer names every mistake.
    pub(super) async fn draft(
        &self,
        store: &Store,
        tenant: TenantId,
    ) -> Result<TriggerDraft, ApiError> {
        let secret_refs: Vec<String> =
            self.secret_refs.iter().map(|secret| secret.name.clone()).collect();
        if self.problems.is_empty() {
            return Ok(TriggerDraft {
                agent_id: self.agent_id.expect("its absence is a problem"),
                app_id: self.app_id,
                external_id: self.external_id.clone(),
                name: self.name.clone().expect("its absence is a problem"),
                description: self.description.clone(),
                trigger_config: self.trigger_config.clone().expect("its absence is a problem"),
                secret_refs,
                own_secrets: Vec::new(),
                enabled: self.enabled,
            });
        }
        let missing =
            triggers::missing(store, tenant, self.agent_id, self.app_id, &secret_refs).await;
        Err(self.refused(&missing.map_err(store_failed)?))
    }

    /// 400, naming all that is wrong, references in vain included.
    pub(super) fn refused(&self, missing: &Missing) -> ApiError {
        let problem = |path: &str, reason: String| FieldProblem { path: path.to_owned(), reason };
        let agent =
            missing.agent.then(|| problem("agent_id", "is no agent of this tenant".to_owned()));
        let app = missing.app.then(|| problem("app_id", "is no app of this tenant".to_owned()));
        let in_vain = |secret: &&SecretRef| missing.secrets.contains(&secret.name);
        let secrets =
            self.secret_refs.iter().filter(in_vain).map(|secret| {
                problem(&secret.path, format!("there is no secret `{}`", secret.name))
            });
        let problems = self.problems.iter().cloned();
        invalid(problems.chain(agent).chain(app).chain(secrets).collect())
    }
}

fn read_id<T: FromStr>(fields: &mut ObjectReader<'_>, key: &'static str) -> Option<T> {
    let text = fields.string(key, 1..=64)?;
    fields.accept(key, text.parse().map_err(|_no_id| "must be a UUID"))
}

/// An id that its maker chose.
fn read_chosen(fields: &mut ObjectReader<'_>, key: &'static str) -> Option<ChosenId> {
    let text = fields.string(key, 1..=ChosenId::MAX_LENGTH)?;
    fields.accept(key, text.parse())
}

fn read_description(fields: &mut ObjectReader<'_>) -> Option<String> {
    fields.string("description", 0..=MAX_DESCRIPTION).map(str::to_owned)
}

fn read_type(fields: &mut ObjectReader<'_>) -> Option<TriggerType> {
    let name = fields.required_string("trigger_type", 1..=64)?;
    fields.accept("trigger_type", name.parse::<TriggerType>())
}

/// Every secret a configuration names. A secret that is named twice stands in two places.
fn secret_refs(config: &TriggerConfig) -> Vec<SecretRef> {
    let refs = config.secret_refs().into_iter();
    refs.map(|(path, name)| SecretRef { path, name: name.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "agent_id": "00000000-0000-0000-0000-000000000001",
            "name": "WhatsApp",
            "trigger_type": "webhook",
            "trigger_config": {
                "channel": {"type": "twilio_whatsapp",
                            "auth": {"type": "basic", "secret_ref": "TWILIO"}},
                "execution": {"mode": "async", "callback": {
                    "url": "https://api.example.com/messages",
                    "auth": {"type": "bearer", "secret_ref": "KEY"}}},
            },
        })
    }

    fn current() -> Trigger {
        let id = "00000000-0000-0000-0000-000000000002".parse().unwrap();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Trigger {
            id: TriggerId(id),
            project_id: ProjectId(id),
            agent_id: AgentId(id),
            app_id: Some(AppId(id)),
            external_id: None,
            name: "before".into(),
            description: "of old".into(),
            trigger_type: "webhook".into(),
            trigger_config: body()["trigger_config"].clone(),
            enabled: true,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    fn new_reading(body: &Value) -> Reading {
        Reading::of_new(body, current().created_at)
    }

    fn paths(reading: &Reading) -> Vec<&str> {
        reading.problems.iter().map(|problem| problem.path.as_str()).collect()
    }

    #[test]
    fn every_place_of_a_secret_is_known() {
        let reading = new_reading(&body());
        assert_eq!(paths(&reading), [""; 0]);
        let refs = |s: &SecretRef| (s.path.clone(), s.name.clone());
        let refs: Vec<(String, String)> = reading.secret_refs.iter().map(refs).collect();
        let channel = "trigger_config.channel.auth.secret_ref";
        let callback = "trigger_config.execution.callback.auth.secret_ref";
        assert_eq!(refs, [(channel.into(), "TWILIO".into()), (callback.into(), "KEY".into())]);
        let missing = Missing { agent: true, app: true, secrets: vec!["KEY".into()] };
        assert_eq!(reading.refused(&missing).message(), "3 fields are missing or invalid");
    }

    #[test]
    fn a_patch_keeps_the_app_changes_it_or_takes_it_away() {
        let app = |patch: Value| Reading::of_patch(&current(), &patch).app_id;
        assert_eq!(app(json!({})), current().app_id);
        assert_eq!(app(json!({"app_id": null})), None);
        let other = "00000000-0000-0000-0000-000000000009";
        assert_eq!(app(json!({"app_id": other})), Some(other.parse().unwrap()));
        let wrong = Reading::of_patch(&current(), &json!({"app_id": "app_x"}));
        assert_eq!(paths(&wrong), ["app_id"]);
        assert_eq!(new_reading(&body()).app_id, None);
    }

    #[test]
    fn a_description_stays_changes_or_goes() {
        let description = |patch: Value| Reading::of_patch(&current(), &patch).description;
        assert_eq!(description(json!({})), "of old");
        assert_eq!(description(json!({"description": "new"})), "new");
        assert_eq!(description(json!({"description": null})), "");
        let long = Reading::of_patch(&current(), &json!({"description": "x".repeat(1_001)}));
        assert_eq!(paths(&long), ["description"]);
    }

    #[test]
    fn what_its_maker_called_it_keeps_it_with_its_agent() {
        let chosen = Trigger { external_id: Some("push".into()), ..current() };
        let paths_of = |patch: Value| {
            let reading = Reading::of_patch(&chosen, &patch);
            paths(&reading).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let other = "00000000-0000-0000-0000-000000000009";
        assert_eq!(paths_of(json!({"agent_id": other})), ["agent_id"]);
        assert_eq!(paths_of(json!({"agent_id": chosen.agent_id})), [""; 0]);
        assert_eq!(paths_of(json!({"external_id": "pull"})), ["external_id"]);
        let mut new = body();
        for bad in ["new", "a b", "", "00000000-0000-0000-0000-000000000001"] {
            new["external_id"] = json!(bad);
            assert_eq!(paths(&new_reading(&new)), ["external_id"], "{bad}");
        }
        new["external_id"] = json!("push");
        assert_eq!(new_reading(&new).external_id.unwrap().as_str(), "push");
    }

    #[test]
    fn every_mistake_of_a_new_trigger_is_named() {
        let mut wrong = body();
        wrong["agent_id"] = json!("nobody");
        wrong["name"] = json!("");
        wrong["trigger_type"] = json!("carrier_pigeon");
        wrong["webhook_secret"] = json!("whs_mine");
        wrong["surprise"] = json!(1);
        wrong["trigger_config"]["execution"]["timeout_ms"] = json!(5);
        let reading = new_reading(&wrong);
        assert_eq!(
            paths(&reading),
            [
                "agent_id",
                "name",
                "trigger_type",
                "webhook_secret",
                "surprise",
                "trigger_config.execution.timeout_ms",
            ]
        );
        assert!(reading.problems[2].reason.contains("webhook, schedule, db_event, email"));
        assert_eq!(
            paths(&new_reading(&json!({}))),
            ["agent_id", "name", "trigger_type", "trigger_config"]
        );
        assert_eq!(paths(&new_reading(&json!([]))), [""]);
    }

    #[test]
    fn each_type_has_its_own_configuration() {
        let of_type = |trigger_type: &str, config: Value| {
            let mut body = body();
            body["trigger_type"] = json!(trigger_type);
            body["trigger_config"] = config;
            paths(&new_reading(&body)).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let daily = json!({"schedule": {"cron": "0 9 * * *"}});
        assert_eq!(of_type("schedule", daily.clone()), [""; 0]);
        assert_eq!(of_type("webhook", daily), ["trigger_config.schedule"]);
        assert_eq!(of_type("schedule", json!({})), ["trigger_config.schedule"]);
        let mute = json!({"schedule": {"cron": "0 9 * * *", "payload": {"a": 1}},
                          "query_extraction": {"mode": "field", "field": "chatInput"}});
        assert_eq!(of_type("schedule", mute), ["trigger_config.schedule.payload"]);
        let past = json!({"schedule": {"at": "2001-01-01T00:00:00Z"}});
        assert_eq!(of_type("schedule", past), ["trigger_config.schedule"]);
        let sync = json!({"schedule": {"interval_seconds": 60}, "execution": {"mode": "sync"},
                          "auth": {"type": "none"}});
        assert_eq!(
            of_type("schedule", sync),
            ["trigger_config.execution.mode", "trigger_config.auth"]
        );
    }

    #[test]
    fn a_patch_is_judged_by_its_result() {
        let patch = json!({"trigger_config": {"channel": null, "auth": {"type": "none"}}});
        let reading = Reading::of_patch(&current(), &patch);
        assert_eq!(paths(&reading), [""; 0]);
        assert_eq!(reading.name.as_deref(), Some("before"));
        assert_eq!(reading.secret_refs.len(), 1);

        let breaking = json!({"trigger_config": {"execution": {"mode": "sync"}}});
        let reading = Reading::of_patch(&current(), &breaking);
        assert_eq!(paths(&reading), ["trigger_config.execution.callback"]);
    }

    #[test]
    fn a_patch_leaves_identity_alone_and_takes_nothing_away() {
        let patch =
            json!({"id": 1, "trigger_type": "webhook", "name": null, "webhook_secret": "x"});
        let reading = Reading::of_patch(&current(), &patch);
        assert_eq!(paths(&reading), ["name", "id", "webhook_secret", "trigger_type"]);
    }
}
