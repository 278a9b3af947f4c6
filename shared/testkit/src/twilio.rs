//! Twilio, both ways: its Messages API as a stub, and its webhooks as requests.

mod inbound;
mod messages;
mod signature;

pub use inbound::{Inbound, SignedForm};
pub use messages::{Messages, Sent};
pub use signature::sign;
