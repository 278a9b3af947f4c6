#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod markdown;
pub mod split;
pub mod transform;
pub mod units;
pub mod urls;
