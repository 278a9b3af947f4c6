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
mod dry_run;
mod etags;
mod event_endpoints;
mod execution_lists;
mod executions;
mod guards;
mod isolation;
mod keys;
mod lists;
mod manage;
mod manage_invocations;
mod members;
mod openapi;
mod outage;
mod rotation;
mod schedules;
mod server;
mod sessions;
mod tenants;
mod tools;
mod trying;
mod validation;
