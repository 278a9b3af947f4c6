//! The whole system: six roles as processes, on real servers, seen from outside.
//!
//! What lies beyond this network (Twilio, models, callbacks) are stubs that are real HTTP servers.
//! Each test tells a story; `faults` tells those in which something dies.

mod agents;
mod alerts;
mod buffering;
mod channels;
mod cli;
mod control;
mod dead_letters;
mod deliveries;
mod dev;
mod faults;
mod load;
mod metrics;
mod models;
mod poison;
mod processes;
mod refusals;
mod restore;
mod secrecy;
mod sessions;
mod support;
mod sync;
mod tracing;
mod whole_way;
