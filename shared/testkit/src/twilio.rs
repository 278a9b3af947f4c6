//! Twilio, both ways: its Messages API as a stub, and its webhooks as requests.

mod inbound;
mod messages;
mod signature;
mod trigger;

pub use inbound::{Inbound, SignedForm};
pub use messages::{Messages, Sent};
pub use signature::sign;
pub use trigger::{SECRET_REF, trigger_config};
