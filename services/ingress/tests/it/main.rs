//! Ingress alone, between a real database and a real broker.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accepting;
mod configuration;
mod faults;
mod limits;
mod refusing;
mod requests;
mod running;
