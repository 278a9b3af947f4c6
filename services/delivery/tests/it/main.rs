//! Delivery alone, between a real database, a real broker and receivers that misbehave.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod destinations;
mod events;
mod faults;
mod parking;
mod redelivery;
mod refusals;
mod retries;
mod running;
mod secrets;
mod sending;
mod smtp;
