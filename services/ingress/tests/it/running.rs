//! An ingress that runs in the test's own process, and what is on the queues behind it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use recado_broker::{Handler, OnError, Publisher, Received, consume, topology};
use recado_clock::{Clock, SystemClock};
use recado_http::auth::ApiKey;
use recado_ingress::{Config, Limits, PublicUrl};
use recado_messages::{ExecutionRequested, Message, MessageReceived};
use recado_service::Context;
use recado_service::config::{Amqp, Postgres, Redis};
use recado_store::tenants::EnsureTenant;
use recado_store::triggers::{Saved, TriggerDraft};
use recado_store::{Keyring, Store, agents, api_keys, secrets, tenants, triggers};
use recado_testkit::servers::PortLease;
use recado_testkit::{TestDatabase, TestRedis, Vhost, database, redis, vhost, wait_for};
use recado_types::{AgentId, ApiKeyId, SecretId, TenantId, TriggerId};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::requests::Sender;

/// What Twilio was told to call: like behind a gateway, not what is connected to.
pub(crate) const PUBLIC_URL: &str = "https://hooks.recado.test";

/// The secret of every trigger in these tests.
pub(crate) const WEBHOOK_SECRET: &str = "whs_secret_of_the_tests";

const KEYS: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How long anything may take to come about on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A running ingress with one tenant and one agent.
pub(crate) struct Running {
    pub(crate) store: Store,
    pub(crate) tenant: TenantId,
    pub(crate) agent: AgentId,
    pub(crate) url: String,
    servers: ServerUrls,
    context: Context,
    ingress: JoinHandle<anyhow::Result<()>>,
    _port: PortLease,
    _shared: Option<(TestDatabase, Vhost, TestRedis)>,
}

/// Where the servers behind an ingress are.
#[derive(Clone, Debug)]
pub(crate) struct ServerUrls {
    pub(crate) database: String,
    pub(crate) amqp: String,
    pub(crate) redis: String,
}

impl Running {
    /// On the servers that all tests share.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same, with other limits.
    pub(crate) async fn start_with(tune: impl FnOnce(&mut Limits)) -> Self {
        let (database, vhost, redis) = tokio::join!(database(), vhost(), redis());
        let servers = ServerUrls {
            database: database.url().to_owned(),
            amqp: vhost.url().to_owned(),
            redis: redis.url(),
        };
        let running = Self::start_on(servers, tune).await;
        running.ready().await;
        Self { _shared: Some((database, vhost, redis)), ..running }
    }

