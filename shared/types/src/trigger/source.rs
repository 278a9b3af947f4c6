//! What makes a trigger fire: a request, or something that Recado goes and looks at.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::{DbEvent, Email, Schedule};
use crate::shape::ObjectReader;

/// The type of a trigger. Its configuration, unless it is a webhook's, has an object of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TriggerType {
    /// Requests of an outside system.
    Webhook,
    /// The clock.
    Schedule,
    /// A database of the tenant.
    DbEvent,
    /// Mails.
    Email,
}

impl TriggerType {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::Webhook, Self::Schedule, Self::DbEvent, Self::Email];

    /// As it is stored, and as the API calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Schedule => "schedule",
            Self::DbEvent => "db_event",
            Self::Email => "email",
        }
    }

    /// The type of the trigger that a configuration is for, as far as it shows.
    pub fn of(trigger_config: &Value) -> Self {
        let is_shown = |it: &Self| trigger_config.get(it.as_str()).is_some_and(Value::is_object);
        let shown = Self::ALL.into_iter().filter(|it| *it != Self::Webhook).find(is_shown);
        shown.unwrap_or(Self::Webhook)
    }
}

impl fmt::Display for TriggerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No type of a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of: webhook, schedule, db_event, email")]
pub struct UnknownTriggerType;

impl FromStr for TriggerType {
    type Err = UnknownTriggerType;

    fn from_str(name: &str) -> Result<Self, UnknownTriggerType> {
        Self::ALL.into_iter().find(|it| it.as_str() == name).ok_or(UnknownTriggerType)
    }
}

/// Where a trigger's messages come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Requests; the rest of the configuration says how they are understood.
    Webhook,
    /// The clock.
    Schedule(Box<Schedule>),
    /// A database of the tenant.
    DbEvent(Box<DbEvent>),
    /// Mails.
    Email(Box<Email>),
}

impl Source {
    pub(super) fn read(reader: &mut ObjectReader<'_>, trigger_type: TriggerType) -> Option<Self> {
        reader.required(trigger_type.as_str())?;
        match trigger_type {
            TriggerType::Webhook => Some(Self::Webhook),
            TriggerType::Schedule => Schedule::read(reader).map(|it| Self::Schedule(Box::new(it))),
            TriggerType::DbEvent => DbEvent::read(reader).map(|it| Self::DbEvent(Box::new(it))),
            TriggerType::Email => Email::read(reader).map(|it| Self::Email(Box::new(it))),
        }
    }

    /// The type of the trigger.
    pub fn trigger_type(&self) -> TriggerType {
        match self {
            Self::Webhook => TriggerType::Webhook,
            Self::Schedule(_) => TriggerType::Schedule,
            Self::DbEvent(_) => TriggerType::DbEvent,
            Self::Email(_) => TriggerType::Email,
        }
    }

    /// Whether messages come as requests.
    pub fn is_requested(&self) -> bool {
        match self {
            Self::Webhook => true,
            Self::Schedule(_) | Self::DbEvent(_) => false,
            Self::Email(email) => email.http.is_some(),
        }
    }

    /// The secrets it names, each with where in the configuration it does so.
    pub fn secret_refs(&self) -> Vec<(String, &str)> {
        match self {
            Self::Webhook | Self::Schedule(_) => Vec::new(),
            Self::DbEvent(it) => it.secret_refs(),
            Self::Email(it) => it.secret_refs(),
        }
    }
}
