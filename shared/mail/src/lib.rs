#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod answer;
mod clean;
mod decode;
mod fields;
pub mod form;
mod html;
mod loops;
mod mail;
mod parse;
mod quotes;
mod structure;
#[cfg(test)]
mod tests;

pub use loops::LoopReason;
pub use mail::{Attachment, Mail, Mailbox, Thread};
pub use parse::parse;
