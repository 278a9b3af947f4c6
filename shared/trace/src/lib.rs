#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod context;
pub mod conventions;
mod ids;
pub mod spans;

use std::sync::atomic::{AtomicBool, Ordering};

pub use context::{Callers, called, continued, current, linked, of};
pub use ids::Ids;
pub use spans::{attribute, fail};

static IS_ON: AtomicBool = AtomicBool::new(false);

/// From now on spans are made that exist for traces alone.
pub fn switch_on() {
    IS_ON.store(true, Ordering::Relaxed);
}

/// Whether anybody collects traces of this process.
pub fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests;
