//! From a request to messages that the broker has: what all surfaces share.
//!
//! A surface (`surface/`) is a route: which trigger it means, how it is guarded beyond the
//! trigger's own checks, and in which form it answers. Everything between is here.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::web::{Bytes, Payload};
use recado_clock::Clock;
use recado_messages::Inbound;
use recado_types::identity;
use recado_types::trigger::{QueryExtraction, TriggerConfig};
use recado_types::{ExecutionId, MessageId, SessionId, TenantId, TriggerId};
use serde_json::Value;

use crate::answer::Answer;
use crate::auth::{self, ApiKeys, Received};
use crate::channel::{Arrival, Incoming};
use crate::config::Limits;
use crate::metrics::{BODY_BYTES, LEFT_OUT};
use crate::outbox::Outbox;
use crate::public_url::PublicUrl;
use crate::refusal::Refusal;
use crate::sender::Senders;
use crate::sync::{Answers, Expected};
use crate::toll::{RateState, Toll};
use crate::trigger::{CompiledTrigger, Triggers};
use crate::{body, message, payload};

/// Everything a request needs. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Ingress {
    pub(crate) limits: Limits,
    pub(crate) public_url: PublicUrl,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) api_keys: Arc<ApiKeys>,
    pub(crate) senders: Arc<Senders>,
    pub(crate) toll: Toll,
    pub(crate) outbox: Outbox,
    pub(crate) answers: Answers,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What became of an authentic request.
pub(crate) enum Taken<'a> {
    /// There was nothing to do.
    Notice(Answer),
    /// The broker has its messages.
    Messages(Accepted<'a>),
}

/// Messages that the broker has.
pub(crate) struct Accepted<'a> {
    /// In order; of a batch, those that could be taken.
    pub(crate) messages: Vec<Handed>,
    /// How much the sender may still send.
    pub(crate) rate: Option<RateState>,
    /// The answer to wait for, if that was asked for.
    pub(crate) expected: Option<Expected<'a>>,
    /// Whether nobody had written in the session before, if that was asked for.
    pub(crate) is_new_session: bool,
}

/// What a surface tells the sender of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// That it is accepted.
    Acceptance,
    /// What the agent answers.
    Answer,
    /// Whether it began a session.
    Novelty,
}

/// What is left to know of a message once the broker has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handed {
    pub(crate) message_id: MessageId,
    pub(crate) session_id: SessionId,
}

impl Handed {
    /// The execution it becomes, provided that it does not join one that begins with another.
    pub(crate) fn execution_id(&self) -> ExecutionId {
        ExecutionId::of_first(self.message_id)
    }
}

impl Ingress {
    /// The trigger `id`, whether it takes messages or not.
    pub(crate) async fn trigger(&self, id: TriggerId) -> Result<Arc<CompiledTrigger>, Refusal> {
        let trigger = self.triggers.get(id).await.map_err(Refusal::Lookup)?;
        trigger.ok_or(Refusal::TriggerNotFound)
    }

