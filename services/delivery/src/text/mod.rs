//! What happens to a response before it is sent: transform, then split. Pure, no I/O.

pub mod markdown;
pub mod split;
pub mod transform;
pub mod units;
pub mod urls;
