#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod metrics;
pub mod sessions;
pub mod toll;
pub mod windows;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use metrics::Operation;
pub use metrics::register_metrics;
pub use windows::{ClaimedWindow, Claims, Push};

/// How often a Redis that failed is asked whether it works again.
const PROBE_EVERY: Duration = Duration::from_millis(250);

/// How to reach Redis.
#[derive(Clone)]
pub struct Config {
    /// `redis://:password@host:port/db`, or `rediss://` for TLS.
    pub url: String,
    /// The longest a call may take; also the longest to wait for a connection.
    pub timeout: Duration,
    /// What every key begins with: what keeps installations apart that share a Redis.
    pub prefix: String,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL holds a password.
        f.debug_struct("Config")
            .field("timeout", &self.timeout)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The URL is not one of Redis. It is not shown, since it may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("not a Redis URL: expected redis://:password@host:port/db")]
pub struct ConfigError(#[source] redis::RedisError);

/// Redis cannot be used now: it is away, slow, full, read-only, or has just failed.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// This call failed.
    #[error("Redis failed to {operation}")]
    Failed {
        /// What it was asked for.
        operation: &'static str,
        /// Why.
        #[source]
        source: redis::RedisError,
    },
    /// An earlier call failed, and Redis has not answered a probe since.
    #[error("Redis is not available")]
    Unavailable,
}

/// Redis. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Kv {
    connection: ConnectionManager,
    prefix: Arc<str>,
    available: Arc<AtomicBool>,
}

impl std::fmt::Debug for Kv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let available = self.is_available();
        f.debug_struct("Kv").field("available", &available).finish_non_exhaustive()
    }
}

impl Kv {
    /// Prepares a connection, which is made on first use and remade for ever, and starts the
    /// probe. Must be called inside a runtime.
    pub fn start(
        config: &Config,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Result<Self, ConfigError> {
        let client = redis::Client::open(config.url.as_str()).map_err(ConfigError)?;
        let settings = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(config.timeout))
            .set_response_timeout(Some(config.timeout))
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_secs(1))
            .set_number_of_retries(1);
        let connection =
            ConnectionManager::new_lazy_with_config(client, settings).map_err(ConfigError)?;
        let kv = Self {
            connection,
            prefix: Arc::from(format!("{{{}}}", config.prefix)),
            available: Arc::new(AtomicBool::new(true)),
        };
        let probing = kv.clone();
        tasks.spawn(async move { shutdown.run_until_cancelled(probing.probe_for_ever()).await });
        Ok(kv)
    }

    /// Whether the last call, or a probe since, was answered.
    pub fn is_available(&self) -> bool {
        self.available.load(Ordering::Relaxed)
    }

    /// Makes a call and notes its outcome, so that a failure spares the next calls their timeouts.
    async fn noted<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<T, KvError> {
        let asked_at = Instant::now();
        let outcome = call.await;
        operation.count(asked_at.elapsed(), outcome.is_err());
        outcome.map_err(|source| {
            if means_away(&source) && self.available.swap(false, Ordering::Relaxed) {
                let error = &source as &dyn std::error::Error;
                tracing::warn!(error, "Redis is not available; going on without it");
            }
            KvError::Failed { operation: operation.in_words(), source }
        })
    }

    fn usable(&self) -> Result<ConnectionManager, KvError> {
        if self.is_available() { Ok(self.connection.clone()) } else { Err(KvError::Unavailable) }
    }

    async fn probe_for_ever(self) {
        let probe_key = format!("{}:probe", self.prefix);
        loop {
            tokio::time::sleep(PROBE_EVERY).await;
            if self.is_available() {
                continue;
            }
            // A write: a full or read-only Redis answers PING all the same.
            let mut connection = self.connection.clone();
            let probe = redis::cmd("SET").arg(&probe_key).arg(1).arg("EX").arg(10).to_owned();
            let answered: redis::RedisResult<()> = probe.query_async(&mut connection).await;
            if answered.is_ok() {
                self.available.store(true, Ordering::Relaxed);
                tracing::info!("Redis is available again");
            }
        }
    }
}

/// Whether Redis as a whole is of no use now, as opposed to one call: a key that somebody wrote
/// with another type must not switch buffering off for everybody.
fn means_away(error: &redis::RedisError) -> bool {
    const STATES: [&str; 8] =
        ["OOM", "READONLY", "MISCONF", "LOADING", "MASTERDOWN", "BUSY", "NOAUTH", "WRONGPASS"];
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
        || error.code().is_some_and(|code| STATES.contains(&code))
        // A script reports the state of the server that stopped it in its own error.
        || STATES.iter().any(|state| error.to_string().contains(state))
}
