#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod app;
pub mod baseline;
pub mod callback;
pub mod disk;
pub mod guard;
pub mod history;
mod http_client;
pub mod identity_provider;
mod killable;
pub mod mcp;
pub mod model;
pub mod otlp;
pub mod prometheus;
pub mod providers;
pub mod proxy;
pub mod rabbit_admin;
pub mod receiver;
pub mod scratch;
pub mod servers;
pub mod shared;
pub mod skew;
pub mod smtp;
pub mod sql;
pub mod stub;
pub mod tool;
pub mod twilio;
mod wait;
pub mod with_servers;

pub use http_client::http_client;
pub use killable::Killable;
pub use shared::{TestDatabase, TestMail, TestRedis, Vhost, database, mail, redis, vhost};
pub use wait::wait_for;
