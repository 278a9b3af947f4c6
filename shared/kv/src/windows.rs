//! The open windows: when is which session due?
//!
//! All of it is decided by one script, `window.lua`, so each call is atomic and one round trip.

use std::sync::LazyLock;
use std::time::Duration;

use recado_types::buffer::BufferPolicy;
use recado_types::{MessageId, SessionId};
use redis::Script;

use crate::metrics::Operation;
use crate::{Kv, KvError};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("window.lua")));

/// The most messages one push may carry: what a Lua stack holds, with room to spare.
const MAX_PUSH: usize = 500;

/// A message for its session's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Push {
    /// Whose window.
    pub session_id: SessionId,
    /// Which message.
    pub message_id: MessageId,
    /// When to flush.
    pub policy: BufferPolicy,
}

/// A window that this caller is to flush.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedWindow {
    /// Whose.
    pub session_id: SessionId,
    /// Its messages, at least one, in their order.
    pub message_ids: Vec<MessageId>,
    /// How long it had been due when it was claimed: since the end of the lease, if somebody had
    /// claimed it before.
    pub late_by: Duration,
}

/// What was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `false` after a wipe, until [`Kv::mark_intact`]: windows may be missing.
    pub intact: bool,
    /// In how long the next window is due, as things stand.
    pub next_due_in: Option<Duration>,
    /// The windows to flush.
    pub windows: Vec<ClaimedWindow>,
}

impl Kv {
    /// Puts messages into the windows of their sessions, in order; those that are there already,
    /// or are being flushed, change nothing. Answers whether the windows are intact.
    pub async fn push(&self, messages: &[Push]) -> Result<bool, KvError> {
        let mut connection = self.usable()?;
        let mut intact = true;
        for part in messages.chunks(MAX_PUSH) {
            let mut call = SCRIPT.key(&*self.prefix);
            call.arg("push");
            for push in part {
                call.arg(push.session_id.to_string())
                    .arg(push.message_id.to_string())
                    .arg(push.policy.window_ms)
                    .arg(push.policy.max_messages)
                    .arg(push.policy.max_wait_ms);
            }
            let pushing = call.invoke_async::<bool>(&mut connection);
            intact &= self.noted(Operation::Push, pushing).await?;
        }
        Ok(intact)
    }

    /// Claims up to `limit` due windows for `lease`; an expired claim is claimed again as it was.
    pub async fn claim(&self, limit: usize, lease: Duration) -> Result<Claims, KvError> {
        let mut connection = self.usable()?;
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let mut call = SCRIPT.key(&*self.prefix);
        call.arg("claim").arg(limit).arg(lease_ms);
        let claiming = call.invoke_async(&mut connection);
        let (intact, next_in_ms, claims): (bool, i64, Vec<Vec<String>>) =
            self.noted(Operation::Claim, claiming).await?;
        Ok(Claims {
            intact,
            next_due_in: u64::try_from(next_in_ms).ok().map(Duration::from_millis),
            windows: claims.iter().filter_map(|claim| parse(claim)).collect(),
        })
    }

    /// Ends claims whose messages are on their way; what gathered behind them becomes the next
    /// window.
    pub async fn commit(&self, windows: &[ClaimedWindow]) -> Result<(), KvError> {
        let mut connection = self.usable()?;
        let mut call = SCRIPT.key(&*self.prefix);
        call.arg("commit");
        for window in windows {
            let first = window.message_ids.first().map(ToString::to_string).unwrap_or_default();
            call.arg(window.session_id.to_string()).arg(first);
        }
        self.noted(Operation::Commit, call.invoke_async(&mut connection)).await
    }

    /// Says that every window has been put back after a wipe.
    pub async fn mark_intact(&self) -> Result<(), KvError> {
        let mut connection = self.usable()?;
        let mut mark = redis::cmd("SET");
        mark.arg(format!("{}:intact", self.prefix)).arg(1);
        self.noted(Operation::MarkIntact, mark.query_async(&mut connection)).await
    }
}

/// Reads a session, how late it is, and its message ids; what this program did not write is left alone.
fn parse(claim: &[String]) -> Option<ClaimedWindow> {
    let (session_id, rest) = claim.split_first()?;
    let (late_ms, ids) = rest.split_first()?;
    let message_ids = ids.iter().filter_map(|id| id.parse().ok()).collect();
    let late_by = Duration::from_millis(late_ms.parse().ok()?);
    Some(ClaimedWindow { session_id: session_id.parse().ok()?, message_ids, late_by })
}
