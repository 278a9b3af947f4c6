#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod literals;
pub mod markdown;
pub mod sms;
pub mod split;
pub mod transform;
pub mod units;
pub mod urls;
