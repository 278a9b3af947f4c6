//! Ingress alone, between a real database, a real broker and a real Redis.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accepting;
mod apps;
mod channels;
mod configuration;
mod duplicates;
mod expressions;
mod faults;
mod instance;
mod limits;
mod mails;
mod meta;
mod queue;
mod quotas;
mod rates;
mod refusing;
mod requests;
mod rotation;
mod runner;
mod running;
mod senders;
mod surfaces;
mod sync;
