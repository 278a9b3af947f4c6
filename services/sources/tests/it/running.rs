//! Instances of sources in the test's own process, and what they published.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_broker::{Handler, OnError, Publisher, Received, topology};
use recado_clock::{Clock, ManualClock};
use recado_http::guard::{Authorities, Ports};
use recado_messages::{ExecutionRequested, Inbound};
use recado_service::Context;
use recado_service::config::{Amqp, Destinations, Postgres};
use recado_service::connect::SecretKeys;
use recado_sources::Config;
use recado_store::agents::{self, AgentDraft};
use recado_store::sources::SourceStatus;
use recado_store::tenants::{self, EnsureTenant};
use recado_store::triggers::{self, Saved, TriggerDraft};
use recado_store::{Keyring, Store, secrets, sources};
use recado_testkit::{Killable, TestDatabase, Vhost, database, vhost, wait_for};
use recado_types::agent::AgentSpec;
use recado_types::{AgentId, ProjectId, SecretId, TenantId, TriggerId};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

const KEYS: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(crate) const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const PROJECT: ProjectId = ProjectId(Uuid::from_u128(2));
const AGENT: AgentId = AgentId(Uuid::from_u128(3));

/// How long anything may take to come about on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A lease that a test can wait for, and that a busy machine can keep.
const LEASE: Duration = Duration::from_secs(2);

/// A system with one tenant.
pub(crate) struct System {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    /// What was published, in the order of the queue, repetitions included.
    published: Queue,
    database: TestDatabase,
    vhost: Vhost,
    _consumer: DropGuard,
}

impl System {
    /// A system whose clocks show `now`.
    pub(crate) async fn at(now: &str) -> Self {
        let (database, vhost) = (database().await, vhost().await);
        let settings = recado_store::Config::new(database.url(), 4, "test");
        let store = Store::new(&settings, Keyring::parse(KEYS).unwrap()).unwrap();
        let clock = Arc::new(ManualClock::new(now.parse().unwrap()));
        let tenant = EnsureTenant { id: TENANT, project_id: PROJECT, name: "test" };
        tenants::ensure(&store, &tenant, clock.now()).await.unwrap();
        let spec = serde_json::json!({"model": "builtin.echo", "system_prompt": ""});
        let agent = AgentDraft::new(PROJECT, "echo", AgentSpec::from_saved(&spec).unwrap());
        agents::ensure(&store, TENANT, AGENT, &agent, clock.now()).await.unwrap();

        let (published, tasks, stop) =
            (Queue::default(), TaskTracker::new(), CancellationToken::new());
        let broker = recado_broker::Config::new(vhost.url(), "test");
        let publishing = Publisher::start(broker.clone(), &tasks, stop.clone());
        let handler = Arc::new(published.clone());
        recado_broker::consume(
            broker,
            &topology::EXECUTIONS,
            publishing,
            handler,
            &tasks,
            stop.clone(),
        );
        Self { store, clock, published, database, vhost, _consumer: stop.drop_guard() }
    }

    pub(crate) fn database_url(&self) -> &str {
        self.database.url()
    }

    /// A trigger with this configuration, saved now.
    pub(crate) async fn trigger(&self, config: Value) -> TriggerId {
        let id = TriggerId(self.clock.fresh_id());
        let draft = TriggerDraft::new(AGENT, "test", config);
        let saved =
            triggers::create(&self.store, TENANT, id, &draft, "whs_x", self.clock.now()).await;
        assert!(matches!(saved, Ok(Saved::Saved(_))), "{saved:?}");
        id
    }

    /// Switches a trigger on or off.
    pub(crate) async fn enable(&self, trigger: TriggerId, enabled: bool) {
        let now = self.clock.now();
        let changed = triggers::set_enabled(&self.store, TENANT, trigger, None, enabled, now).await;
        assert!(changed.unwrap().is_some());
    }

    pub(crate) async fn add_secret(&self, name: &str, value: &str) {
        let (id, now) = (SecretId(self.clock.fresh_id()), self.clock.now());
        secrets::create(&self.store, TENANT, id, name, value, now).await.unwrap().unwrap();
    }

    /// How a trigger's source is.
    pub(crate) async fn source(&self, trigger: TriggerId) -> SourceStatus {
        sources::find(&self.store, TENANT, trigger).await.unwrap().unwrap()
    }

    /// An instance, by the system's clock.
    pub(crate) fn start(&self) -> Killable {
        self.start_with(near())
    }

    /// An instance that may connect there.
    pub(crate) fn start_with(&self, destinations: Destinations) -> Killable {
        let context = Context::with_clock(Arc::clone(&self.clock) as Arc<dyn Clock>);
        let timeout = Duration::from_secs(2);
        let config = Config {
            postgres: Postgres { url: self.database.url().parse().unwrap(), pool_size: 4, timeout },
            amqp: Amqp { url: self.vhost.url().parse().unwrap(), timeout },
            keys: SecretKeys(Keyring::parse(KEYS).unwrap()),
            destinations,
            connections: 16,
            lease: LEASE,
        };
        let role = Box::pin(recado_sources::run(context.clone(), config));
        Killable::start(role, context.tasks, context.shutdown).unwrap()
    }

    /// The messages of a trigger, each once, in the order in which they came first.
    pub(crate) fn messages(&self, trigger: TriggerId) -> Vec<Inbound> {
        let mut seen = HashSet::new();
        let all = self.published.all().into_iter();
        all.filter(|message| message.trigger_id == trigger && seen.insert(message.id)).collect()
    }

    /// How many messages were published, repetitions included.
    pub(crate) fn n_published(&self) -> usize {
        self.published.all().len()
    }

    /// Waits for `n` different messages of a trigger.
    pub(crate) async fn wait_for(&self, trigger: TriggerId, n: usize) -> Vec<Inbound> {
        let level = async || Some(self.messages(trigger)).filter(|all| n <= all.len());
        let waited = wait_for("messages of the source", SOON, level).await;
        waited.unwrap_or_else(|error| panic!("{error}: {}", self.messages(trigger).len()))
    }

    /// Waits until the instances have done all that is due now.
    pub(crate) async fn settled(&self, trigger: TriggerId) -> SourceStatus {
        let now = self.clock.now();
        let settled = async || {
            let status = self.source(trigger).await;
            let is_done = !status.is_held && status.due_at.is_some_and(|due_at| due_at > now);
            (is_done || !status.is_due).then_some(status)
        };
        wait_for("a source that has nothing to do", SOON, settled).await.unwrap()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}

/// This machine only, and nobody's certificates.
pub(crate) fn near() -> Destinations {
    Destinations {
        allow_private: vec!["127.0.0.0/8".parse().unwrap()],
        allow_plain_http: true,
        ports: Ports::default(),
        authorities: Authorities::default(),
    }
}

#[derive(Clone, Default)]
struct Queue(Arc<Mutex<Vec<Inbound>>>);

impl Queue {
    fn all(&self) -> Vec<Inbound> {
        self.0.lock().unwrap().clone()
    }
}

impl Handler for Queue {
    type Message = ExecutionRequested;
    type Error = Infallible;

    async fn handle(&self, batch: Vec<Received<ExecutionRequested>>) -> Result<(), Infallible> {
        let messages = batch.into_iter().flat_map(|received| received.message.messages);
        self.0.lock().unwrap().extend(messages);
        Ok(())
    }

    fn on_error(&self, error: &Infallible) -> OnError {
        match *error {}
    }
}
