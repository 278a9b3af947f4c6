//! Instances of delivery in the test's own process, and answers for them to deliver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use recado_clock::{Clock, SystemClock};
use recado_delivery::Config;
use recado_http::guard::{Authorities, Ports};
use recado_messages::{ExecutionRequested, Inbound};
use recado_service::Context;
use recado_service::config::{Amqp, Destinations, Postgres};
use recado_service::connect::SecretKeys;
use recado_store::agents::{self, AgentDraft};
use recado_store::executions::{self, Finish, Finished, History, Outcome};
use recado_store::tenants::{self, EnsureTenant, TenantChanges};
use recado_store::triggers::{self, Saved, TriggerDraft};
use recado_store::{Keyring, Store, secrets};
use recado_testkit::{Killable, TestDatabase, Vhost, database, sql, vhost, wait_for};
use recado_types::agent::AgentSpec;
use recado_types::{
    AgentId, DeliveryId, ExecutionId, MessageId, ProjectId, SecretId, SessionId, TenantId,
    TriggerId,
};
use serde_json::{Value, json};
use uuid::Uuid;

const KEYS: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(crate) const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const PROJECT: ProjectId = ProjectId(Uuid::from_u128(2));
pub(crate) const AGENT: AgentId = AgentId(Uuid::from_u128(3));

/// How long anything may take to come about on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A lease that a test can wait for, and that a busy machine can keep.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// A system with one tenant, in which agents have answered.
pub(crate) struct System {
    pub(crate) store: Store,
    clock: Arc<dyn Clock>,
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
    next_message: AtomicU64,
    _servers: Option<(TestDatabase, Vhost)>,
}

/// An instance of delivery.
pub(crate) struct Instance {
    role: Killable,
    database_url: String,
}

/// How an instance is set up.
pub(crate) struct Setup {
    pub(crate) slots: usize,
    pub(crate) lease: Duration,
    pub(crate) may_reach_loopback: bool,
    /// Who vouches for servers, besides those of the system, in PEM.
    pub(crate) authority: Option<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { slots: 16, lease: LEASE, may_reach_loopback: true, authority: None }
    }
}

impl System {
    pub(crate) async fn new() -> Self {
        let (database, vhost) = (database().await, vhost().await);
        let system = Self::on(database.url(), vhost.url()).await;
        Self { _servers: Some((database, vhost)), ..system }
    }

