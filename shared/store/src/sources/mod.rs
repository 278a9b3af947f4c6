//! Triggers that fire by themselves: when each has to be looked at, how far it got, and who is at it.
//!
//! The rows derive from the triggers (`derive_source` in the migrations); here they are worked. What
//! is due goes by the clock of whoever asks, because schedules are about time as people have it;
//! leases go by the database's, as everywhere ([`crate::lanes`]).

mod backlog;
mod claim;
mod save;
mod view;

pub use backlog::{Backlog, backlog};
pub use claim::{ClaimedSource, claim, next_due};
pub use save::{LeftOut, Outcome, SourceFailure, hand_back, renew, save_position, settle};
pub use view::{SourceStatus, find};

use recado_types::TriggerId;
use uuid::Uuid;

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// The clock.
    Schedule,
    /// A database of the tenant.
    DbEvent,
    /// A mailbox.
    Imap,
}

impl SourceKind {
    /// As stored, and as a label in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::DbEvent => "db_event",
            Self::Imap => "imap",
        }
    }
}

/// The right to work a source until it runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceLease {
    /// Whose source.
    pub trigger_id: TriggerId,
    /// What tells this claim from every other.
    pub token: Uuid,
}
