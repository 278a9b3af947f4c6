#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod backoff;
mod config;
mod connection;
mod consumer;
mod dead_letters;
mod flight;
mod headers;
mod link;
mod load;
mod metrics;
mod parcel;
mod publisher;
mod replies;
mod socket;
mod supervisor;
pub mod topology;

pub use config::Config;
pub use consumer::{Handler, OnError, Received, consume};
pub use dead_letters::{
    Chosen, DeadLetter, DeadLetters, DeadLettersError, Found, Left, Listed, Outcome, Scope,
    Settled, Survey,
};
pub use link::Link;
pub use metrics::register_metrics;
pub use publisher::{MAX_MESSAGE_BYTES, PublishError, Publisher, sending};
pub use replies::{Replies, Waiter};
