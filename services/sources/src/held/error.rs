//! Why a source is not held any more.

use chrono::{DateTime, Utc};
use recado_broker::PublishError;
use recado_store::StoreError;
use recado_store::sources::SourceFailure;

use crate::trigger::{BROKER_UNAVAILABLE, INTERNAL_ERROR};

/// Why a source is not held any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// Somebody else may be at work.
    #[error("the lease was lost")]
    LeaseLost,
    /// It does not work, for now.
    #[error("{message}")]
    Failed {
        /// Stable, for programs.
        code: &'static str,
        /// For people, without secrets.
        message: String,
    },
}

impl SourceError {
    /// What is told of it, as of `now`.
    pub(crate) fn failure(&self, now: DateTime<Utc>) -> SourceFailure {
        match self {
            Self::LeaseLost => {
                let message = "somebody else went on with it".to_owned();
                SourceFailure { code: INTERNAL_ERROR, message, at: now }
            }
            Self::Failed { code, message } => {
                SourceFailure { code, message: message.clone(), at: now }
            }
        }
    }

    pub(crate) fn failed(code: &'static str, message: impl Into<String>) -> Self {
        Self::Failed { code, message: message.into() }
    }
}

/// Of our own database. What exactly is wrong with it is for the operator's log.
impl From<StoreError> for SourceError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "our database does not answer");
        Self::failed(INTERNAL_ERROR, "Recado's own database does not answer")
    }
}

impl From<PublishError> for SourceError {
    fn from(error: PublishError) -> Self {
        Self::failed(BROKER_UNAVAILABLE, error.to_string())
    }
}
