#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod agent;
pub mod buffer;
pub mod field_path;
pub mod identity;
pub mod ids;
pub mod jmespath;
pub mod json_path;
mod numbers;
pub mod shape;
pub mod template;
pub mod trigger;
mod work;

pub use ids::{
    AgentId, ApiKeyId, AppId, AttemptId, DeliveryId, ExecutionId, Fingerprint, LlmCallId, MemberId,
    MessageId, ProjectId, ProviderId, SecretId, SessionId, TenantId, TriggerId,
};
