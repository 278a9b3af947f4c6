//! HTTP servers in place of what lies beyond this network.
//!
//! A stub answers requests by a pure function, keeps every request in an append-only history,
//! and misbehaves on command. It runs on a thread of its own: a test that blocks does not block it.

mod faults;
mod message;
mod server;

use std::ops::Deref;
use std::time::Duration;

pub use faults::Fault;
pub use message::{Reply, Request};
pub use server::Stub;

/// One request in a stub's history.
#[derive(Debug, Clone)]
pub struct Received {
    /// 1 for the first request of this stub; the order in which requests were read whole.
    pub seq: u64,
    /// When it was read, since the stub was started.
    pub at: Duration,
    /// What was asked.
    pub request: Request,
    /// What was answered; `None` while it waits, and for ever if the connection was cut.
    pub answered: Option<Answered>,
}

/// How and when a stub answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The status code.
    pub status: u16,
    /// When the answer was given to the connection, since the stub was started.
    pub at: Duration,
}

impl Received {
    /// Whether the answer was a 2xx.
    pub fn succeeded(&self) -> bool {
        self.answered.is_some_and(|answered| (200..300).contains(&answered.status))
    }
}

impl Deref for Received {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.request
    }
}
