//! An answer that is read while it comes.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::{Phase, SendError};

/// An answer whose body is still coming. Dropping it closes the connection, unless the body was
/// read to its end.
///
/// Holds no more of the body than the one chunk that was asked for, so thousands of slow answers
/// cost next to nothing.
pub struct Streamed {
    /// The status; redirects are answers like any other.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Response,
    /// How much of the body may still be handed out, in bytes.
    room: usize,
    truncated: bool,
    /// Until when everything has to be there.
    deadline: Instant,
    /// How long the body may pause, once it has begun.
    idle: Duration,
    begun: bool,
}

impl Streamed {
    pub(super) fn of(mut body: Response, room: usize, deadline: Instant, idle: Duration) -> Self {
        Self {
            status: body.status(),
            headers: std::mem::take(body.headers_mut()),
            body,
            room,
            truncated: false,
            deadline,
            idle,
            begun: false,
        }
    }

    /// The next piece of the body, or `None` at its end, which is also where the request's
    /// `max_body_bytes` are reached: then [`Streamed::truncated`] says so.
    ///
    /// The idle limit lies between two chunks. Before the first there is only the deadline: who
    /// answers at once may think long before the first word.
    ///
    /// # Errors
    /// When the connection breaks, falls silent for longer than the idle limit, or the request's
    /// time is over. Nothing can be read after that.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, SendError> {
        if self.truncated {
            return Ok(None);
        }
        let patience = if self.begun { self.idle } else { Duration::MAX };
        let until = Instant::now()
            .checked_add(patience)
            .map_or(self.deadline, |silent_until| silent_until.min(self.deadline));
        let chunk = timeout_at(until, self.body.chunk())
            .await
            .map_err(|_elapsed| SendError::Timeout { phase: Phase::Body(self.status) })?
            .map_err(|error| SendError::of_body(self.status, error))?;
        self.begun = true;
        Ok(chunk.map(|chunk| self.within_limit(chunk)))
    }

    /// Whether the body is longer than the request allows.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    fn within_limit(&mut self, mut chunk: Bytes) -> Bytes {
        if chunk.len() > self.room {
            chunk.truncate(self.room);
            self.truncated = true;
        }
        self.room -= chunk.len();
        chunk
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed")
            .field("status", &self.status)
            .field("room", &self.room)
            .field("truncated", &self.truncated)
            .finish_non_exhaustive()
    }
}
