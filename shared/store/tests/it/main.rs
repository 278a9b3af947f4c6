//! The statements on a real database: what they promise, with several callers at once.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod conflicts;
mod executions;
mod fixture;
mod lanes;
mod listen;
mod members;
mod messages;
mod waiting;
mod webhooks;
