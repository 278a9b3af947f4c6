//! A trigger, compiled: everything that a request needs of it.

use std::collections::HashMap;
use std::sync::Arc;

use recado_types::trigger::TriggerConfig;
use recado_types::{AgentId, ProjectId, TenantId, TriggerId};

use crate::auth::Keys;
use crate::channel::{self, Channel, Secrets};

/// Which trigger it is, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The trigger.
    pub id: TriggerId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Where it belongs.
    pub project_id: ProjectId,
    /// Whom its messages are for.
    pub agent_id: AgentId,
    /// Whether it takes messages.
    pub enabled: bool,
}

/// A trigger with everything that a request needs: no request asks the database for more.
#[derive(Debug)]
pub struct CompiledTrigger {
    /// The trigger.
    pub id: TriggerId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Where it belongs.
    pub project_id: ProjectId,
    /// Whom its messages are for.
    pub agent_id: AgentId,
    /// Whether it takes messages.
    pub enabled: bool,
    /// What it says.
    pub config: TriggerConfig,
    /// Its `webhook_secret`, and the one before it.
    pub own_keys: Keys,
    /// What it knows of the system that calls it.
    pub channel: Arc<dyn Channel>,
}

impl CompiledTrigger {
    /// Compiles a trigger; `secrets` are the values of those that its channel names.
    pub fn new(
        owner: Owner,
        config: TriggerConfig,
        own_keys: Keys,
        secrets: HashMap<String, String>,
    ) -> Self {
        let secrets = Secrets::new(secrets, own_keys.clone());
        let channel = channel::adapter(&config, &secrets);
        let Owner { id, tenant_id, project_id, agent_id, enabled } = owner;
        Self { id, tenant_id, project_id, agent_id, enabled, config, own_keys, channel }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    //! A trigger for the tests of other modules.

    use recado_types::trigger;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    /// A trigger with `config`, whose `execution` is the shortest one unless it is given.
    pub(crate) fn compiled(config: &Value) -> CompiledTrigger {
        let mut config = config.clone();
        let fields = config.as_object_mut().expect("a configuration is an object");
        fields.entry("execution").or_insert_with(|| json!({"mode": "async"}));
        let config = TriggerConfig::parse(&config).expect("the test's configuration is valid");
        let named = config.channel.iter().flat_map(trigger::Channel::secret_refs);
        let named = named.map(|(_, name)| (name.to_owned(), "s3cret".to_owned())).collect();
        let owner = Owner {
            id: TriggerId(Uuid::from_u128(1)),
            tenant_id: TenantId(Uuid::from_u128(2)),
            project_id: ProjectId(Uuid::from_u128(6)),
            agent_id: AgentId(Uuid::from_u128(3)),
            enabled: true,
        };
        CompiledTrigger::new(owner, config, Keys::own("whs_test", None), named)
    }

    #[test]
    fn no_secret_is_shown() {
        let trigger = compiled(&json!({
            "channel": {"type": "slack", "signing_secret_ref": "SLACK"},
        }));
        let shown = format!("{trigger:?}");
        assert!(!shown.contains("whs_test") && !shown.contains("s3cret"), "{shown}");
    }
}
