//! Deliveries: what has to be sent, chunk by chunk, and every attempt made to send it.
//!
//! The head of a session's delivery lane is claimed, planned (cut into chunks), and sent; each
//! attempt is recorded before the next request. What ends a delivery hands its lane on in the same
//! statement.
//!
//! * `claim` takes lanes whose destination has room, and reads their heads.
//! * `plan` stores the chunks of a delivery that has several.
//! * `record` writes attempts down, many at a time.
//! * `fail` ends a delivery that cannot be sent at all.

mod claim;
mod fail;
mod plan;
mod record;

use chrono::{DateTime, Utc};
use recado_types::{DeliveryId, ExecutionId, TenantId, TraceContext, TriggerId};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::lanes::Lease;

pub use claim::{MAX_CLAIM, Room, TenantInHand, TriggerRoom, claim};
pub use fail::fail;
pub use plan::plan;
pub use record::{After, AttemptRecord, Recording, record};

/// Where a chunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkStatus {
    /// Not sent yet, or sent without a recorded answer.
    Pending,
    /// The channel took it.
    Sent,
    /// The channel did not take it, and will not be asked again.
    Failed,
    /// Not sent because one before it failed.
    Skipped,
}

impl ChunkStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// A chunk of a planned delivery.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PlannedChunk {
    /// Its place, from 0.
    pub index: u32,
    /// Its text.
    pub body: String,
    /// Where it stands.
    pub status: ChunkStatus,
    /// How often it was tried in this round.
    pub attempt_count: u32,
}

/// A delivery and the right to send it.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The right.
    pub lease: Lease,
    /// Which delivery.
    pub delivery_id: DeliveryId,
    /// The execution whose response it carries.
    pub execution_id: ExecutionId,
    /// Whose.
    pub tenant_id: TenantId,
    /// The trigger that says where to: its destination.
    pub trigger_id: TriggerId,
    /// Whether it is to find out if its destination, which did not answer, does again; then how
    /// often that was tried before, without an answer.
    pub probe: Option<u32>,
    /// How often the delivery was asked for, this time included.
    pub round: u32,
    /// The round in which it was last to be sent as a whole.
    pub whole_round: u32,
    /// When it was asked for the last time.
    pub requested_at: DateTime<Utc>,
    /// The agent's whole response.
    pub response: String,
    /// The trigger's configuration, as it is now.
    pub trigger_config: Value,
    /// Where the tenant's requests may go, as it is now: the entries of `DestinationHosts`.
    pub destination_hosts: Vec<String>,
    /// The context of the execution's last message.
    pub context: Map<String, Value>,
    /// How many chunks it was cut into; `None` until it was planned.
    pub chunk_count: Option<u32>,
    /// Whether something was cut off when it was planned.
    pub truncated: bool,
    /// Its chunks in order; none until it was planned.
    pub chunks: Vec<PlannedChunk>,
    /// The span of the run that it follows from, if that is recorded.
    pub trace: Option<TraceContext>,
}
