#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod config;
pub mod connect;
pub mod health;
pub mod lanes;
pub mod process;
pub mod telemetry;

pub use process::{Context, EX_CONFIG, Process};
