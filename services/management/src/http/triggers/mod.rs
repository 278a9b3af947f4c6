//! `/api/triggers`: configured ways in.

mod create;
mod delete;
mod draft;
mod enable;
mod list;
mod merge;
mod show;
mod stats;
mod types;
mod update;

pub(super) use create::create;
pub(super) use delete::delete;
pub(super) use enable::{disable, enable};
pub(super) use list::list;
pub(super) use show::show;
pub(super) use stats::stats;
pub(super) use types::types;
pub(super) use update::update;

use chrono::{DateTime, Utc};
use recado_http::{ApiError, Problem};
use recado_store::triggers::Trigger;
use recado_types::{AgentId, ProjectId, TriggerId};
use serde::Serialize;
use serde_json::Value;

use crate::Api;

/// A trigger as it is told. There is no place in it for the webhook secret.
#[derive(Serialize)]
pub(in crate::http) struct Shown {
    id: TriggerId,
    agent_id: AgentId,
    project_id: ProjectId,
    name: String,
    trigger_type: String,
    trigger_config: Value,
    enabled: bool,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Trigger> for Shown {
    fn from(trigger: Trigger) -> Self {
        Self {
            id: trigger.id,
            agent_id: trigger.agent_id,
            project_id: trigger.project_id,
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

fn one(api: &Api, trigger: Trigger) -> One<Shown> {
    let webhook_url = webhook_url(api, trigger.id);
    One { success: true, data: trigger.into(), webhook_url }
}

fn webhook_url(api: &Api, id: TriggerId) -> String {
    format!("{}/api/triggers/webhook/{id}", api.public_url)
}

fn parse_id(id: &str) -> Result<TriggerId, ApiError> {
    id.parse().map_err(|_no_id| Problem::TriggerNotFound.into())
}
