//! Read models: what an admin sees of what happened. Nothing here decides anything.

mod execution;
mod session;
mod stats;
mod summaries;

pub use execution::{
    AttemptView, ChunkView, DeliveryView, ExecutionView, LlmCallView, MessageView, SessionView,
    execution,
};
pub use session::{Origin, OriginTrigger, SessionOrigin, session_origin};
pub use stats::{Stats, StatusCount, TriggerCounts, stats};
pub use summaries::{ExecutionStatus, ExecutionSummary, Filter, executions, trigger_exists};
