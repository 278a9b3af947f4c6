//! A Redis per test: it starts in milliseconds, and may be killed and wiped at will.

use std::ops::{Deref, DerefMut};

use crate::scratch::ScratchDir;
use crate::servers::Redis;

/// A Redis server of one's own, in a directory of its own. Both go together with this.
#[derive(Debug)]
pub struct TestRedis {
    // Dropped before the directory it writes to.
    server: Redis,
    _scratch: ScratchDir,
}

impl Deref for TestRedis {
    type Target = Redis;

    fn deref(&self) -> &Redis {
        &self.server
    }
}

impl DerefMut for TestRedis {
    fn deref_mut(&mut self) -> &mut Redis {
        &mut self.server
    }
}

/// A new, empty Redis server.
///
/// # Panics
/// If it cannot be started.
pub async fn redis() -> TestRedis {
    let scratch = ScratchDir::new().expect("the temporary directory is writable");
    let started = Redis::start(scratch.path().join("redis")).await;
    let server = started.unwrap_or_else(|error| panic!("failed to start a test's Redis: {error}"));
    TestRedis { server, _scratch: scratch }
}
