//! The management API alone, over HTTP, on a real database.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod access;
mod concurrency;
mod configuration;
mod executions;
mod isolation;
mod lists;
mod outage;
mod server;
mod validation;
