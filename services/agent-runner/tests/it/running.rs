//! An agent runner in the test's own process, and somebody who asks it for executions.

use std::sync::Arc;
use std::time::Duration;

use recado_agent_runner::Config;
use recado_broker::topology::reply_queue;
use recado_broker::{Publisher, Replies};
use recado_clock::{Clock, SystemClock};
use recado_http::guard::{Authorities, Ports};
use recado_messages::{ExecutionRequested, Inbound};
use recado_service::Context;
use recado_service::config::{Amqp, Destinations, Postgres};
use recado_service::connect::SecretKeys;
use recado_store::agents::{self, AgentDraft};
use recado_store::executions::{self, EndedExecution};
use recado_store::providers::{self, Provider};
use recado_store::tenants::{self, EnsureTenant};
use recado_store::triggers::{self, TriggerDraft};
use recado_store::{Keyring, Store, usage};
use recado_testkit::model::Model;
use recado_testkit::{TestDatabase, Vhost, database, vhost, wait_for};
use recado_types::agent::AgentSpec;
use recado_types::{
    AgentId, ExecutionId, Fingerprint, MessageId, ProjectId, ProviderId, SessionId, TenantId,
    TriggerId,
};
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

const KEYS: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const PROJECT: ProjectId = ProjectId(Uuid::from_u128(2));
const AGENT: AgentId = AgentId(Uuid::from_u128(3));
const TRIGGER: TriggerId = TriggerId(Uuid::from_u128(4));

/// How long anything may take to come about on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A runner, a model for its agent, and a process that waits for answers.
pub(crate) struct System {
    pub(crate) model: Model,
    pub(crate) replies: Replies,
    publisher: Publisher,
    store: Store,
    context: Context,
    amqp_url: String,
    /// What the waiting process is stopped by, and its tasks.
    asking: (CancellationToken, TaskTracker),
    _servers: (TestDatabase, Vhost),
}

