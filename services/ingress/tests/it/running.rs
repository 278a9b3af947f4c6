//! A tenant with an agent, an ingress for its webhooks, and what is on the queues behind it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_broker::{Publisher, consume, topology};
use recado_clock::{Clock, SystemClock};
use recado_http::auth::ApiKey;
use recado_ingress::Limits;
use recado_messages::{ExecutionRequested, Message, MessageReceived};
use recado_store::tenants::EnsureTenant;
use recado_store::triggers::{Saved, TriggerDraft};
use recado_store::{Keyring, Store, agents, api_keys, secrets, tenants, triggers};
use recado_testkit::{TestDatabase, TestRedis, Vhost, database, redis, vhost};
use recado_types::agent::AgentSpec;
use recado_types::scope::Scopes;
use recado_types::{AgentId, ApiKeyId, AppId, ChosenId, ProjectId, SecretId, TenantId, TriggerId};
use serde_json::{Value, json};

pub(crate) use crate::instance::{Instance, ServerUrls};
use crate::queue::Queue;
use crate::requests::Sender;

/// What Twilio was told to call: like behind a gateway, not what is connected to.
pub(crate) const PUBLIC_URL: &str = "https://hooks.recado.test";

/// The secret of every trigger in these tests.
pub(crate) const WEBHOOK_SECRET: &str = "whs_secret_of_the_tests";

