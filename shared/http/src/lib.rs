#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod auth;
pub mod credential;
pub mod guard;
pub mod problem;
pub mod provider;
pub mod trace;
pub mod unread;

pub use problem::{ApiError, Problem};
