#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod address;
pub mod agent;
pub mod buffer;
pub mod credential;
pub mod event_type;
pub mod field_path;
mod header_name;
pub mod hidden;
pub mod hosts;
pub mod identity;
pub mod ids;
pub mod jmespath;
pub mod json_path;
mod json_schema;
mod numbers;
pub mod provider;
pub mod scope;
pub mod shape;
pub mod template;
pub mod tool;
mod trace_context;
pub mod trigger;
mod work;

pub use ids::{
    AgentId, ApiKeyId, AppId, AttemptId, ChosenId, ContextWindowId, DeadLetterId, DeliveryId,
    EventDeliveryId, EventEndpointId, EventId, ExecutionId, Fingerprint, LlmCallId, MemberId,
    MessageId, ProfileId, ProjectId, ProviderId, SecretId, SessionId, TenantId, ToolCallId, ToolId,
    TriggerId, VariationId,
};
pub use trace_context::TraceContext;
