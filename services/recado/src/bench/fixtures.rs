//! The rows that are measured with: one tenant, an agent that echoes, and triggers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use recado_clock::{Clock as _, SystemClock};
use recado_store::agents::AgentDraft;
use recado_store::providers::Provider;
use recado_store::tenants::EnsureTenant;
use recado_store::triggers::{Saved, TriggerDraft};
use recado_store::{Keyring, Store, agents, providers, tenants, triggers};
use recado_types::agent::AgentSpec;
use recado_types::trigger::TriggerConfig;
use recado_types::{AgentId, ProjectId, ProviderId, TenantId, TriggerId};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::WINDOW;
use super::message::Target;

/// How many triggers are made at a time.
const AT_A_TIME: usize = 16;

/// The rows that triggers belong to, and the way to make more of those. Clones share them.
#[derive(Clone)]
pub(super) struct Fixtures {
    store: Store,
    clock: Arc<SystemClock>,
    tenant: TenantId,
    project: ProjectId,
    agent: AgentId,
    /// Where triggers are posted to.
    ingress: SocketAddr,
}

impl Fixtures {
    /// Makes tenant and agent. No commit waits for the disk: nothing of this outlives the run.
    pub(super) async fn make(
        database_url: &str,
        secret_keys: &str,
        ingress: SocketAddr,
    ) -> anyhow::Result<Self> {
        let url = format!("{database_url}?options=-c%20synchronous_commit%3Doff");
        let database = recado_store::Config::new(&url, AT_A_TIME, "recado-bench");
        let store = Store::new(&database, Keyring::parse(secret_keys)?)?;
        let clock = Arc::new(SystemClock::default());
        let tenant = TenantId(clock.fresh_id());
        let project = ProjectId(clock.fresh_id());
        let new = EnsureTenant { id: tenant, project_id: project, name: "Bench" };
        tenants::ensure(&store, &new, clock.now()).await.context("the tenant was not made")?;
        let agent = AgentId(clock.fresh_id());
        Self { store, clock, tenant, project, agent, ingress }.with_agent("Echo", &echo()).await
    }

    /// The database, as the roles see it.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Makes another agent, whose triggers the result makes.
    pub(super) async fn with_agent(&self, name: &str, spec: &Value) -> anyhow::Result<Self> {
        let agent = AgentId(self.clock.fresh_id());
        let draft = AgentDraft::new(self.project, name, spec_of(spec)?);
        agents::ensure(&self.store, self.tenant, agent, &draft, self.clock.now())
            .await
            .context("the agent was not made")?;
        Ok(Self { agent, ..self.clone() })
    }

    /// Makes a provider of models that wants no key.
    pub(super) async fn provider(&self, name: &str, base_url: String) -> anyhow::Result<()> {
        let now = self.clock.now();
        let provider = Provider {
            id: ProviderId(self.clock.fresh_id()),
            name: name.to_owned(),
            kind: "openai_compatible".to_owned(),
            base_url,
            secret_ref: None,
            prices: json!({}),
            created_at: now,
            updated_at: now,
        };
        match providers::create(&self.store, self.tenant, &provider).await? {
            providers::Saved::Saved(_) => Ok(()),
            other => bail!("the provider was not saved: {other:?}"),
        }
    }

    /// Makes a trigger.
    pub(super) async fn trigger(&self, configuration: &Value) -> anyhow::Result<Arc<Target>> {
        if let Err(problems) = TriggerConfig::parse(configuration) {
            bail!("the trigger is configured wrongly: {problems:?}");
        }
        let draft = TriggerDraft::new(self.agent, "Bench", configuration.clone());
        let id = TriggerId(self.clock.fresh_id());
        let secret = triggers::generate_webhook_secret();
        let now = self.clock.now();
        match triggers::create(&self.store, self.tenant, id, &draft, &secret, now).await? {
            Saved::Saved(_) => {
                Ok(Arc::new(Target { address: self.ingress, trigger: id.to_string(), secret }))
            }
            other => bail!("the trigger was not saved: {other:?}"),
        }
    }

    /// Makes `n` triggers that are configured alike.
    pub(super) async fn triggers(
        &self,
        n: usize,
        configuration: Value,
    ) -> anyhow::Result<Vec<Arc<Target>>> {
        let configuration = Arc::new(configuration);
        let mut makers = JoinSet::new();
        for maker in 0..AT_A_TIME {
            let (fixtures, configuration) = (self.clone(), Arc::clone(&configuration));
            makers.spawn(async move {
                let mut made = Vec::new();
                for _ in (maker..n).step_by(AT_A_TIME) {
                    made.push(fixtures.trigger(&configuration).await?);
                }
                Ok::<_, anyhow::Error>(made)
            });
        }
        let made = makers.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        Ok(made.concat())
    }
}

fn echo() -> Value {
    json!({"model": "builtin.echo", "system_prompt": "You repeat what you are told."})
}

fn spec_of(spec: &Value) -> anyhow::Result<AgentSpec> {
    match AgentSpec::from_saved(spec) {
        Ok(spec) => Ok(spec),
        Err(problems) => bail!("the agent is configured wrongly: {problems:?}"),
    }
}

/// JSON, HMAC-SHA256, one session per user, run at once. Nobody is told the answer.
pub(super) fn unanswered() -> Value {
    json!({
        "auth": {"type": "signature", "algorithm": "sha256"},
        "query_extraction": {"mode": "field", "field": "chatInput"},
        "context_mapping": {"userId": "$.userId", "userName": "$.userName"},
        "session_strategy": {"mode": "derive", "fields": ["userId"]},
        "execution": {"mode": "async"}
    })
}

/// The same, with everything that is asked of Redis before a message is taken: whether its id is
/// new, and whether its trigger and its sender are within their limits.
pub(super) fn counted() -> Value {
    let mut configuration = unanswered();
    configuration["idempotency"] = json!({"path": "id"});
    configuration["sender_access"] = json!({"mode": "any", "identity_field": "userId"});
    // As high as can be: what is measured is the question, not a refusal.
    configuration["rate_limit"] =
        json!({"per_minute": 1_000_000, "per_sender_per_minute": 1_000_000});
    configuration
}

/// Answered at `callback`.
pub(super) fn answered(callback: SocketAddr) -> Value {
    let mut configuration = unanswered();
    configuration["execution"]["callback"] = json!({
        "url": format!("http://{callback}/callback"),
        "method": "POST",
        "content_type": "application/json",
        "body_template": {"text": "{{agent_response}}"}
    });
    configuration
}

/// Answered at `callback`, behind a message buffer with the usual window.
pub(super) fn buffered(callback: SocketAddr) -> Value {
    buffered_for(callback, WINDOW)
}

/// The same with windows of `window`.
pub(super) fn buffered_for(callback: SocketAddr, window: Duration) -> Value {
    let mut configuration = answered(callback);
    let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    configuration["execution"]["message_buffer"] = json!({"enabled": true, "window_ms": window_ms});
    configuration
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_triggers_are_configured_as_a_user_could() {
        let callback = SocketAddr::from(([127, 0, 0, 1], 80));
        for configuration in [unanswered(), counted(), answered(callback), buffered(callback)] {
            TriggerConfig::parse(&configuration).unwrap();
        }
        let counted = TriggerConfig::parse(&counted()).unwrap();
        assert!(counted.rate_limit.per_sender_per_minute.is_some());
        assert!(counted.sender_access.identity_field.is_some());
        assert!(TriggerConfig::parse(&buffered(callback)).unwrap().execution.buffer.is_some());
    }
}
