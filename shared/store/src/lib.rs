#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod agents;
pub mod api_keys;
pub mod apps;
pub mod audit;
pub mod control;
pub mod deliveries;
pub mod destinations;
mod error;
pub mod event_deliveries;
pub mod event_endpoints;
pub mod executions;
pub mod idempotency;
pub mod lanes;
pub mod listen;
pub mod manual_messages;
pub mod members;
pub mod messages;
mod metrics;
mod migrate;
pub mod projects;
pub mod providers;
pub mod redeliver;
pub mod references;
pub mod retention;
pub mod seal;
pub mod secrets;
pub mod sessions;
pub mod sources;
pub mod tenants;
pub mod tools;
pub mod triggers;
pub mod usage;
pub mod views;
pub mod webhooks;

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use recado_types::TenantId;
use tokio_postgres_rustls::MakeRustlsConnect;

pub use error::{Failure, StoreError};
pub use metrics::register_metrics;
pub use migrate::{MigrateError, SCHEMA_VERSION, migrate};
pub use seal::Keyring;
use seal::Sealed;

/// Whom a connection acts as: a role of the database that owns nothing, made by the migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Moves messages, whosever they are.
    Worker,
    /// Answers people: sees one tenant at a time, by row-level security too. A store of this role
    /// sees nothing until it is asked [for a tenant](Store::for_tenant).
    Management,
}

impl Role {
    /// As the database calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worker => "recado_worker",
            Self::Management => "recado_management",
        }
    }
}

/// What a store of the role `Management` sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Nothing,
    Tenant(TenantId),
    Operator,
}

/// How to reach the database.
#[derive(Clone)]
pub struct Config {
    /// `postgres://user:password@host/database`. TLS is used where the server offers it, and
    /// required with `?sslmode=require`.
    pub url: String,
    /// The most connections of this pool.
    pub pool_size: usize,
    /// What `pg_stat_activity` calls us.
    pub application_name: String,
    /// What we may see.
    pub role: Role,
    /// The longest a statement may run.
    pub statement_timeout: Duration,
    /// The longest to wait for a free connection, or for a new one.
    pub connection_timeout: Duration,
}

impl Config {
    /// A worker with the usual timeouts: 10 s for a statement, 3 s for a connection.
    pub fn new(url: &str, pool_size: usize, application_name: &str) -> Self {
        Self {
            url: url.to_owned(),
            pool_size,
            application_name: application_name.to_owned(),
            role: Role::Worker,
            statement_timeout: Duration::from_secs(10),
            connection_timeout: Duration::from_secs(3),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL holds a password.
        f.debug_struct("Config")
            .field("pool_size", &self.pool_size)
            .field("application_name", &self.application_name)
            .finish_non_exhaustive()
    }
}

/// Why a [`Config`] is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The URL does not parse. It is not shown, since it may hold a password.
    #[error("not a PostgreSQL URL: expected postgres://user:password@host:port/database")]
    Url(#[source] tokio_postgres::Error),
    /// The pool could not be made.
    #[error("the connection pool cannot be made")]
    Pool(#[source] deadpool_postgres::BuildError),
}

/// The database. Cheap to clone; all clones share one pool.
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    keys: Keyring,
    url: tokio_postgres::Config,
    role: Role,
    scope: Scope,
}

const SCOPE: &str = "\
-- lib.narrow
SELECT set_config('recado.tenant_id', $1, false), set_config('recado.operator', $2, false)";

impl Store {
    /// Prepares a pool. Nothing is connected yet: a service starts, and says that it is not ready,
    /// while its database is away.
    pub fn new(config: &Config, keys: Keyring) -> Result<Self, ConfigError> {
        let url = connection_config(config)?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(url.clone(), tls(), recycling);
        let settings = session_settings(config.role, config.statement_timeout);
        let pool = Pool::builder(manager)
            .max_size(config.pool_size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(config.connection_timeout))
            .create_timeout(Some(config.connection_timeout))
            .recycle_timeout(Some(config.connection_timeout))
            .post_create(Hook::async_fn(move |client, _| {
                let settings = settings.clone();
                Box::pin(async move {
                    client.batch_execute(&settings).await.map_err(HookError::Backend)
                })
            }))
            .build()
            .map_err(ConfigError::Pool)?;
        metrics::watch(&pool);
        Ok(Self { pool, keys, url, role: config.role, scope: Scope::Nothing })
    }