impl System {
    /// With an agent that has three seconds for an answer.
    pub(crate) async fn start() -> Self {
        let (database, vhost) = (database().await, vhost().await);
        let settings = recado_store::Config::new(database.url(), 4, "test");
        let store = Store::new(&settings, Keyring::parse(KEYS).unwrap()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let model = Model::start();
        furnish(&store, &*clock, &model).await;

        let context = Context::with_clock(Arc::clone(&clock));
        let config = config(database.url(), vhost.url());
        let running = context.clone();
        context.tasks.spawn(async move {
            recado_agent_runner::run(running, config).await.unwrap();
        });

        let broker = recado_broker::Config::new(vhost.url(), "test");
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let publisher = Publisher::start(broker.clone(), &tasks, stop.clone());
        let replies = Replies::start(broker, reply_queue("test"), &tasks, stop.clone());
        for link in [publisher.link(), replies.link()] {
            let is_up = async || link.borrow().is_up().then_some(());
            wait_for("a link to the broker", SOON, is_up).await.unwrap();
        }
        let amqp_url = vhost.url().to_owned();
        let (asking, servers) = ((stop, tasks), (database, vhost));
        Self { model, replies, publisher, store, context, amqp_url, asking, _servers: servers }
    }

    /// Asks for the execution of message `n`, and wants to be told of its end.
    pub(crate) async fn ask(&self, n: u128) {
        self.publisher.publish(&self.request(n)).await.unwrap();
    }

    /// Asks for several executions in one go, which is likely to make them one batch.
    pub(crate) async fn ask_together(&self, requests: &[ExecutionRequested]) {
        for published in self.publisher.publish_all(requests).await {
            published.unwrap();
        }
    }

    /// A request for the execution of message `n`, whose end is to be told.
    pub(crate) fn request(&self, n: u128) -> ExecutionRequested {
        let message = Inbound {
            id: MessageId(Uuid::from_u128(n)),
            tenant_id: TENANT,
            trigger_id: TRIGGER,
            session_id: SessionId(Uuid::from_u128(1_000 + n)),
            accepted_at: self.context.clock.now(),
            text: format!("question {n}"),
            context: Map::new(),
            fingerprint: None,
            payload: None,
        };
        ExecutionRequested {
            messages: vec![message],
            separator: String::new(),
            reply_to: Some(self.replies.queue().to_owned()),
        }
    }

    /// A request for the execution of message `n` with `text` under a provider's id.
    pub(crate) fn request_saying(&self, n: u128, text: &str) -> ExecutionRequested {
        let mut request = self.request(n);
        text.clone_into(&mut request.messages[0].text);
        request.messages[0].fingerprint = Some(Fingerprint::of(text.as_bytes()));
        request
    }

    /// A connection to the broker that the runner does not know of.
    pub(crate) async fn amqp(&self) -> lapin::Connection {
        lapin::Connection::connect(&self.amqp_url, lapin::ConnectionProperties::default())
            .await
            .unwrap()
    }

    pub(crate) async fn outcome(&self, execution: ExecutionId) -> Option<EndedExecution> {
        executions::outcome(&self.store, TENANT, execution).await.unwrap()
    }

    /// How many executions of the tenant are counted, today or since yesterday.
    pub(crate) async fn used_today(&self) -> i64 {
        let today = self.context.clock.now().date_naive();
        let yesterday = today.pred_opt().unwrap();
        let days = usage::days(&self.store, TENANT, yesterday, today).await.unwrap();
        days.iter().map(|day| day.executions).sum()
    }

    /// Ends everything in good order.
    pub(crate) async fn stop(self) {
        let (stop, tasks) = self.asking;
        for (shutdown, tasks) in [(self.context.shutdown, self.context.tasks), (stop, tasks)] {
            shutdown.cancel();
            tasks.close();
            tokio::time::timeout(SOON, tasks.wait()).await.expect("it ends in time");
        }
    }
}

/// The execution that message `n` becomes.
pub(crate) fn execution(n: u128) -> ExecutionId {
    ExecutionId::of_first(MessageId(Uuid::from_u128(n)))
}

fn config(database_url: &str, amqp_url: &str) -> Config {
    let timeout = Duration::from_secs(2);
    Config {
        postgres: Postgres { url: database_url.parse().unwrap(), pool_size: 4, timeout },
        amqp: Amqp { url: amqp_url.parse().unwrap(), timeout },
        keys: SecretKeys(Keyring::parse(KEYS).unwrap()),
        destinations: Destinations {
            allow_private: vec!["127.0.0.0/8".parse().unwrap()],
            allow_plain_http: true,
            ports: Ports::default(),
            authorities: Authorities::default(),
        },
        slots: 8,
        tenant_slots: 1_000,
        mcp_stdio_commands: Vec::new(),
        housekeeping_interval: Duration::from_secs(1),
        lease: Duration::from_secs(10),
    }
}

/// A tenant with a provider, an agent and a trigger.
async fn furnish(store: &Store, clock: &dyn Clock, model: &Model) {
    let now = clock.now();
    let tenant = EnsureTenant { id: TENANT, project_id: PROJECT, name: "test" };
    tenants::ensure(store, &tenant, now).await.unwrap();
    let provider = Provider {
        id: ProviderId(clock.fresh_id()),
        name: "stub".into(),
        kind: "openai_compatible".into(),
        base_url: model.base_url(),
        secret_ref: None,
        prices: json!({}),
        created_at: now,
        updated_at: now,
    };
    let saved = providers::create(store, TENANT, &provider).await.unwrap();
    assert!(matches!(saved, providers::Saved::Saved(_)), "{saved:?}");
    let spec = json!({"model": "stub.model", "system_prompt": ""});
    let spec = AgentSpec::from_saved(&spec).unwrap();
    let agent = AgentDraft::new(PROJECT, "test", spec);
    agents::ensure(store, TENANT, AGENT, &agent, now).await.unwrap();
    let draft = TriggerDraft::new(
        AGENT,
        "test",
        json!({
            "auth": {"type": "none"},
            "execution": {"mode": "sync", "timeout_ms": 3_000},
        }),
    );
    let saved = triggers::create(store, TENANT, TRIGGER, &draft, "whs_x", now).await;
    assert!(matches!(saved, Ok(triggers::Saved::Saved(_))), "{saved:?}");
}