    /// On servers of the test's own.
    pub(crate) async fn on(database_url: &str, amqp_url: &str) -> Self {
        let settings = recado_store::Config::new(database_url, 4, "test");
        let store = Store::new(&settings, Keyring::parse(KEYS).unwrap()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let tenant = EnsureTenant { id: TENANT, project_id: PROJECT, name: "test" };
        tenants::ensure(&store, &tenant, clock.now()).await.unwrap();
        let spec = json!({"model": "builtin.echo", "system_prompt": ""});
        let spec = AgentSpec::from_saved(&spec).unwrap();
        let agent = AgentDraft::new(PROJECT, "echo", spec);
        agents::ensure(&store, TENANT, AGENT, &agent, clock.now()).await.unwrap();
        Self {
            store,
            clock,
            database_url: database_url.to_owned(),
            amqp_url: amqp_url.to_owned(),
            next_message: AtomicU64::new(1),
            _servers: None,
        }
    }

    /// A trigger whose answers go out by `callback`, split by `split` unless that is null.
    pub(crate) async fn trigger(&self, callback: &Value, split: &Value) -> TriggerId {
        let config = json!({
            "auth": {"type": "none"},
            "context_mapping": {"phoneNumber": "$.From"},
            "execution": {"mode": "async", "callback": callback, "split_config": split},
        });
        self.trigger_of(&config).await
    }

    /// A trigger with this configuration.
    pub(crate) async fn trigger_of(&self, config: &Value) -> TriggerId {
        let id = TriggerId(self.clock.fresh_id());
        let draft = TriggerDraft::new(AGENT, "test", config.clone());
        let saved =
            triggers::create(&self.store, TENANT, id, &draft, "whs_x", self.clock.now()).await;
        assert!(matches!(saved, Ok(Saved::Saved(_))), "{saved:?}");
        id
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) async fn add_secret(&self, name: &str, value: &str) {
        let (id, now) = (SecretId(self.clock.fresh_id()), self.clock.now());
        secrets::create(&self.store, TENANT, id, name, value, now).await.unwrap().unwrap();
    }

    /// Has an agent answer `response` in session `session`: from here on it is to be delivered.
    pub(crate) async fn answer(
        &self,
        trigger: TriggerId,
        session: u128,
        response: &str,
    ) -> DeliveryId {
        let context = json!({"phoneNumber": "whatsapp:+5511999990000"});
        self.answer_in(trigger, session, response, &context).await
    }

    /// The same, where the message that is answered has this context.
    pub(crate) async fn answer_in(
        &self,
        trigger: TriggerId,
        session: u128,
        response: &str,
        context: &Value,
    ) -> DeliveryId {
        let n = self.next_message.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        let message = Inbound {
            id: MessageId(Uuid::from_u128(n.into())),
            tenant_id: TENANT,
            trigger_id: trigger,
            session_id: SessionId(Uuid::from_u128(session)),
            accepted_at: now,
            text: format!("question {n}"),
            context: context.as_object().unwrap().clone(),
            fingerprint: None,
            payload: None,
        };
        let execution = ExecutionId::of_first(message.id);
        let request = ExecutionRequested {
            messages: vec![message],
            separator: String::new(),
            reply_to: None,
        };
        executions::admit(&self.store, &[&request], now).await.unwrap();
        let history = History { turns: 0, bytes: 0 };
        let claimed = executions::claim(&self.store, 1, LEASE, 1_000, history).await;
        let claimed = claimed.unwrap().remove(0);
        assert_eq!(claimed.execution_id, execution);
        let outcome = Outcome::Success { response: response.into(), deliver: true };
        let finish = Finish::new(outcome, &claimed.input, now);
        let finished = executions::finish(&self.store, &claimed, &finish).await.unwrap();
        assert!(matches!(finished, Finished::Done { .. }));
        DeliveryId::of(execution)
    }

    /// Lets the tenant's requests go to these hosts only.
    pub(crate) async fn let_requests_go_to(&self, hosts: &[&str]) {
        let hosts = hosts.iter().map(ToString::to_string).collect();
        let changes = TenantChanges { destination_hosts: Some(hosts), ..TenantChanges::default() };
        tenants::update(&self.store, TENANT, None, &changes, self.now()).await.unwrap().unwrap();
    }

    pub(crate) fn start(&self) -> Instance {
        self.start_with(&Setup::default())
    }

    pub(crate) fn start_with(&self, setup: &Setup) -> Instance {
        let timeout = Duration::from_secs(2);
        let authorities = setup.authority.map(|pem| Authorities::from_pem(pem.as_bytes()).unwrap());
        let authorities = authorities.unwrap_or_default();
        let loopback = setup.may_reach_loopback.then(|| "127.0.0.0/8".parse().unwrap());
        let config = Config {
            postgres: Postgres { url: self.database_url.parse().unwrap(), pool_size: 4, timeout },
            amqp: Amqp { url: self.amqp_url.parse().unwrap(), timeout },
            keys: SecretKeys(Keyring::parse(KEYS).unwrap()),
            destinations: Destinations {
                allow_private: loopback.into_iter().collect(),
                allow_plain_http: true,
                ports: Ports::default(),
                authorities,
            },
            slots: setup.slots,
            event_slots: 64,
            lease: setup.lease,
        };
        let context = Context::with_clock(Arc::clone(&self.clock));
        let (tasks, shutdown) = (context.tasks.clone(), context.shutdown.clone());
        let role = async move { recado_delivery::run(context, config).await.unwrap() };
        let role = Killable::start(role, tasks, shutdown).unwrap();
        Instance { role, database_url: self.database_url.clone() }
    }

    /// Waits until a delivery has `status`.
    pub(crate) async fn wait_until(&self, status: &str, delivery: DeliveryId) {
        let query = format!(
            "SELECT count(*) FROM deliveries WHERE id = '{delivery}' AND status = '{status}'"
        );
        let reached = async || (self.count(&query).await == 1).then_some(());
        wait_for(&format!("a {status} delivery"), SOON, reached).await.unwrap();
    }

    /// The statuses of a delivery's chunks, in order: `sent failed skipped`.
    pub(crate) async fn chunks(&self, delivery: DeliveryId) -> String {
        let query = format!(
            "SELECT coalesce(string_agg(status, ' ' ORDER BY chunk_index), '') FROM chunks \
              WHERE delivery_id = '{delivery}'"
        );
        self.text(&query).await
    }

    /// Why a delivery failed.
    pub(crate) async fn error_code(&self, delivery: DeliveryId) -> String {
        let query = "SELECT coalesce(error_code, '') FROM deliveries WHERE id";
        self.text(&format!("{query} = '{delivery}'")).await
    }

    pub(crate) async fn execute(&self, statements: &str) {
        sql::execute(&self.database_url, statements).await.unwrap();
    }

    pub(crate) async fn count(&self, query: &str) -> i64 {
        sql::count(&self.database_url, query).await.unwrap()
    }

    pub(crate) async fn text(&self, query: &str) -> String {
        let row =
            sql::connected(&self.database_url, async |client| client.query_one(query, &[]).await);
        row.await.unwrap().get(0)
    }
}

impl Instance {
    /// Ends it without a word, in the middle of whatever it does, as SIGKILL would. It was the only
    /// one: the database has done what it still asked for when this returns.
    pub(crate) async fn kill(self) {
        self.role.kill();
        let connected = "SELECT count(*) FROM pg_stat_activity \
                         WHERE datname = current_database() AND application_name = 'recado-delivery'";
        let gone =
            async || (sql::count(&self.database_url, connected).await.ok()? == 0).then_some(());
        wait_for("the killed instance's connections to end", SOON, gone).await.unwrap();
    }

    /// Ends it in good order, as SIGTERM would.
    pub(crate) async fn stop(self) {
        self.role.stop().await;
    }
}

/// Waits until `level` is at least `n`.
pub(crate) async fn wait_for_count(what: &str, n: usize, level: impl Fn() -> usize) {
    wait_for(what, SOON, async || (level() >= n).then_some(())).await.unwrap();
}
