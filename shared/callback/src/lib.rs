#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod chunks;
pub mod render;
pub mod sent;
pub mod sign;
