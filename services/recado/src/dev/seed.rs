//! The demo tenant, its agent and its triggers. Made once, then left to whoever plays with them.

use anyhow::{Context as _, bail};
use recado_service::{Context, connect};
use recado_store::tenants::EnsureTenant;
use recado_store::triggers::{Saved, TriggerDraft};
use recado_store::{Store, agents, api_keys, tenants, triggers};
use recado_types::agent::AgentSpec;
use recado_types::trigger::TriggerConfig;
use recado_types::{AgentId, ApiKeyId, ProjectId, TenantId, TriggerId};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::installation::Installation;

/// Ids of the demo's rows: the same on every machine, so that documents can name them.
const DEMO: u128 = 0x0193_0000_0000_7000_8000_dec0_de00_0000;

/// What was made.
#[derive(Clone, Debug)]
pub(crate) struct Demo {
    pub(crate) tenant_id: TenantId,
    pub(crate) project_id: ProjectId,
    pub(crate) agent_id: AgentId,
    pub(crate) api_key: String,
    pub(crate) triggers: DemoTriggers,
}

/// The demo's ways in.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct DemoTriggers {
    /// JSON with `X-Api-Key`; the answer is the agent's.
    pub(crate) erp: TriggerId,
    /// JSON without authentication; bursts within two seconds become one execution.
    pub(crate) chat: TriggerId,
}

/// Makes what is not there yet.
pub(super) async fn ensure(
    config: &recado_management::Config,
    installation: &Installation,
    context: &Context,
) -> anyhow::Result<Demo> {
    let store = connect::open_store("seed", &config.postgres, &config.keys)?;
    let id = |n: u128| Uuid::from_u128(DEMO + n);
    let now = context.clock.now();
    let api_key = installation.api_key()?;
    let demo = Demo {
        tenant_id: TenantId(id(1)),
        project_id: ProjectId(id(2)),
        agent_id: AgentId(id(3)),
        api_key: api_key.expose().to_owned(),
        triggers: DemoTriggers { erp: TriggerId(id(4)), chat: TriggerId(id(5)) },
    };

    let tenant = EnsureTenant { id: demo.tenant_id, project_id: demo.project_id, name: "Demo" };
    tenants::ensure(&store, &tenant, now).await.context("the demo tenant was not made")?;
    let agent = agents::AgentDraft::new(demo.project_id, "Echo", echo()?);
    agents::ensure(&store, demo.tenant_id, demo.agent_id, &agent, now)
        .await
        .context("the demo agent was not made")?;
    let key = api_keys::NewApiKey {
        id: ApiKeyId(context.clock.fresh_id()),
        name: "dev",
        prefix: api_key.shown_prefix(),
        hash: api_key.hash(),
        scopes: None,
        expires_at: None,
    };
    // The key is kept in the installation; a second time it is there already.
    api_keys::create(&store, demo.tenant_id, &key, now)
        .await
        .context("the demo's API key was not made")?;
    ensure_trigger(&store, &demo, demo.triggers.erp, "ERP", erp(), context).await?;
    ensure_trigger(&store, &demo, demo.triggers.chat, "Chat", chat(), context).await?;
    Ok(demo)
}

async fn ensure_trigger(
    store: &Store,
    demo: &Demo,
    id: TriggerId,
    name: &str,
    trigger_config: Value,
    context: &Context,
) -> anyhow::Result<()> {
    if let Err(problems) = TriggerConfig::parse(&trigger_config) {
        bail!("the demo trigger {name} is wrong: {problems:?}");
    }
    let draft = TriggerDraft::new(demo.agent_id, name, trigger_config);
    let secret = triggers::generate_webhook_secret();
    let now = context.clock.now();
    match triggers::create(store, demo.tenant_id, id, &draft, &secret, now).await? {
        Saved::Saved(_) | Saved::Taken | Saved::Stale => Ok(()),
        Saved::Missing(missing) => bail!("the demo trigger {name} misses {missing:?}"),
    }
}

fn echo() -> anyhow::Result<AgentSpec> {
    let spec = json!({"model": "builtin.echo", "system_prompt": "You repeat what you are told."});
    match AgentSpec::from_saved(&spec) {
        Ok(spec) => Ok(spec),
        Err(problems) => bail!("the demo agent is wrong: {problems:?}"),
    }
}

fn erp() -> Value {
    json!({
        "auth": {"type": "api_key"},
        "query_extraction": {"mode": "field", "field": "chatInput"},
        "context_mapping": {"userId": "$.userId", "userName": "$.userName"},
        "session_strategy": {"mode": "derive", "fields": ["userId"]}
    })
}

fn chat() -> Value {
    json!({
        "auth": {"type": "none"},
        "query_extraction": {"mode": "field", "field": "text"},
        "context_mapping": {"user": "$.user"},
        "session_strategy": {"mode": "derive", "fields": ["user"]},
        "execution": {
            "mode": "async",
            "message_buffer": {"enabled": true, "window_ms": 2000}
        }
    })
}
