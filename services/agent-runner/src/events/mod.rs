//! Tells the world what happens in executions.
//!
//! * `event`: what happens, in the words of the loop.
//! * `envelope`: what that looks like to those who listen (seed 002).
//! * `stream`: how it gets there, in order and beside the work.

mod envelope;
mod event;
#[cfg(test)]
mod fixtures;
mod stream;

pub(crate) use event::{AskedCall, AskedTool, Compaction, Event, EventAgent, EventSource, What};
pub(crate) use stream::{EventStream, Events};
