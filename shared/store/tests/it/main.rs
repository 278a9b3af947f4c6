//! The statements on a real database: what they promise, with several callers at once.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod agents;
mod conflicts;
mod control;
mod deliveries;
mod destinations;
mod event_deliveries;
mod executions;
mod fairness;
mod fixture;
mod lanes;
mod listen;
mod manual_messages;
mod members;
mod messages;
mod migrating;
mod parking;
mod past;
mod plans;
mod redelivery;
mod retention;
mod row_security;
mod sources;
mod superseding;
mod usage;
mod waiting;
mod webhooks;
