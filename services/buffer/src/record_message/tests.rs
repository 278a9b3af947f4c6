//! Taking messages in, on servers of its own.

use std::time::Duration;

use chrono::DateTime;
use recado_messages::ExecutionRequested;
use recado_store::agents::{self, AgentDraft};
use recado_store::executions;
use recado_store::tenants::{self, EnsureTenant};
use recado_store::triggers::{self, TriggerDraft};
use recado_store::{Keyring, Store};
use recado_testkit::{TestDatabase, TestRedis, Vhost, wait_for};
use recado_types::agent::AgentSpec;
use recado_types::buffer::BufferPolicy;
use recado_types::{AgentId, Fingerprint, ProjectId, TenantId, TriggerId};
use serde_json::{Map, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::*;

const SOON: Duration = Duration::from_secs(30);
const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const PROJECT: ProjectId = ProjectId(Uuid::from_u128(2));
const AGENT: AgentId = AgentId(Uuid::from_u128(3));
const TRIGGER: TriggerId = TriggerId(Uuid::from_u128(4));

/// The handler on servers of its own, with a trigger to take messages in for.
struct Handling {
    handler: RecordMessage,
    tasks: TaskTracker,
    stop: CancellationToken,
    _servers: (TestDatabase, Vhost, TestRedis),
}

impl Handling {
    async fn start() -> Self {
        let (database, vhost, redis) = tokio::join!(
            recado_testkit::database(),
            recado_testkit::vhost(),
            recado_testkit::redis()
        );
        let keys = Keyring::parse("k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let settings = recado_store::Config::new(database.url(), 2, "test");
        let store = Store::new(&settings, keys).unwrap();
        furnish(&store).await;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let kv = recado_kv::Config {
            url: redis.url(),
            timeout: Duration::from_secs(2),
            prefix: "test".into(),
        };
        let kv = recado_kv::Kv::start(&kv, &tasks, stop.clone()).unwrap();
        let broker = recado_broker::Config::new(vhost.url(), "test");
        let publisher = recado_broker::Publisher::start(broker, &tasks, stop.clone());
        let buffer = Buffer { store, kv, publisher, lost: Notify::new() };
        let handler = RecordMessage(Arc::new(buffer));
        Self { handler, tasks, stop, _servers: (database, vhost, redis) }
    }

    async fn handle(&self, batch: &[MessageReceived]) -> Result<(), RecordError> {
        self.handler.0.take_in(batch, &[]).await
    }

    /// Waits until the window of session `n` is due, and answers what is in it.
    async fn due(&self, n: u128) -> Vec<MessageId> {
        let due = async || {
            let claims = self.handler.0.kv.claim(10, SOON).await.unwrap();
            let of_session = SessionId(Uuid::from_u128(1_000 + n));
            claims.windows.into_iter().find(|window| window.session_id == of_session)
        };
        wait_for("the window", SOON, due).await.unwrap().message_ids
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(SOON, self.tasks.wait()).await.expect("it ends in time");
    }
}

async fn furnish(store: &Store) {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let tenant = EnsureTenant { id: TENANT, project_id: PROJECT, name: "test" };
    tenants::ensure(store, &tenant, now).await.unwrap();
    let spec = json!({"model": "builtin.echo", "system_prompt": ""});
    let spec = AgentSpec::from_saved(&spec).unwrap();
    let agent = AgentDraft::new(PROJECT, "Echo", spec);
    agents::ensure(store, TENANT, AGENT, &agent, now).await.unwrap();
    let draft = TriggerDraft::new(
        AGENT,
        "test",
        json!({
            "auth": {"type": "none"},
            "execution": {"mode": "async", "message_buffer": {"enabled": true}},
        }),
    );
    let saved = triggers::create(store, TENANT, TRIGGER, &draft, "whs_x", now).await;
    assert!(matches!(saved, Ok(triggers::Saved::Saved(_))), "{saved:?}");
}

/// Message `n`, of session `n`, with `text` under a provider's id.
fn saying(n: u128, text: &str) -> MessageReceived {
    let message = Inbound {
        id: MessageId(Uuid::from_u128(n)),
        tenant_id: TENANT,
        trigger_id: TRIGGER,
        session_id: SessionId(Uuid::from_u128(1_000 + n)),
        accepted_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        text: text.into(),
        context: Map::new(),
        fingerprint: Some(Fingerprint::of(text.as_bytes())),
        payload: None,
    };
    MessageReceived { message, buffer: BufferPolicy::new(100, 10, None) }
}

#[tokio::test]
async fn another_content_under_a_known_id_is_isolated_and_its_neighbours_enter_their_windows() {
    let handling = Handling::start().await;
    handling.handler.0.kv.mark_intact().await.unwrap();
    let known = saying(1, "a coffee");
    handling.handle(std::slice::from_ref(&known)).await.unwrap();
    assert_eq!(handling.due(1).await, [known.message.id]);
    let request = ExecutionRequested {
        messages: vec![known.message.clone()],
        separator: String::new(),
        reply_to: None,
    };
    let now = known.message.accepted_at;
    executions::admit(&handling.handler.0.store, &[&request], now).await.unwrap();

    let (other, neighbour) = (saying(1, "a piano"), saying(2, "a coffee"));
    let together = [known.clone(), other.clone(), neighbour.clone()];
    for batch in [&together[..], &together[1..2]] {
        let error = handling.handle(batch).await.unwrap_err();
        assert_eq!(handling.handler.on_error(&error), OnError::Isolate);
        let told = format!("message {} is known with another content", known.message.id);
        assert_eq!(error.to_string(), told);
    }
    handling.handle(&[known]).await.unwrap();
    handling.handle(std::slice::from_ref(&neighbour)).await.unwrap();
    assert_eq!(handling.due(2).await, [neighbour.message.id]);
    handling.stop().await;
}
