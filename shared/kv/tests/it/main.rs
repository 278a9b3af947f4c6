//! Windows and tolls on a real Redis: the scripts' promises, and that they decide as the pure rules
//! do.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod outage;
mod script;
mod toll;

use std::time::Duration;

use recado_kv::{Config, Kv, Push};
use recado_testkit::TestRedis;
use recado_types::buffer::BufferPolicy;
use recado_types::{MessageId, SessionId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) struct Fixture {
    pub(crate) kv: Kv,
    pub(crate) redis: TestRedis,
    shutdown: CancellationToken,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let redis = recado_testkit::redis().await;
        let shutdown = CancellationToken::new();
        let kv = start(&redis, &shutdown);
        Self { kv, redis, shutdown }
    }

    /// Another instance of the product, with a connection of its own.
    pub(crate) fn another_kv(&self) -> Kv {
        start(&self.redis, &self.shutdown)
    }
}

fn start(redis: &TestRedis, shutdown: &CancellationToken) -> Kv {
    let config = Config { url: redis.url(), timeout: TIMEOUT, prefix: "test".into() };
    Kv::start(&config, &TaskTracker::new(), shutdown.clone()).unwrap()
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn session(n: u128) -> SessionId {
    SessionId(Uuid::from_u128(n))
}

pub(crate) fn id(n: u128) -> MessageId {
    MessageId(Uuid::from_u128(n))
}

pub(crate) fn push(session_n: u128, message_n: u128, policy: BufferPolicy) -> Push {
    Push { session_id: session(session_n), message_id: id(message_n), policy }
}

/// A policy whose windows are due only when they are full.
pub(crate) fn patient(max_messages: u32) -> BufferPolicy {
    BufferPolicy { window_ms: 600_000, max_messages, max_wait_ms: 600_000 }
}

/// Numbers that are the same in every run (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(limit)).unwrap()
    }
}
