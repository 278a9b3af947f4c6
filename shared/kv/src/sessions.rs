//! Sessions that have begun and are not recorded yet.

use std::time::Duration;

use recado_types::SessionId;

use crate::{Kv, KvError};

impl Kv {
    /// Notes for `ttl` that somebody writes in the session; answers whether nobody had.
    pub async fn begin_session(&self, session: SessionId, ttl: Duration) -> Result<bool, KvError> {
        let mut connection = self.usable()?;
        let mut note = redis::cmd("SET");
        note.arg(format!("{}:session:{session}", self.prefix)).arg(1);
        note.arg("NX").arg("PX").arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let noted: redis::RedisResult<Option<String>> = note.query_async(&mut connection).await;
        Ok(self.noted("note a session", noted)?.is_some())
    }
}
