//! Delivery alone, between a real database, a real broker and receivers that misbehave.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod faults;
mod refusals;
mod retries;
mod running;
mod sending;
