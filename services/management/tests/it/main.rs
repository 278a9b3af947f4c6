//! The management API alone, over HTTP, on a real database.

mod access;
mod concurrency;
mod configuration;
mod executions;
mod isolation;
mod lists;
mod server;
mod validation;
