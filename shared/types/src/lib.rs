#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod agent;
pub mod buffer;
pub mod field_path;
pub mod hidden;
pub mod identity;
pub mod ids;
pub mod jmespath;
pub mod json_path;
mod json_schema;
mod numbers;
pub mod shape;
pub mod template;
pub mod tool;
pub mod trigger;
mod work;

pub use ids::{
    AgentId, ApiKeyId, AppId, AttemptId, ContextWindowId, DeliveryId, EventId, ExecutionId,
    Fingerprint, LlmCallId, MemberId, MessageId, ProfileId, ProjectId, ProviderId, SecretId,
    SessionId, TenantId, ToolCallId, ToolId, TriggerId, VariationId,
};