    /// The same database as `tenant` sees it. A worker sees no less than before.
    #[must_use]
    pub fn for_tenant(&self, tenant: TenantId) -> Self {
        Self { scope: Scope::Tenant(tenant), ..self.clone() }
    }

    /// The same database as an operator sees it: which tenants there are, and nothing of theirs.
    #[must_use]
    pub fn for_operator(&self) -> Self {
        Self { scope: Scope::Operator, ..self.clone() }
    }

    /// A connection for `operation`, which is named in the error if there is none.
    pub async fn client(&self, operation: &'static str) -> Result<Object, StoreError> {
        let client = self.unscoped_client(operation).await?;
        if self.role == Role::Management {
            self.narrow(&client).await.map_err(StoreError::query(operation))?;
        }
        Ok(client)
    }

    /// A connection that may still have the scope of another tenant: it must be given ours before
    /// anything is asked.
    async fn unscoped_client(&self, operation: &'static str) -> Result<Object, StoreError> {
        let asked = metrics::ACQUIRE_SECONDS.start_timer();
        let client = self.pool.get().await;
        asked.observe_duration();
        client.map_err(|source| StoreError::Connection { operation, source })
    }

    /// Statements that let a transaction see our scope, and nothing after it.
    fn scope_of_transaction(&self) -> String {
        if self.role == Role::Worker {
            return String::new();
        }
        let (tenant, operator) = self.scope_settings();
        format!("SET LOCAL recado.tenant_id = '{tenant}'; SET LOCAL recado.operator = '{operator}'")
    }

    /// A tenant's id, or nothing, and `on` or `off`.
    fn scope_settings(&self) -> (String, &'static str) {
        match self.scope {
            Scope::Nothing => (String::new(), "off"),
            Scope::Tenant(tenant) => (tenant.0.to_string(), "off"),
            Scope::Operator => (String::new(), "on"),
        }
    }

    /// Lets a connection, which may have served another tenant before, see our scope.
    async fn narrow(&self, client: &Object) -> Result<(), tokio_postgres::Error> {
        let (tenant, operator) = self.scope_settings();
        let statement = client.prepare_cached(SCOPE).await?;
        client.query_one(&statement, &[&tenant, &operator]).await.map(drop)
    }

    /// Whether the database answers and has the tables this program knows.
    pub async fn check(&self) -> Result<bool, StoreError> {
        migrate::is_current(self).await
    }

    /// Seals `value` for `owner`, for `operation`, which is named in the error.
    pub(crate) fn seal(
        &self,
        operation: &'static str,
        value: &str,
        owner: &str,
    ) -> Result<Sealed, StoreError> {
        self.keys.seal(value, owner).map_err(|source| StoreError::Seal { operation, source })
    }

    /// Opens what was sealed for `owner`.
    pub(crate) fn open(
        &self,
        operation: &'static str,
        sealed: &Sealed,
        owner: &str,
    ) -> Result<String, StoreError> {
        self.keys.open(sealed, owner).map_err(|source| StoreError::Seal { operation, source })
    }
}

fn connection_config(config: &Config) -> Result<tokio_postgres::Config, ConfigError> {
    let mut url: tokio_postgres::Config = config.url.parse().map_err(ConfigError::Url)?;
    url.application_name(&config.application_name)
        .connect_timeout(config.connection_timeout)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .tcp_user_timeout(Duration::from_secs(15));
    Ok(url)
}

/// What holds for every statement. PostgreSQL waits for ever by default, for statements, for locks
/// and for idle transactions. Ours touch few rows, whatever the planner expects of a recursion:
/// compiling them takes longer than running them.
///
/// Workers look rows up by their keys. Plans are kept for as long as the tables' statistics, and
/// those of an installation that is minutes old say that reading a whole table is cheap; with that
/// plan, each claim would read a table that grows by a thousand rows a second.
fn session_settings(role: Role, statement: Duration) -> String {
    let (name, ms) = (role.name(), statement.as_millis());
    let plans = match role {
        Role::Worker => "SET enable_seqscan = off",
        Role::Management => "",
    };
    format!(
        "SET ROLE {name}; SET statement_timeout = {ms}; SET lock_timeout = {ms}; \
         SET idle_in_transaction_session_timeout = {ms}; SET jit = off; {plans}"
    )
}

fn tls() -> MakeRustlsConnect {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    MakeRustlsConnect::new(client)
}