    /// The body of a request, within the limits.
    pub(crate) async fn body(
        &self,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<Bytes, Refusal> {
        let Limits { max_headers, max_body, body_timeout, .. } = self.limits;
        if size_of(request.headers()) > max_headers {
            return Err(Refusal::HeadersTooLarge { max_headers });
        }
        let body = body::read(request, payload, max_body, body_timeout).await?;
        BODY_BYTES.observe(f64::from(u32::try_from(body.len()).unwrap_or(u32::MAX)));
        Ok(body)
    }

    /// A request as it was received, at this moment.
    pub(crate) fn received<'r>(&'r self, request: &'r HttpRequest, body: &'r [u8]) -> Received<'r> {
        Received {
            public_url: &self.public_url,
            path_and_query: request.uri().path_and_query().map_or("", |target| target.as_str()),
            headers: request.headers(),
            body,
            at: self.clock.now(),
        }
    }

    /// Does the request pass the trigger's own checks?
    pub(crate) async fn authenticate(
        &self,
        trigger: &CompiledTrigger,
        request: &Received<'_>,
    ) -> Result<(), Refusal> {
        auth::authenticate(trigger, request, &self.api_keys).await
    }

    /// The body as a value, as its `Content-Type` says.
    pub(crate) fn parse(
        &self,
        trigger: &CompiledTrigger,
        request: &Received<'_>,
    ) -> Result<Value, Refusal> {
        let content_type = content_type(request)?;
        let accepts_text = takes_text(&trigger.config);
        payload::parse(content_type, request.body, accepts_text, self.limits.payload)
    }

    /// Hands over what an authentic request holds, and finds out what the sender is to be told.
    pub(crate) async fn take(
        &self,
        trigger: &CompiledTrigger,
        request: &Received<'_>,
        payload: Value,
        telling: Telling,
    ) -> Result<Taken<'_>, Refusal> {
        let incoming = match trigger.channel.interpret(request, payload)? {
            Arrival::Messages(incoming) => incoming,
            Arrival::Notice(answer) => return Ok(Taken::Notice(answer)),
        };
        let mut accepted =
            Accepted { messages: Vec::new(), rate: None, expected: None, is_new_session: false };
        // One after the other: a sender's messages keep their order.
        for incoming in &incoming {
            match Box::pin(self.take_one(trigger, request, incoming, telling, &mut accepted)).await
            {
                Ok(()) => {}
                Err(refusal) if trigger.channel.sends_batches() && refusal.is_the_messages() => {
                    let code = refusal.code();
                    LEFT_OUT.with_label_values(&[code]).inc();
                    tracing::info!(
                        trigger.id = %trigger.id,
                        refusal.code = code,
                        "a message of a batch is left out: {refusal}"
                    );
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(Taken::Messages(accepted))
    }

    async fn take_one<'s>(
        &'s self,
        trigger: &CompiledTrigger,
        request: &Received<'_>,
        incoming: &Incoming,
        telling: Telling,
        accepted: &mut Accepted<'s>,
    ) -> Result<(), Refusal> {
        let config = &trigger.config;
        let mut context = message::context_of(&config.context_mapping, &incoming.payload)?;
        let sender = self.senders.admit(trigger, incoming, &mut context).await?;
        let message =
            message::normalise(trigger, request.headers, incoming, context, &*self.clock)?;
        // However it is spelled, a sender is the same one.
        let sender = sender.map(|sender| identity::any_key(&sender).unwrap_or(sender));
        let _share = self.toll.share(trigger.tenant_id)?;
        accepted.rate = self.toll.pay(trigger, sender.as_deref(), &message, &*self.clock).await?;
        let handed = Handed { message_id: message.id, session_id: message.session_id };
        // Both before anybody can act on the message.
        let waits = telling == Telling::Answer;
        let expected = waits.then(|| self.answers.expect(trigger.tenant_id, handed.execution_id()));
        let reply_to = waits.then(|| self.answers.address());
        if telling == Telling::Novelty {
            let (tenant, session) = (trigger.tenant_id, handed.session_id);
            accepted.is_new_session = self.is_new_session(tenant, session).await;
        }
        self.hand_over(config, message, reply_to).await?;
        tracing::debug!(
            tenant.id = %trigger.tenant_id,
            trigger.id = %trigger.id,
            session.id = %handed.session_id,
            message.id = %handed.message_id,
            "accepted message {}",
            handed.message_id
        );
        accepted.messages.push(handed);
        accepted.expected = expected;
        Ok(())
    }

    /// Whether nobody has written in the session before, as far as is known. While the database is
    /// away that cannot be told, and the message is accepted all the same.
    async fn is_new_session(&self, tenant: TenantId, session: SessionId) -> bool {
        match self.answers.has_session(tenant, session).await {
            Ok(exists) => !exists,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "it cannot be told whether a session is new");
                false
            }
        }
    }

    async fn hand_over(
        &self,
        config: &TriggerConfig,
        message: Inbound,
        reply_to: Option<String>,
    ) -> Result<(), Refusal> {
        let (id, fingerprint) = (message.id, message.fingerprint);
        let buffer = config.execution.buffer.as_ref();
        let handed_over = self.outbox.hand_over(message, buffer, reply_to).await;
        if let (Err(error), Some(fingerprint)) = (&handed_over, fingerprint)
            && !error.is_outcome_unknown()
        {
            self.toll.refund(id, fingerprint).await;
        }
        Ok(handed_over?)
    }
}

/// The bytes of all names and values.
fn size_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Whether a plain text may be the question.
fn takes_text(config: &TriggerConfig) -> bool {
    match &config.query_extraction {
        QueryExtraction::FullBody | QueryExtraction::Channel => true,
        QueryExtraction::Field(_) | QueryExtraction::Jmespath(_) | QueryExtraction::Template(_) => {
            false
        }
    }
}

/// What the request says its body is. One that says it unreadably says something else than we read.
fn content_type<'a>(request: &Received<'a>) -> Result<Option<&'a str>, Refusal> {
    let header = request.headers.get(CONTENT_TYPE);
    header.map(|value| value.to_str().map_err(|_not_shown| Refusal::UnsupportedType)).transpose()
}
