//! Why a model said nothing.

use std::time::Duration;

use recado_http::guard::InvalidOutbound;
use recado_store::StoreError;

use super::script::Mistake;

/// Why a model said nothing. Never repeats what a provider wrote, except for a word that can only
/// be one of its error codes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    /// There is no such builtin model.
    #[error("the agent's model is unknown")]
    ModelName,
    /// No such provider.
    #[error("the tenant has no provider of this name")]
    UnknownProvider,
    /// The provider's secret is not there.
    #[error("the provider's secret does not exist")]
    MissingSecret,
    /// The provider's address or secret cannot be used in a request.
    #[error("the provider's configuration cannot be used")]
    Misconfigured,
    /// The guard lets nobody there.
    #[error("the provider's address is not allowed")]
    Forbidden,
    /// The conversation is longer than the model can take in. A shorter one may pass.
    #[error("the conversation is too long for the model")]
    ContextTooLong,
    /// The provider said no, and would say it again.
    #[error("the provider refused the request with status {status}{}", in_brackets(.reason.as_deref()))]
    Refused {
        /// The status of its answer; 200 if it changed its mind in the middle.
        status: u16,
        /// Its own word for it.
        reason: Option<String>,
    },
    /// The provider kept failing.
    #[error("the provider failed {n_attempts} times, at last with {last}")]
    Failing {
        /// How often it was asked.
        n_attempts: u32,
        /// A status, or a stable code.
        last: String,
    },
    /// The provider wants to be left alone for longer than there is time.
    #[error("the provider asks to wait {} s, which is more than there is time for", asked.as_secs())]
    Busy {
        /// For how long.
        asked: Duration,
    },
    /// The answer is not what the API promises.
    #[error("the provider's answer is malformed")]
    Malformed,
    /// The answer is longer than what is read or kept.
    #[error("the provider's answer is too large: {0}")]
    TooLarge(Excess),
    /// The script of `builtin.script` has a mistake.
    #[error("the agent's script cannot be played")]
    Script(#[source] Mistake),
    /// The script of `builtin.script` says so.
    #[error("the script fails: {0}")]
    Scripted(String),
    /// The database is away. The same execution may succeed later.
    #[error("the provider was not looked up")]
    Store(#[source] StoreError),
}

/// What an answer has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Excess {
    /// Text and arguments together, or the bytes they come in.
    #[error("it has too many bytes")]
    Bytes,
    /// Calls in one turn.
    #[error("it calls too many tools at once")]
    ToolCalls,
    /// The arguments of one call.
    #[error("the arguments of a tool call have too many bytes")]
    Arguments,
}

impl ModelError {
    /// For `map_err`: a request that cannot be written down. Why not may have to do with a secret.
    pub(super) fn misconfigured(_not_shown: InvalidOutbound) -> Self {
        Self::Misconfigured
    }

    /// A stable code for the execution.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::ModelName => "model_invalid",
            Self::UnknownProvider => "provider_not_found",
            Self::MissingSecret => "provider_secret_missing",
            Self::Misconfigured => "provider_misconfigured",
            Self::Forbidden => "forbidden_destination",
            Self::ContextTooLong => "context_length_exceeded",
            Self::Refused { .. } => "model_refused",
            Self::Failing { .. } => "model_unavailable",
            Self::Busy { .. } => "model_busy",
            Self::Malformed => "model_answer_malformed",
            Self::TooLarge(_) => "model_answer_too_large",
            Self::Script(_) => "script_invalid",
            Self::Scripted(_) => "script_failed",
            Self::Store(_) => "internal_error",
        }
    }
}

fn in_brackets(reason: Option<&str>) -> String {
    reason.map(|reason| format!(" ({reason})")).unwrap_or_default()
}
