//! One request of a callback: how it is written, what its answer means, when it is made again.
//! Pure, no I/O.

pub mod answer;
pub mod render;
pub mod retry;
pub mod sent;
