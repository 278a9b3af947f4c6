//! Triggers: configured ways in.

/// The columns of a trigger.
macro_rules! columns {
    () => {
        "id, project_id, agent_id, app_id, external_id, name, description, trigger_type,
       trigger_config, enabled, version, created_at, updated_at"
    };
}

mod change;
mod create;
mod hold;
mod invocations;
mod list;
mod own_secrets;
mod place;
mod webhook_secret;

pub use change::{delete, replace, set_enabled};
pub use create::create;
pub use hold::{Missing, Saved, missing};
pub use invocations::{
    Invocation, InvocationFilter, InvocationStatus, MAX_COUNTED, invocation, invocations,
};
pub use list::{
    Page, PositionError, TriggerFilter, TriggerPosition, find, list, list_page, of_agent,
};
pub use own_secrets::{OwnSecret, own_secret};
pub use place::{Place, place};
pub use webhook_secret::{Replacement, Rotated, generate_webhook_secret, rotate_secret};
pub(crate) use webhook_secret::{open_webhook_secret, seal_webhook_secret};

use chrono::{DateTime, Utc};
use recado_types::{AgentId, AppId, ChosenId, ProjectId, TriggerId};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

type Parameters<'p> = &'p [&'p (dyn ToSql + Sync)];

/// A trigger, as it may be told. Its webhook secret is not part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Which.
    pub id: TriggerId,
    /// Where it belongs: where its agent belonged when it was saved.
    pub project_id: ProjectId,
    /// Whom its messages are for.
    pub agent_id: AgentId,
    /// The app whose webhook channel it is, if it is one.
    pub app_id: Option<AppId>,
    /// What its maker calls it in addresses; its id derives from it and from its agent then.
    pub external_id: Option<String>,
    /// What people call it.
    pub name: String,
    /// What people should know about it; may be empty.
    pub description: String,
    /// What makes it fire: `webhook`, `schedule`, `db_event` or `email`.
    pub trigger_type: String,
    /// Its configuration, as it was saved.
    pub trigger_config: Value,
    /// Whether it takes messages.
    pub enabled: bool,
    /// Counts its changes, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Trigger {
    /// Whether its messages come as requests: then it has an address, and a secret of its own.
    pub fn takes_requests(&self) -> bool {
        let by_http =
            |config: &Value| config.pointer("/email/http").is_some_and(|it| !it.is_null());
        let by_imap =
            |config: &Value| config.pointer("/email/imap").is_some_and(|it| !it.is_null());
        match self.trigger_type.as_str() {
            "webhook" => true,
            // HTTP is what is meant if nothing is said.
            "email" => by_http(&self.trigger_config) || !by_imap(&self.trigger_config),
            _ => false,
        }
    }

    fn from_row(row: &Row) -> Self {
        Self {
            id: TriggerId(row.get("id")),
            project_id: ProjectId(row.get("project_id")),
            agent_id: AgentId(row.get("agent_id")),
            app_id: row.get::<_, Option<Uuid>>("app_id").map(AppId),
            external_id: row.get("external_id"),
            name: row.get("name"),
            description: row.get("description"),
            trigger_type: row.get("trigger_type"),
            trigger_config: row.get("trigger_config"),
            enabled: row.get("enabled"),
            version: row.get("version"),
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

/// What a trigger is made of.
#[derive(Clone, Debug)]
pub struct TriggerDraft {
    /// Whom its messages are for.
    pub agent_id: AgentId,
    /// The app whose webhook channel it is, if it is one.
    pub app_id: Option<AppId>,
    /// What its maker calls it in addresses. It is kept when it is made, and never changed.
    pub external_id: Option<ChosenId>,
    /// What people call it.
    pub name: String,
    /// What people should know about it.
    pub description: String,
    /// Its configuration, already validated.
    pub trigger_config: Value,
    /// The secrets that the configuration names.
    pub secret_refs: Vec<String>,
    /// Secrets that are saved with it, under names that are its own (see [`own_secret`]).
    pub own_secrets: Vec<OwnSecret>,
    /// Whether it takes messages.
    pub enabled: bool,
}

impl TriggerDraft {
    /// An enabled trigger that is part of no app and names no secrets.
    pub fn new(agent_id: AgentId, name: impl Into<String>, trigger_config: Value) -> Self {
        Self {
            agent_id,
            app_id: None,
            external_id: None,
            name: name.into(),
            description: String::new(),
            trigger_config,
            secret_refs: Vec::new(),
            own_secrets: Vec::new(),
            enabled: true,
        }
    }
}
