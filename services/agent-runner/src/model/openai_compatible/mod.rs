//! Chat completions, as `OpenAI` and everything compatible with it speak them.

mod answer;
mod request;

pub(super) use answer::Completion;
pub(super) use request::request;
