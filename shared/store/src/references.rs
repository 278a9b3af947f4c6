//! What refers to what: a trigger to its agent, its app and its secrets; an agent to its providers
//! and its tools; a tool to its secrets and to the agent that it asks; an event endpoint to the agent
//! whose events it gets; a provider to its secret.
//!
//! Nothing that is referred to can be deleted. Whoever saves a reference holds what it refers to
//! (`FOR KEY SHARE`) in the same transaction, and whoever deletes locks it (`FOR UPDATE`) before
//! looking for references, so neither misses the other.

use recado_types::{AgentId, EventEndpointId, ProviderId, ToolId, TriggerId};
use tokio_postgres::Row;

/// Something that stops working without what was to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsedBy {
    /// A trigger, for its channel or its callback.
    Trigger {
        /// Which.
        id: TriggerId,
        /// What people call it.
        name: String,
    },
    /// A provider.
    Provider {
        /// Which.
        id: ProviderId,
        /// What people call it.
        name: String,
    },
    /// An agent.
    Agent {
        /// Which.
        id: AgentId,
        /// What people call it.
        name: String,
    },
    /// A tool.
    Tool {
        /// Which.
        id: ToolId,
        /// What models call it.
        name: String,
    },
    /// An event endpoint.
    EventEndpoint {
        /// Which.
        id: EventEndpointId,
        /// What people call it.
        name: String,
    },
}

/// What came of deleting something that others may refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Deleted,
    /// It never was, or belongs to somebody else.
    NotFound,
    /// It stays, because it is no longer what whoever wants it deleted has seen.
    Changed,
    /// It stays, because these need it; at most [`MAX_USES`] are named.
    InUse(Vec<UsedBy>),
}

/// How many users are named when something cannot be deleted.
pub const MAX_USES: i64 = 20;

impl UsedBy {
    /// From the columns `kind`, `id`, `name`.
    pub(crate) fn from_row(row: &Row) -> Self {
        let (id, name) = (row.get("id"), row.get("name"));
        match row.get::<_, &str>("kind") {
            "trigger" => Self::Trigger { id: TriggerId(id), name },
            "provider" => Self::Provider { id: ProviderId(id), name },
            "tool" => Self::Tool { id: ToolId(id), name },
            "event_endpoint" => Self::EventEndpoint { id: EventEndpointId(id), name },
            _ => Self::Agent { id: AgentId(id), name },
        }
    }
}
