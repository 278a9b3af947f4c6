//! `/api/triggers`: configured ways in.

mod create;
mod delete;
mod draft;
mod enable;
mod list;
mod rotate;
mod show;
mod stats;
mod types;
mod update;

pub(super) use create::create;
pub(super) use delete::delete;
pub(super) use enable::{disable, enable};
pub(super) use list::list;
pub(super) use rotate::rotate_secret;
pub(super) use show::show;
pub(super) use stats::stats;
pub(super) use types::types;
pub(super) use update::update;

use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::triggers::Trigger;
use recado_types::{AgentId, AppId, ProjectId, TriggerId};
use serde::Serialize;
use serde_json::Value;

use crate::Api;

/// A trigger as it is told. There is no place in it for the webhook secret.
#[derive(Serialize)]
pub(in crate::http) struct Shown {
    id: TriggerId,
    agent_id: AgentId,
    project_id: ProjectId,
    app_id: Option<AppId>,
    /// Where its messages may be posted as those of its app's channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_webhook_url: Option<String>,
    name: String,
    trigger_type: String,
    trigger_config: Value,
    enabled: bool,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Shown {
    fn of(api: &Api, trigger: Trigger) -> Self {
        let channel_url = |app| app_webhook_url(api, app, trigger.id);
        Self {
            id: trigger.id,
            agent_id: trigger.agent_id,
            project_id: trigger.project_id,
            app_id: trigger.app_id,
            app_webhook_url: trigger.app_id.map(channel_url),
            name: trigger.name,
            trigger_type: trigger.trigger_type,
            trigger_config: trigger.trigger_config,
            enabled: trigger.enabled,
            version: trigger.version,
            created_at: trigger.created_at,
            updated_at: trigger.updated_at,
        }
    }
}

/// One trigger. As seed 000 prints it, its address is beside `data`.
#[derive(Serialize)]
pub(in crate::http) struct One<T> {
    success: bool,
    data: T,
    webhook_url: String,
}

impl<T> One<T> {
    /// The same trigger, with something else told about it.
    fn map<U>(self, tell: impl FnOnce(T) -> U) -> One<U> {
        One { success: self.success, data: tell(self.data), webhook_url: self.webhook_url }
    }
}

fn one(api: &Api, trigger: Trigger) -> One<Shown> {
    let webhook_url = format!("{}/api/triggers/webhook/{}", api.public_url, trigger.id);
    One { success: true, data: Shown::of(api, trigger), webhook_url }
}

/// The address of the same trigger in the interface of seed 003, with ids as they are written
/// there.
fn app_webhook_url(api: &Api, app: AppId, id: TriggerId) -> String {
    let (app, id) = (app.0.simple(), id.0.simple());
    format!("{}/v1/apps/app_{app}/webhooks/appchan_{id}", api.public_url)
}

fn parse_id(id: &str) -> Result<TriggerId, ApiError> {
    id.parse().map_err(|_no_id| Problem::TriggerNotFound.into())
}
