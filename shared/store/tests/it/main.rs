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
mod members;
mod messages;
mod parking;
mod past;
mod redelivery;
mod superseding;
mod waiting;
mod webhooks;
