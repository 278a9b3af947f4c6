//! Read models: what an admin sees of what happened. Nothing here decides anything.

mod audit;
mod deliveries;
mod delivery;
mod destinations;
mod event_deliveries;
mod execution;
mod origin;
mod position;
mod resolve;
mod session;
mod sessions;
mod snapshot;
mod stats;
mod summaries;
mod tool_calls;
mod transcript;
mod windows;

use tokio_postgres::types::ToSql;

pub use audit::{AuditFilter, AuditLine, audit_log};
pub use deliveries::{
    AttemptDetail, DeliveryDetail, DeliveryFilter, DeliveryPosition, DeliveryStatus,
    DeliverySummary, PositionError, deliveries, delivery,
};
pub use delivery::{AttemptView, ChunkView, DeliveryView};
pub use destinations::{DestinationState, DestinationView, Trouble, destination, destinations};
pub use event_deliveries::{
    EventAttemptView, EventDeliveryDetail, EventDeliveryFilter, EventDeliverySummary, LastAttempt,
    event_deliveries, event_delivery,
};
pub use execution::{ExecutionView, LlmCallView, MessageView, WindowView, execution};
pub use origin::{Origin, OriginTrigger, SessionOrigin, session_origin};
pub use position::{NoPosition, Position, Stretch};
pub use resolve::{Resolved, WaitingMessage, resolve_execution};
pub use session::{SessionDetail, SessionView, session};
pub use sessions::{SessionFilter, SessionState, SessionSummary, sessions};
pub use stats::{Stats, StatusCount, TriggerCounts, stats};
pub use summaries::{
    ExecutionFilter, ExecutionStatus, ExecutionSummary, executions, trigger_exists,
};
pub use tool_calls::{ToolCallView, WaitingCall, waiting_tool_calls};
pub use transcript::{
    NoTranscriptPosition, Speaker, Transcript, TranscriptPosition, Utterance, transcript,
};
pub use windows::{OpenBurst, open_bursts};

type Parameters<'p> = &'p [&'p (dyn ToSql + Sync)];
