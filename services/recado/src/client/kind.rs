//! What there is in a tenant, and how the API speaks of it.

use recado_types::{AgentId, AppId, EventEndpointId, ProjectId, ProviderId, ToolId, TriggerId};

use Rule::{AnyOrder, Fixed, Merged, Replaced};

/// A kind of thing, in the order in which others may refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Project,
    Provider,
    App,
    Tool,
    Agent,
    Trigger,
    EventEndpoint,
}

/// What a PATCH makes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nothing: it stays as it was made.
    Fixed,
    /// What is given is there afterwards, and nothing else.
    Replaced,
    /// What is given is merged into what is there (RFC 7396).
    Merged,
    /// As `Replaced`, of a list whose order means nothing.
    AnyOrder,
}

impl Kind {
    /// Those that a file may have.
    pub(super) const IN_FILES: [Self; 6] =
        [Self::Provider, Self::App, Self::Tool, Self::Agent, Self::Trigger, Self::EventEndpoint];

    /// What people call one.
    pub(super) fn singular(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Provider => "provider",
            Self::App => "app",
            Self::Tool => "tool",
            Self::Agent => "agent",
            Self::Trigger => "trigger",
            Self::EventEndpoint => "event endpoint",
        }
    }

    /// The same with its article: an agent.
    pub(super) fn one(self) -> String {
        let article = match self {
            Self::App | Self::Agent | Self::EventEndpoint => "an",
            Self::Project | Self::Provider | Self::Tool | Self::Trigger => "a",
        };
        format!("{article} {}", self.singular())
    }

    /// What a file calls a list of them.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::EventEndpoint => "event_endpoints",
            other => other.path(),
        }
    }

    /// What stands behind `/api/`.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Project => "projects",
            Self::Provider => "providers",
            Self::App => "apps",
            Self::Tool => "tools",
            Self::Agent => "agents",
            Self::Trigger => "triggers",
            Self::EventEndpoint => "event-endpoints",
        }
    }

    /// What a POST takes, and what a PATCH makes of it. Names come first, and are not in the list
    /// of those that a file refers to by `agent`, `app` or `project`.
    pub(super) fn fields(self) -> &'static [(&'static str, Rule)] {
        match self {
            Self::Project => &[],
            Self::Provider => &[
                ("name", Fixed),
                ("kind", Fixed),
                ("base_url", Replaced),
                ("secret_ref", Replaced),
                ("prices", Replaced),
            ],
            Self::App => &[("name", Replaced), ("status", Replaced)],
            Self::Tool => &[
                ("name", Replaced),
                ("description", Replaced),
                ("kind", Fixed),
                ("config", Replaced),
            ],
            Self::Agent => &[
                ("name", Replaced),
                ("external_id", Replaced),
                ("description", Replaced),
                ("labels", Merged),
                ("project_id", Replaced),
                ("model", Replaced),
                ("system_prompt", Replaced),
                ("sampling", Merged),
                ("limits", Merged),
                ("context_window", Merged),
                ("tools", Replaced),
                ("approval", Merged),
                ("variations", Replaced),
                ("default_weight", Replaced),
            ],
            Self::Trigger => &[
                ("name", Replaced),
                ("external_id", Fixed),
                ("description", Replaced),
                ("agent_id", Replaced),
                ("app_id", Replaced),
                ("trigger_type", Fixed),
                ("trigger_config", Merged),
                ("enabled", Replaced),
            ],
            Self::EventEndpoint => &[
                ("name", Replaced),
                ("url", Replaced),
                ("agent_id", Replaced),
                ("event_types", AnyOrder),
                ("enabled", Replaced),
            ],
        }
    }

    /// What a file may say by name where the API wants an id: the word, and the API's field.
    pub(super) fn references(self) -> &'static [(&'static str, &'static str, Self)] {
        match self {
            Self::Agent => &[("project", "project_id", Self::Project)],
            Self::Trigger => &[("agent", "agent_id", Self::Agent), ("app", "app_id", Self::App)],
            Self::EventEndpoint => &[("agent", "agent_id", Self::Agent)],
            Self::Project | Self::Provider | Self::App | Self::Tool => &[],
        }
    }

    /// Whether a text is an id, in one of the forms that the API takes.
    pub(super) fn is_id(self, text: &str) -> bool {
        match self {
            Self::Project => text.parse::<ProjectId>().is_ok(),
            Self::Provider => text.parse::<ProviderId>().is_ok(),
            Self::App => text.parse::<AppId>().is_ok(),
            Self::Tool => text.parse::<ToolId>().is_ok(),
            Self::Agent => text.parse::<AgentId>().is_ok(),
            Self::Trigger => text.parse::<TriggerId>().is_ok(),
            Self::EventEndpoint => text.parse::<EventEndpointId>().is_ok(),
        }
    }
}
