//! A trigger as it is told.

use chrono::{DateTime, Utc};
use recado_store::triggers::Trigger;
use recado_types::trigger::{Source, TriggerConfig, TriggerType};
use recado_types::{AgentId, AppId, ProjectId, TriggerId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::schema::{TriggerConfigSchema, trigger_type_schema};
use crate::Api;
use crate::etag::{Tagged, Version};

/// How many of the next times are shown at which a schedule fires.
const RUNS_SHOWN: usize = 5;

/// A configured way in. There is no place in it for the webhook secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Trigger")]
pub(in crate::http) struct Shown {
    id: TriggerId,
    agent_id: AgentId,
    project_id: ProjectId,
    app_id: Option<AppId>,
    /// What its maker calls it; its id follows from it then.
    external_id: Option<String>,
    /// Where its messages may be posted as those of its app's channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_webhook_url: Option<String>,
    name: String,
    description: String,
    #[schemars(schema_with = "trigger_type_schema")]
    trigger_type: String,
    #[schemars(with = "TriggerConfigSchema")]
    trigger_config: Value,
    enabled: bool,
    /// When a schedule fires next, its jitter included; of one that is on, five times at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_runs: Option<Vec<DateTime<Utc>>>,
    /// Counts its changes, from 1; its `ETag`, too.
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Shown {
    pub(super) fn of(api: &Api, trigger: Trigger) -> Self {
        let channel_url = |app| app_webhook_url(api, app, trigger.id);
        let next_runs = next_runs(api, &trigger);
        Self {
            id: trigger.id,
            agent_id: trigger.agent_id,
            project_id: trigger.project_id,
            app_id: trigger.app_id,
            external_id: trigger.external_id,
            app_webhook_url: trigger.app_id.map(channel_url),
            name: trigger.name,
            description: trigger.description,
            trigger_type: trigger.trigger_type,
            trigger_config: trigger.trigger_config,
            enabled: trigger.enabled,
            next_runs,
            version: trigger.version,
            created_at: trigger.created_at,
            updated_at: trigger.updated_at,
        }
    }
}

/// When a schedule fires next; `None` if it is none.
fn next_runs(api: &Api, trigger: &Trigger) -> Option<Vec<DateTime<Utc>>> {
    if trigger.trigger_type != TriggerType::Schedule.as_str() {
        return None;
    }
    let config = TriggerConfig::parse_as(TriggerType::Schedule, &trigger.trigger_config).ok()?;
    let Source::Schedule(schedule) = config.source else { return None };
    let count = if trigger.enabled { RUNS_SHOWN } else { 0 };
    Some(schedule.next_runs(trigger.id, api.clock.now(), count))
}

/// One trigger. As seed 000 prints it, its address is beside `data`.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(in crate::http) struct One<T> {
    success: bool,
    data: T,
    /// Where its messages are posted, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_url: Option<String>,
}

/// The answer that shows a trigger, with what `tell` adds.
pub(super) fn told<T>(
    api: &Api,
    trigger: Trigger,
    tell: impl FnOnce(Shown) -> T,
) -> Tagged<One<T>> {
    let webhook_url = || format!("{}/api/triggers/webhook/{}", api.public_url, trigger.id);
    let webhook_url = trigger.takes_requests().then(webhook_url);
    let version = Version::number(trigger.version);
    let data = tell(Shown::of(api, trigger));
    Tagged::new(One { success: true, data, webhook_url }, version)
}

/// The answer that shows a trigger.
pub(super) fn one(api: &Api, trigger: Trigger) -> Tagged<One<Shown>> {
    told(api, trigger, |shown| shown)
}

/// The address of the same trigger in the interface of seed 003, with ids as they are written
/// there.
fn app_webhook_url(api: &Api, app: AppId, id: TriggerId) -> String {
    let (app, id) = (app.0.simple(), id.0.simple());
    format!("{}/v1/apps/app_{app}/webhooks/appchan_{id}", api.public_url)
}
