//! Where the thinking is done.

mod openai_compatible;
mod price;

use std::time::Duration;

use recado_http::guard::GuardedClient;
use recado_store::webhooks::{self, ProviderKey};
use recado_store::{Store, StoreError};
use recado_types::agent::ModelName;
use recado_types::{LlmCallId, TenantId};

use crate::prompt::{ChatMessage, Role};

/// What a model said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reply {
    pub(crate) text: String,
    pub(crate) input_tokens: Option<i64>,
    pub(crate) output_tokens: Option<i64>,
    pub(crate) cached_input_tokens: Option<i64>,
    pub(crate) cost_usd: Option<f64>,
    pub(crate) finish_reason: Option<String>,
}

/// Why a model said nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    /// The agent's model name does not parse any more.
    #[error("the agent's model is not `provider.model`")]
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
    /// The provider said no, and would say it again.
    #[error("the provider refused the request with status {0}")]
    Refused(u16),
    /// The provider kept failing.
    #[error("the provider failed {n_attempts} times, at last with {last}")]
    Failing {
        /// How often it was asked.
        n_attempts: u32,
        /// A status, or a stable code.
        last: String,
    },
    /// The answer is not what the API promises.
    #[error("the provider's answer is malformed")]
    Malformed,
    /// The database is away. The same execution may succeed later.
    #[error("the provider was not looked up")]
    Store(#[source] StoreError),
}

impl ModelError {
    /// A stable code for the execution.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::ModelName => "model_invalid",
            Self::UnknownProvider => "provider_not_found",
            Self::MissingSecret => "provider_secret_missing",
            Self::Misconfigured => "provider_misconfigured",
            Self::Forbidden => "forbidden_destination",
            Self::Refused(_) => "model_refused",
            Self::Failing { .. } => "model_unavailable",
            Self::Malformed => "model_answer_malformed",
            Self::Store(_) => "internal_error",
        }
    }
}

/// Asks a model. `call_id` is the idempotency key of the call, however often it is sent.
///
/// Takes as long as the provider does: the caller has the clock.
pub(crate) async fn ask(
    store: &Store,
    client: &GuardedClient,
    tenant: TenantId,
    model: &ModelName,
    conversation: &[ChatMessage],
    call_id: LlmCallId,
    patience: Duration,
) -> Result<Reply, ModelError> {
    if model.provider == ModelName::BUILTIN {
        return Ok(echo(conversation));
    }
    let provider = webhooks::provider(store, tenant, &model.provider).await;
    let provider = provider.map_err(ModelError::Store)?.ok_or(ModelError::UnknownProvider)?;
    let key = match &provider.key {
        ProviderKey::None => None,
        ProviderKey::Value(key) => Some(key.as_str()),
        ProviderKey::Missing => return Err(ModelError::MissingSecret),
    };
    let mut reply = openai_compatible::Call {
        client,
        base_url: &provider.base_url,
        key,
        model: &model.model,
        conversation,
        id: call_id,
        patience,
    }
    .send()
    .await?;
    reply.cost_usd = price::cost_usd(&provider.prices, &model.model, &reply);
    Ok(reply)
}

/// `builtin.echo`: what was asked, verbatim.
fn echo(conversation: &[ChatMessage]) -> Reply {
    let asked = conversation.iter().rev().find(|message| message.role == Role::User);
    let text = asked.map(|message| message.content.clone()).unwrap_or_default();
    Reply { text, finish_reason: Some("stop".into()), ..Reply::default() }
}
