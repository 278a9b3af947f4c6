//! What an API key may be used for.
//!
//! The words are a closed list: in the column of a key, in requests and answers, and at the
//! operations that ask for them. None of them lets a key change anything.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// One thing that a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Whatever another scope lets a key read.
    Read,
    /// Triggers, and what their types are.
    ReadTriggers,
    /// Executions, with what models and tools said in them.
    ReadExecutions,
    /// Sessions, and the windows that are open.
    ReadSessions,
    /// Deliveries and their attempts.
    ReadDeliveries,
    /// Event endpoints, and what was sent to them.
    ReadEvents,
    /// Agents, their versions, tools and providers.
    ReadAgents,
    /// The tenant, its projects, members and apps, and what it used.
    ReadDirectory,
    /// Dead letters and destinations.
    ReadOperations,
    /// Webhooks of triggers with `auth.type: api_key`.
    SendWebhooks,
}

impl Scope {
    /// Every scope, in the order in which they are listed.
    pub const ALL: [Self; 10] = [
        Self::Read,
        Self::ReadTriggers,
        Self::ReadExecutions,
        Self::ReadSessions,
        Self::ReadDeliveries,
        Self::ReadEvents,
        Self::ReadAgents,
        Self::ReadDirectory,
        Self::ReadOperations,
        Self::SendWebhooks,
    ];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadTriggers => "triggers:read",
            Self::ReadExecutions => "executions:read",
            Self::ReadSessions => "sessions:read",
            Self::ReadDeliveries => "deliveries:read",
            Self::ReadEvents => "events:read",
            Self::ReadAgents => "agents:read",
            Self::ReadDirectory => "directory:read",
            Self::ReadOperations => "operations:read",
            Self::SendWebhooks => "webhooks:send",
        }
    }

    /// Whether [`Self::Read`] stands for it too.
    const fn is_read(self) -> bool {
        !matches!(self, Self::SendWebhooks)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownScope;

impl fmt::Display for UnknownScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be one of ")?;
        for (index, scope) in Scope::ALL.iter().enumerate() {
            write!(f, "{}{scope}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or(UnknownScope)
    }
}

/// All that a key may do. One bit for each scope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    /// Nothing at all.
    pub const NONE: Self = Self(0);

    /// Whether a key with these may do what asks for `needed`.
    pub const fn allow(self, needed: Scope) -> bool {
        self.contains(needed) || (needed.is_read() && self.contains(Scope::Read))
    }

    /// Those that were given, each of them once.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    const fn contains(self, scope: Scope) -> bool {
        self.0 & bit(scope) != 0
    }
}

/// What a key may do if nothing else was said: read, and send webhooks.
impl Default for Scopes {
    fn default() -> Self {
        [Scope::Read, Scope::SendWebhooks].into_iter().collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | bit(scope)))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Scope::name)).finish()
    }
}

/// A list of words.
impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Scope::name))
    }
}

impl JsonSchema for Scopes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Scopes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": { "type": "string", "enum": Scope::ALL.map(Scope::name) },
            "uniqueItems": true,
        })
    }
}

const fn bit(scope: Scope) -> u16 {
    1 << scope as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_has_a_name_of_its_own() {
        for scope in Scope::ALL {
            assert_eq!(scope.name().parse(), Ok(scope));
        }
        assert_eq!("triggers:write".parse::<Scope>(), Err(UnknownScope));
        assert!(UnknownScope.to_string().ends_with("operations:read, webhooks:send"));
    }

    #[test]
    fn reading_is_all_reading_and_nothing_else() {
        let read: Scopes = [Scope::Read].into_iter().collect();
        for scope in Scope::ALL {
            assert_eq!(read.allow(scope), scope != Scope::SendWebhooks, "{scope}");
            let only: Scopes = [scope].into_iter().collect();
            assert!(only.allow(scope) && !Scopes::NONE.allow(scope));
        }
        let triggers: Scopes = [Scope::ReadTriggers].into_iter().collect();
        assert!(!triggers.allow(Scope::Read) && !triggers.allow(Scope::ReadAgents));
    }

    #[test]
    fn by_default_a_key_reads_and_sends() {
        assert!(Scope::ALL.into_iter().all(|scope| Scopes::default().allow(scope)));
        assert_eq!(
            serde_json::json!(Scopes::default()),
            serde_json::json!(["read", "webhooks:send"])
        );
    }
}
