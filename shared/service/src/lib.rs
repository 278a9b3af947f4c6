#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod batches;
pub mod config;
pub mod connect;
pub mod health;
pub mod lanes;
mod metrics;
pub mod process;
pub mod telemetry;

pub use metrics::register_metrics;
pub use process::{Context, EX_CONFIG, Process};
