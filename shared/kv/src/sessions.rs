//! Sessions that have begun and are not recorded yet.

use std::time::Duration;

use recado_types::{MessageId, SessionId};

use crate::metrics::Operation;
use crate::{Kv, KvError};

impl Kv {
    /// Notes for `ttl` that the session begins with `message`, unless it began before; answers
    /// whether it is the one it begins with.
    pub async fn begin_session(
        &self,
        session: SessionId,
        message: MessageId,
        ttl: Duration,
    ) -> Result<bool, KvError> {
        let mut connection = self.usable()?;
        let message = message.to_string();
        let mut note = redis::cmd("SET");
        note.arg(format!("{}:session:{session}", self.prefix)).arg(&message);
        note.arg("NX").arg("GET").arg("PX").arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let noting = note.query_async(&mut connection);
        let noted: Option<String> = self.noted(Operation::BeginSession, noting).await?;
        Ok(noted.is_none_or(|first| first == message))
    }
}
