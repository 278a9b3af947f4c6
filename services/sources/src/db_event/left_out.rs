//! What does not become a message. The tenant is told what it was and why; the operator, how often
//! and of which kind, since ids and errors have the tenant's values in them.

use recado_store::sources::SourceKind;

use super::{Sink, failure};
use crate::metrics::LEFT_OUT;

/// What of one page, or of the notifications that came together, does not become a message.
pub(super) struct LeftOut<'s, S> {
    sink: &'s S,
    count: u32,
    /// Of the last one.
    reason: &'static str,
}

impl<'s, S: Sink> LeftOut<'s, S> {
    pub(super) fn to(sink: &'s S) -> Self {
        Self { sink, count: 0, reason: "" }
    }

    /// Leaves something out. `why` is for the tenant.
    pub(super) fn add(&mut self, reason: &'static str, why: &str) {
        LEFT_OUT.with_label_values(&[SourceKind::DbEvent.as_str(), reason]).inc();
        self.sink.leave_out(failure::shown(why));
        self.count += 1;
        self.reason = reason;
    }

    /// Logs it, once for all. Answers whether anything was left out.
    pub(super) fn log(self) -> bool {
        let Self { count, reason, .. } = self;
        if count > 0 {
            tracing::warn!(count, reason, "what happened in a database is left out");
        }
        count > 0
    }
}
