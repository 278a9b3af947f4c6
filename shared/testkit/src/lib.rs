//! What tests stand on: private servers, isolation, stubs of what lies beyond this network,
//! the system as processes, and the checker of histories.
//!
//! Tests take from [`database`], [`vhost`] and [`redis`] what is theirs alone, wait with
//! [`wait_for`], and leave nothing behind: neither a process, nor a directory, nor a database.
//! The servers behind them are started by the program `with-servers`, which `make test` uses.

#![warn(missing_docs)]

pub mod app;
pub mod callback;
pub mod guard;
pub mod history;
mod http_client;
pub mod model;
pub mod rabbit_admin;
pub mod scratch;
pub mod servers;
pub mod shared;
pub mod sql;
pub mod stub;
pub mod twilio;
mod wait;
pub mod with_servers;

pub use http_client::http_client;
pub use shared::{TestDatabase, TestRedis, Vhost, database, redis, vhost};
pub use wait::wait_for;
