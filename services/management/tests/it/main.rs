//! The management API alone, over HTTP, on a real database.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod access;
mod agents;
mod apps;
mod concurrency;
mod configuration;
mod control;
mod dead_letters;
mod deliveries;
mod destinations;
mod event_endpoints;
mod executions;
mod isolation;
mod lists;
mod members;
mod outage;
mod rotation;
mod server;
mod tools;
mod validation;