pub(crate) const KEYS: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How long anything may take to come about on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A running ingress with one tenant and one agent.
pub(crate) struct Running {
    pub(crate) store: Store,
    pub(crate) tenant: TenantId,
    pub(crate) project: ProjectId,
    pub(crate) agent: AgentId,
    pub(crate) url: String,
    clock: Arc<dyn Clock>,
    servers: ServerUrls,
    limits: Limits,
    instance: Instance,
    shared: Option<(TestDatabase, Vhost, TestRedis)>,
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
        Self { shared: Some((database, vhost, redis)), ..running }
    }

    /// On servers of the test's own, without waiting for them.
    pub(crate) async fn start_on(servers: ServerUrls, tune: impl FnOnce(&mut Limits)) -> Self {
        let settings = recado_store::Config::new(&servers.database, 4, "test");
        let store = Store::new(&settings, Keyring::parse(KEYS).unwrap()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let (tenant, project, agent) = add_tenant(&store, &*clock).await;
        let mut limits = Limits::default();
        tune(&mut limits);
        let instance = Instance::start(&servers, limits, Arc::clone(&clock));
        let url = instance.url.clone();
        let shared = None;
        Self { store, tenant, project, agent, url, clock, servers, limits, instance, shared }
    }

    /// One more ingress on the same servers, under the same limits.
    pub(crate) async fn another_instance(&self) -> Instance {
        let instance = Instance::start(&self.servers, self.limits, Arc::clone(&self.clock));
        instance.ready().await;
        instance
    }

    /// Waits until webhooks can be taken on.
    pub(crate) async fn ready(&self) {
        self.instance.ready().await;
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.instance.is_ready()
    }

    /// The Redis of this test, which nobody shares.
    pub(crate) fn redis(&mut self) -> &mut TestRedis {
        let (_, _, redis) = self.shared.as_mut().expect("a test with servers of its own has it");
        redis
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn fresh_id<I: From<uuid::Uuid>>(&self) -> I {
        self.clock.fresh_id().into()
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
        self.placed_trigger(tenant, agent, None, trigger_config).await
    }

    /// A new channel of an app.
    pub(crate) async fn channel_of(&self, app: AppId, trigger_config: Value) -> TriggerId {
        self.placed_trigger(self.tenant, self.agent, Some(app), trigger_config).await
    }

    async fn placed_trigger(
        &self,
        tenant: TenantId,
        agent: AgentId,
        app_id: Option<AppId>,
        trigger_config: Value,
    ) -> TriggerId {
        let id = self.fresh_id();
        let draft = TriggerDraft { app_id, ..Self::draft(agent, trigger_config) };
        let now = self.now();
        let saved = triggers::create(&self.store, tenant, id, &draft, WEBHOOK_SECRET, now).await;
        assert!(matches!(saved, Ok(Saved::Saved(_))), "{saved:?}");
        id
    }

    /// A new trigger of the agent that its maker calls `external_id`.
    pub(crate) async fn chosen_trigger(&self, external_id: &str, config: Value) -> TriggerId {
        let chosen: ChosenId = external_id.parse().unwrap();
        let id = TriggerId::chosen(self.agent, &chosen);
        let draft = TriggerDraft { external_id: Some(chosen), ..Self::draft(self.agent, config) };
        let (tenant, now) = (self.tenant, self.now());
        let saved = triggers::create(&self.store, tenant, id, &draft, WEBHOOK_SECRET, now).await;
        assert!(matches!(saved, Ok(Saved::Saved(_))), "{saved:?}");
        id
    }

    /// Calls the agent and its project so.
    pub(crate) async fn name_agent(&self, agent: &str, project: &str) {
        let statements = format!(
            "UPDATE agents SET external_id = '{agent}' WHERE id = '{}';
             UPDATE projects SET external_id = '{project}' WHERE id = '{}';",
            self.agent, self.project
        );
        recado_testkit::sql::execute(&self.servers.database, &statements).await.unwrap();
    }

    /// Another configuration for a trigger.
    pub(crate) async fn reconfigure(&self, id: TriggerId, trigger_config: Value) {
        let found = triggers::find(&self.store, self.tenant, id).await.unwrap().unwrap();
        let draft = Self::draft(self.agent, trigger_config);
        let now = self.now();
        let saved =
            triggers::replace(&self.store, self.tenant, id, found.version, &draft, now).await;
        assert!(matches!(saved, Ok(Saved::Saved(_))), "{saved:?}");
    }

    fn draft(agent_id: AgentId, trigger_config: Value) -> TriggerDraft {
        TriggerDraft::new(agent_id, "test", trigger_config)
    }

    pub(crate) async fn set_enabled(&self, id: TriggerId, enabled: bool) {
        let now = self.now();
        triggers::set_enabled(&self.store, self.tenant, id, None, enabled, now)
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) async fn delete(&self, id: TriggerId) {
        let now = self.now();
        assert!(triggers::delete(&self.store, self.tenant, id, None, now).await.unwrap());
    }

    pub(crate) async fn add_secret(&self, name: &str, value: &str) {
        let id: SecretId = self.fresh_id();
        let now = self.now();
        secrets::create(&self.store, self.tenant, id, name, value, now).await.unwrap().unwrap();
    }

    pub(crate) async fn replace_secret(&self, name: &str, value: &str) {
        let now = self.now();
        secrets::replace(&self.store, self.tenant, name, value, None, now).await.unwrap().unwrap();
    }

    /// A new API key of `tenant`.
    pub(crate) async fn api_key(&self, tenant: TenantId) -> (ApiKeyId, ApiKey) {
        self.api_key_for(tenant, Scopes::default(), None).await
    }

    /// A new API key of `tenant`, for less than everything.
    pub(crate) async fn api_key_for(
        &self,
        tenant: TenantId,
        scopes: Scopes,
        expires_at: Option<DateTime<Utc>>,
    ) -> (ApiKeyId, ApiKey) {
        let id: ApiKeyId = self.fresh_id();
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(self.clock.fresh_id().as_bytes());
        let key = ApiKey::from_random(&bytes);
        let new = api_keys::NewApiKey {
            id,
            name: "test",
            prefix: key.shown_prefix(),
            hash: key.hash(),
            scopes: Some(scopes),
            expires_at,
        };
        api_keys::create(&self.store, tenant, &new, self.now()).await.unwrap().unwrap();
        (id, key)
    }

    /// When a key of ours was last used.
    pub(crate) async fn last_use(&self, key: ApiKeyId) -> Option<DateTime<Utc>> {
        let keys = api_keys::list(&self.store, self.tenant, None, 100).await.unwrap();
        keys.into_iter().find(|info| info.id == key).unwrap().last_used_at
    }

    pub(crate) async fn revoke(&self, key: ApiKeyId) {
        let now = self.now();
        api_keys::revoke(&self.store, self.tenant, key, now).await.unwrap().unwrap();
    }

    /// One more tenant with an agent.
    pub(crate) async fn another_tenant(&self) -> (TenantId, AgentId) {
        let (tenant, _, agent) = add_tenant(&self.store, &*self.clock).await;
        (tenant, agent)
    }

    /// Who posts to `trigger`.
    pub(crate) fn sender(&self, trigger: TriggerId) -> Sender {
        self.instance.sender(trigger)
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
        let context = &self.instance.context;
        let collected = Queue::default();
        let handler = Arc::new(collected.clone());
        let (publisher, shutdown) = (self.publisher(), context.shutdown.clone());
        consume(self.broker(), queue, publisher, handler, &context.tasks, shutdown);
        collected
    }

    /// Somebody else on the broker.
    pub(crate) fn publisher(&self) -> Publisher {
        let context = &self.instance.context;
        Publisher::start(self.broker(), &context.tasks, context.shutdown.clone())
    }

    fn broker(&self) -> recado_broker::Config {
        recado_broker::Config::new(&self.servers.amqp, "test")
    }

    /// Begins the shutdown, as SIGTERM does.
    pub(crate) fn shut_down(&self) {
        self.instance.shut_down();
    }

    /// Ends it, and everything that belongs to it, in good order.
    pub(crate) async fn stop(self) {
        self.instance.stop().await;
    }
}

async fn add_tenant(store: &Store, clock: &dyn Clock) -> (TenantId, ProjectId, AgentId) {
    let (id, project_id) = (clock.fresh_id().into(), clock.fresh_id().into());
    let tenant = EnsureTenant { id, project_id, name: "test" };
    tenants::ensure(store, &tenant, clock.now()).await.unwrap();
    let agent = AgentId(clock.fresh_id());
    let spec = json!({"model": "builtin.echo", "system_prompt": ""});
    let spec = AgentSpec::from_saved(&spec).unwrap();
    let draft = agents::AgentDraft::new(project_id, "echo", spec);
    agents::ensure(store, id, agent, &draft, clock.now()).await.unwrap();
    (id, project_id, agent)
}