    /// On servers of the test's own, without waiting for them.
    pub(crate) async fn start_on(servers: ServerUrls, tune: impl FnOnce(&mut Limits)) -> Self {
        let keys = Keyring::parse(KEYS).unwrap();
        let settings = recado_store::Config::new(&servers.database, 4, "test");
        let store = Store::new(&settings, keys.clone()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let context = Context::with_clock(Arc::clone(&clock));
        let (tenant, agent) = add_tenant(&store, &*clock).await;

        let port = PortLease::acquire().unwrap();
        let mut config = config(&servers, port.port(), keys);
        tune(&mut config.limits);
        let ingress = Box::pin(recado_ingress::run(context.clone(), config));
        let ingress = context.tasks.spawn(ingress);
        Self {
            store,
            tenant,
            agent,
            url: format!("http://127.0.0.1:{}", port.port()),
            servers,
            context,
            ingress,
            _port: port,
            _shared: None,
        }
    }

    /// Waits until webhooks can be taken on.
    pub(crate) async fn ready(&self) {
        let ready = async || self.context.health.is_ready().then_some(());
        let report = || self.context.health.report();
        wait_for("a ready ingress", SOON, ready)
            .await
            .unwrap_or_else(|e| panic!("{e} {:?}", report()));
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.context.health.is_ready()
    }

    /// A new trigger with `trigger_config`.
    pub(crate) async fn trigger(&self, trigger_config: Value) -> TriggerId {
        self.trigger_of(self.tenant, self.agent, trigger_config).await
    }

    pub(crate) async fn trigger_of(
        &self,
        tenant: TenantId,
        agent: AgentId,
        trigger_config: Value,
    ) -> TriggerId {
        let id = TriggerId(self.context.clock.fresh_id());
        let draft = Self::draft(agent, trigger_config);
        let now = self.context.clock.now();
        let saved = triggers::create(&self.store, tenant, id, &draft, WEBHOOK_SECRET, now).await;
        assert!(matches!(saved, Ok(Saved::Saved(_))), "{saved:?}");
        id
    }

    /// Another configuration for a trigger.
    pub(crate) async fn reconfigure(&self, id: TriggerId, trigger_config: Value) {
        let found = triggers::find(&self.store, self.tenant, id).await.unwrap().unwrap();
        let draft = Self::draft(self.agent, trigger_config);
        let now = self.context.clock.now();
        let saved =
            triggers::replace(&self.store, self.tenant, id, found.version, &draft, now).await;
        assert!(matches!(saved, Ok(Saved::Saved(_))), "{saved:?}");
    }

    fn draft(agent_id: AgentId, trigger_config: Value) -> TriggerDraft {
        TriggerDraft {
            agent_id,
            app_id: None,
            name: "test".into(),
            trigger_config,
            secret_refs: Vec::new(),
            enabled: true,
        }
    }

    pub(crate) async fn set_enabled(&self, id: TriggerId, enabled: bool) {
        let now = self.context.clock.now();
        triggers::set_enabled(&self.store, self.tenant, id, enabled, now).await.unwrap().unwrap();
    }

    pub(crate) async fn delete(&self, id: TriggerId) {
        let now = self.context.clock.now();
        assert!(triggers::delete(&self.store, self.tenant, id, now).await.unwrap());
    }

    pub(crate) async fn add_secret(&self, name: &str, value: &str) {
        let id = SecretId(self.context.clock.fresh_id());
        let now = self.context.clock.now();
        secrets::create(&self.store, self.tenant, id, name, value, now).await.unwrap().unwrap();
    }

    pub(crate) async fn replace_secret(&self, name: &str, value: &str) {
        let now = self.context.clock.now();
        secrets::replace(&self.store, self.tenant, name, value, now).await.unwrap().unwrap();
    }

    /// A new API key of `tenant`.
    pub(crate) async fn api_key(&self, tenant: TenantId) -> (ApiKeyId, ApiKey) {
        let clock = &self.context.clock;
        let id = ApiKeyId(clock.fresh_id());
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(clock.fresh_id().as_bytes());
        let key = ApiKey::from_random(&bytes);
        let new =
            api_keys::NewApiKey { id, name: "test", prefix: key.shown_prefix(), hash: key.hash() };
        api_keys::create(&self.store, tenant, &new, clock.now()).await.unwrap().unwrap();
        (id, key)
    }

    pub(crate) async fn revoke(&self, key: ApiKeyId) {
        let now = self.context.clock.now();
        api_keys::revoke(&self.store, self.tenant, key, now).await.unwrap().unwrap();
    }

    /// One more tenant with an agent.
    pub(crate) async fn another_tenant(&self) -> (TenantId, AgentId) {
        add_tenant(&self.store, &*self.context.clock).await
    }

    /// Who posts to `trigger`.
    pub(crate) fn sender(&self, trigger: TriggerId) -> Sender {
        Sender::new(&self.url, trigger)
    }

    /// What is published for the buffer, from now on and before.
    pub(crate) fn received(&self) -> Queue<MessageReceived> {
        self.consume(&topology::INBOUND)
    }

    /// What is published for the agent runner, from now on and before.
    pub(crate) fn requested(&self) -> Queue<ExecutionRequested> {
        self.consume(&topology::EXECUTIONS)
    }

    fn consume<M: Message>(&self, queue: &'static topology::Queue) -> Queue<M> {
        let config = || recado_broker::Config::new(&self.servers.amqp, "test");
        let (tasks, shutdown) = (&self.context.tasks, || self.context.shutdown.clone());
        let publisher = Publisher::start(config(), tasks, shutdown());
        let collected = Queue(Arc::new(Mutex::new(Vec::new())));
        let handler = Arc::new(collected.clone());
        consume(config(), queue, publisher, handler, tasks, shutdown());
        collected
    }

    /// Begins the shutdown, as SIGTERM does.
    pub(crate) fn shut_down(&self) {
        self.context.shutdown.cancel();
    }

    /// Ends it, and everything that belongs to it, in good order.
    pub(crate) async fn stop(self) {
        self.shut_down();
        let ended = tokio::time::timeout(SOON, self.ingress).await;
        ended.expect("it ends in time").expect("it does not panic").expect("nothing failed");
        self.context.tasks.close();
        let tasks = tokio::time::timeout(SOON, self.context.tasks.wait()).await;
        tasks.expect("its tasks end in time");
    }
}

fn config(servers: &ServerUrls, port: u16, keys: Keyring) -> Config {
    let timeout = Duration::from_secs(2);
    Config {
        listen: ([127, 0, 0, 1], port).into(),
        public_url: Some(PUBLIC_URL.parse::<PublicUrl>().unwrap()),
        amqp: Amqp { url: servers.amqp.parse().unwrap(), timeout },
        postgres: Postgres { url: servers.database.parse().unwrap(), pool_size: 4, timeout },
        redis: Redis {
            url: servers.redis.parse().unwrap(),
            timeout: Duration::from_millis(250),
            prefix: "test".into(),
        },
        keys: recado_service::connect::SecretKeys(keys),
        limits: Limits::default(),
        cached_triggers: 1_000,
    }
}

async fn add_tenant(store: &Store, clock: &dyn Clock) -> (TenantId, AgentId) {
    let (id, project_id) = (clock.fresh_id().into(), clock.fresh_id().into());
    let tenant = EnsureTenant { id, project_id, name: "test" };
    tenants::ensure(store, &tenant, clock.now()).await.unwrap();
    let agent = AgentId(clock.fresh_id());
    let draft = agents::AgentDraft {
        project_id,
        name: "echo".into(),
        model: "builtin.echo".parse().unwrap(),
        system_prompt: String::new(),
    };
    agents::ensure(store, id, agent, &draft, clock.now()).await.unwrap();
    (id, agent)
}

/// What was on a queue so far, in its order.
pub(crate) struct Queue<M>(Arc<Mutex<Vec<M>>>);

impl<M> Clone for Queue<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M: Clone> Queue<M> {
    /// Waits for `n` messages.
    pub(crate) async fn wait_for(&self, n: usize) -> Vec<M> {
        let level = async || Some(self.all()).filter(|all| n <= all.len());
        wait_for("messages on the queue", SOON, level).await.unwrap()
    }

    /// Forgets what was there so far.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub(crate) fn all(&self) -> Vec<M> {
        self.0.lock().unwrap().clone()
    }
}

impl<M: Message> Handler for Queue<M> {
    type Message = M;
    type Error = Infallible;

    async fn handle(&self, batch: Vec<Received<M>>) -> Result<(), Infallible> {
        self.0.lock().unwrap().extend(batch.into_iter().map(|received| received.message));
        Ok(())
    }

    fn on_error(&self, error: &Infallible) -> OnError {
        match *error {}
    }
}
