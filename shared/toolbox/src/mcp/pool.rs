//! The connections of this process, shared by all executions that go to the same place.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use recado_http::guard::GuardedClient;
use recado_types::ToolId;
use tokio::time::{Instant, sleep, timeout};

use super::TRY_AGAIN_AFTER;
use super::connection::{Connection, Limits};
use super::destination::Destination;
use super::error::McpError;
use super::usage::{IDLE, InUse};

/// How many connections there are; who has not been used for the longest makes room.
const MOST: u64 = 256;

/// The longest that connecting may take, for everybody who waits for the same connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a server that could not be reached is left alone, so that each execution does not wait
/// for it anew.
const LEFT_ALONE: Duration = Duration::from_secs(5);

/// How often a connection that closes in the very moment is asked for again.
const TRIES: usize = 3;

/// What a connection is good for. It is not shared if any of this differs: credentials and
/// everything else that went into the address, the headers or the environment included.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) tool: ToolId,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) destination: Destination,
}

/// A connection that stays open for as long as this lives.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) connection: Arc<Connection>,
    _in_use: InUse,
}

pub(super) struct Pool {
    client: GuardedClient,
    slots: Cache<Key, Slot>,
}

#[derive(Clone)]
enum Slot {
    Open(Arc<Connection>),
    Failed { error: Arc<McpError>, at: Instant },
}

impl Pool {
    pub(super) fn new(client: GuardedClient) -> Self {
        let slots = Cache::builder()
            .max_capacity(MOST)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(IDLE)
            .build();
        Self { client, slots }
    }

    /// The connection for `key`, opened if there is none. Whoever asks for the same one meanwhile
    /// waits for it; if the one who opens it gives up, the next one does it.
    ///
    /// # Errors
    /// Why there is none, or was none a moment ago.
    pub(super) async fn connection(&self, key: &Key, limits: Limits) -> Result<Held, McpError> {
        for _ in 0..TRIES {
            let opening = Box::pin(self.open(key, limits));
            let entry = self.slots.entry_by_ref(key).or_insert_with_if(opening, Slot::is_spent);
            match entry.await.into_value() {
                Slot::Open(connection) => {
                    if let Some(in_use) = connection.hold() {
                        return Ok(Held { connection, _in_use: in_use });
                    }
                }
                Slot::Failed { error, .. } => return Err(McpError::Shared(error)),
            }
        }
        Err(McpError::Broken(None))
    }

    /// Takes note that a server keeps everybody waiting: it is left alone for a while.
    pub(super) async fn note_silence(&self, key: &Key) {
        let error = Arc::new(McpError::Timeout);
        self.slots.insert(key.clone(), Slot::Failed { error, at: Instant::now() }).await;
    }

    async fn open(&self, key: &Key, limits: Limits) -> Slot {
        let open = || Connection::open(&self.client, &key.destination, limits);
        let opening = async {
            match open().await {
                Err(error) if error.is_passing() => {
                    sleep(TRY_AGAIN_AFTER).await;
                    open().await
                }
                opened => opened,
            }
        };
        let opened = timeout(CONNECT_TIMEOUT, opening).await;
        match opened.unwrap_or(Err(McpError::Timeout)) {
            Ok(connection) => Slot::Open(Arc::new(connection)),
            Err(error) => Slot::Failed { error: Arc::new(error), at: Instant::now() },
        }
    }
}

impl Slot {
    fn is_spent(&self) -> bool {
        match self {
            Self::Open(connection) => connection.is_over(),
            Self::Failed { at, .. } => at.elapsed() >= LEFT_ALONE,
        }
    }
}
