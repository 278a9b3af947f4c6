//! A database with a tenant, an agent and a trigger.

use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_messages::{ExecutionRequested, Inbound};
use recado_store::agents::{self, AgentDraft};
use recado_store::deliveries::Room;
use recado_store::tenants::{self, EnsureTenant};
use recado_store::triggers::{self, TriggerDraft};
use recado_store::{Config, Keyring, Store};
use recado_testkit::TestDatabase;
use recado_types::agent::AgentSpec;
use recado_types::{AgentId, MessageId, ProjectId, SessionId, TenantId, TriggerId};
use serde_json::{Map, json};
use uuid::Uuid;

pub(crate) const KEYS: &str = "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(crate) const TENANT: TenantId = TenantId(Uuid::from_u128(1));
pub(crate) const AGENT: AgentId = AgentId(Uuid::from_u128(3));
pub(crate) const TRIGGER: TriggerId = TriggerId(Uuid::from_u128(4));

/// Room for every delivery that there is.
pub(crate) const PLENTY: Room<'static> = Room {
    per_trigger: u32::MAX,
    triggers: &[],
    per_tenant: u32::MAX,
    tenants: &[],
    in_work: &[],
    probe: Duration::from_mins(1),
};

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) database: TestDatabase,
}

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let database = recado_testkit::database().await;
        let config = Config::new(database.url(), 8, "test");
        let store = Store::new(&config, Keyring::parse(KEYS).unwrap()).unwrap();
        let project_id = ProjectId(Uuid::from_u128(2));
        let tenant = EnsureTenant { id: TENANT, project_id, name: "test" };
        tenants::ensure(&store, &tenant, now()).await.unwrap();
        let spec = json!({"model": "builtin.script", "system_prompt": "You repeat."});
        let agent = AgentDraft::new(project_id, "Echo", AgentSpec::from_saved(&spec).unwrap());
        agents::ensure(&store, TENANT, AGENT, &agent, now()).await.unwrap();
        let draft = TriggerDraft::new(
            AGENT,
            "test",
            json!({
                "auth": {"type": "none"},
                "execution": {
                    "mode": "async",
                    "callback": {"url": "http://127.0.0.1:9/"},
                    "message_buffer": {"enabled": true, "window_ms": 1000, "max_messages": 3}
                }
            }),
        );
        triggers::create(&store, TENANT, TRIGGER, &draft, "whs_x", now()).await.unwrap();
        Self { store, database }
    }

    pub(crate) async fn execute(&self, statements: &str) {
        recado_testkit::sql::execute(self.database.url(), statements).await.unwrap();
    }

    pub(crate) async fn count(&self, query: &str) -> i64 {
        recado_testkit::sql::count(self.database.url(), query).await.unwrap()
    }
}

pub(crate) fn session(n: u128) -> SessionId {
    SessionId(Uuid::from_u128(1_000 + n))
}

pub(crate) fn refs(messages: &[Inbound]) -> Vec<&Inbound> {
    messages.iter().collect()
}

/// Message `n` of session `s`.
pub(crate) fn message(s: u128, n: u128) -> Inbound {
    Inbound {
        id: MessageId(Uuid::from_u128(s * 1_000_000 + n)),
        tenant_id: TENANT,
        trigger_id: TRIGGER,
        session_id: session(s),
        accepted_at: now(),
        text: format!("s{s}-m{n}"),
        context: Map::from_iter([("n".to_owned(), json!(n.to_string()))]),
        fingerprint: None,
        payload: None,
    }
}

/// A request for message `n` of session `s` by somebody who waits at the reply queue `queue`.
pub(crate) fn sync_request(s: u128, n: u128, queue: &str) -> ExecutionRequested {
    ExecutionRequested { reply_to: Some(queue.into()), ..request(&[message(s, n)]) }
}

pub(crate) fn request(messages: &[Inbound]) -> ExecutionRequested {
    ExecutionRequested { messages: messages.to_vec(), separator: "+".into(), reply_to: None }
}
