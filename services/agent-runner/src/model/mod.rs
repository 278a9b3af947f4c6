//! Where the thinking is done: at a provider, or built in.
//!
//! * `chat` is what is said, in no provider's words.
//! * `call` asks a provider, again if need be.
//! * `openai_compatible` and `anthropic` write questions and read answers as the two APIs have
//!   them; `sse`, `answer`, `draft`, `mend` and `complaint` are what both need for it.
//! * `script` plays an agent whose turns stand in its system prompt.
//! * `price` says what a call costs.
//!
//! It promises that an answer is bounded however long or broken it comes, that nothing of a
//! provider's errors is passed on but its code, and that no more of an answer is held than the
//! reply that becomes of it: a thousand calls that wait cost next to nothing.

mod answer;
mod anthropic;
mod call;
mod chat;
mod complaint;
mod draft;
mod error;
#[cfg(test)]
mod fixtures;
mod mend;
mod openai_compatible;
mod price;
mod script;
mod sse;
#[cfg(test)]
mod tests;

use recado_http::guard::GuardedClient;
use recado_store::Store;
use recado_store::webhooks::{self, ProviderKey};
use recado_trace::spans;
use recado_types::TenantId;
use recado_types::agent::ModelName;
use tracing::Instrument;

pub(crate) use chat::{Ask, ChatMessage, Reply, ToolRequest};
pub(crate) use error::ModelError;

use crate::metrics::count_usage;
use call::{Caller, Endpoint, IDLE};

/// All models: those of the tenants' providers, and the builtin ones. Clones share connections.
#[derive(Clone, Debug)]
pub(crate) struct Models {
    store: Store,
    caller: Caller,
}

impl Models {
    /// Models whose providers are in `store` and reached through `client`.
    pub(crate) fn new(store: Store, client: GuardedClient) -> Self {
        Self { store, caller: Caller { client, idle: IDLE } }
    }

    /// [`ask`](Self::ask), as a span of its own.
    pub(crate) async fn ask_in_span(
        &self,
        tenant: TenantId,
        model: &ModelName,
        ask: &Ask<'_>,
    ) -> Result<Reply, ModelError> {
        let span = spans::chat(&model.provider, &model.model);
        let answered = self.ask(tenant, model, ask).instrument(span.clone()).await;
        match &answered {
            Ok(reply) => {
                let reason = reply.finish_reason.as_deref();
                spans::answered(&span, reply.input_tokens, reply.output_tokens, reason);
            }
            Err(error) => recado_trace::fail(&span, error.code()),
        }
        answered
    }

    /// Asks a model of a tenant, for as long as [`Ask::patience`] lasts.
    ///
    /// A model that calls tools although it may not is not heard: then the reply has no calls.
    ///
    /// # Errors
    /// See [`ModelError`]. What may pass was tried again as long as there was time; only
    /// [`ModelError::ContextTooLong`] is worth another question, with less in it.
    pub(crate) async fn ask(
        &self,
        tenant: TenantId,
        model: &ModelName,
        ask: &Ask<'_>,
    ) -> Result<Reply, ModelError> {
        let mut reply = match (model.provider.as_str(), model.model.as_str()) {
            (ModelName::BUILTIN, "echo") => builtin(echo(ask)),
            (ModelName::BUILTIN, "script") => builtin(script::play(ask).await?),
            (ModelName::BUILTIN, _) => return Err(ModelError::ModelName),
            (provider, model) => self.ask_provider(tenant, provider, model, ask).await?,
        };
        if !ask.may_call_tools {
            reply.tool_calls.clear();
        }
        Ok(reply)
    }

    async fn ask_provider(
        &self,
        tenant: TenantId,
        provider: &str,
        model: &str,
        ask: &Ask<'_>,
    ) -> Result<Reply, ModelError> {
        let provider = webhooks::provider(&self.store, tenant, provider).await;
        let provider = provider.map_err(ModelError::Store)?.ok_or(ModelError::UnknownProvider)?;
        let key = match &provider.key {
            ProviderKey::None => None,
            ProviderKey::Value(key) => Some(key.as_str()),
            ProviderKey::Missing => return Err(ModelError::MissingSecret),
        };
        let (kind, base_url) = (provider.kind, provider.base_url.as_str());
        let mut reply = self.caller.ask(&Endpoint { kind, base_url, key, model }, ask).await?;
        reply.keep_sane();
        if let Some(key) = key {
            reply.hide(key);
        }
        reply.cost_usd = price::cost_usd(&provider.prices, model, &reply);
        count_usage(kind.as_str(), &reply);
        Ok(reply)
    }
}

/// Counts the reply of a model that no provider has.
fn builtin(reply: Reply) -> Reply {
    count_usage(ModelName::BUILTIN, &reply);
    reply
}

/// `builtin.echo`: what the user said last, verbatim.
fn echo(ask: &Ask<'_>) -> Reply {
    Reply {
        text: chat::last_input(ask.conversation).to_owned(),
        finish_reason: Some("stop".to_owned()),
        ..Reply::default()
    }
}
