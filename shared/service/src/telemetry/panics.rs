//! A panic becomes one log line.

use std::panic::{self, PanicHookInfo};

/// Replaces the default hook, which writes several lines that are not JSON.
pub(super) fn log_them() {
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let message = harmless_message(info);
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(panic.location = location, panic.backtrace = %backtrace, "panicked: {message}");
    }));
}

/// A literal was written by us. A formatted message may quote what a user sent (slicing a text at
/// the wrong place does), so only its place is told.
fn harmless_message<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    info.payload().downcast_ref::<&'static str>().copied().unwrap_or("see panic.location")
}
