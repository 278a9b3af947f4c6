//! The messages of Anthropic's API.

mod answer;
mod request;

pub(super) use answer::Message;
pub(super) use request::request;
