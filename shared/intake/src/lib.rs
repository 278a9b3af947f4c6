#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod answer;
pub mod auth;
pub mod channel;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod message;
pub mod payload;
mod public_url;
mod refusal;
pub mod reply;
pub mod sender;
mod trigger;

pub use public_url::{PublicUrl, PublicUrlError};
pub use refusal::Refusal;
pub use trigger::{CompiledTrigger, Owner};
