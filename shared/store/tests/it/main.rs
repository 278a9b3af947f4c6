//! The statements on a real database: what they promise, with several callers at once.

mod executions;
mod fixture;
mod lanes;
mod messages;
