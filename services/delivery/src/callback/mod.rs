//! One request of a callback: how it is written, what its answer means, when it is made again.
//! Pure, no I/O.

pub mod answer;
pub mod retry;

pub use recado_callback::{render, sent};
