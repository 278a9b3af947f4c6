//! From an authentic request to messages that the broker has.
//!
//! Each message is prepared (whose, from whom, what, how much of it) before it costs anything, then
//! pays its toll, and is then handed over. Most requests hold one; those of a batch are handed over
//! together, in their order.

use recado_intake::auth::Received;
use recado_intake::channel::{Arrival, Incoming};
use recado_intake::{CompiledTrigger, answer, message};
use recado_messages::Inbound;
use recado_types::{ExecutionId, MessageId, SessionId, identity};
use serde_json::Value;

use crate::ingress::{Body, Ingress};
use crate::metrics::LEFT_OUT;
use crate::outbox::{HandOverError, Outgoing};
use crate::refusal::Refusal;
use crate::sync::Expected;
use crate::toll::{RateState, Receipt, Share};
use crate::trigger::KnownTrigger;

/// What became of an authentic request.
pub(crate) enum Taken<'a> {
    /// There was nothing to do.
    Notice(answer::Answer),
    /// The broker has these messages, in order; of a batch, those that could be taken.
    Messages(Vec<Accepted<'a>>),
}

/// A message that the broker has.
pub(crate) struct Accepted<'a> {
    pub(crate) message_id: MessageId,
    pub(crate) session_id: SessionId,
    /// How much the sender may still send, if there is a limit.
    pub(crate) rate: Option<RateState>,
    /// The answer to wait for, if that was asked for.
    pub(crate) expected: Option<Expected<'a>>,
    /// Whether nobody had written in the session before, if that was asked for.
    pub(crate) is_new_session: bool,
}

impl Accepted<'_> {
    /// The execution it becomes, provided that it does not join one that begins with another.
    pub(crate) fn execution_id(&self) -> ExecutionId {
        self.told().execution_id()
    }

    /// What its sender is told of it.
    pub(crate) fn told(&self) -> answer::Accepted {
        answer::Accepted { message_id: self.message_id, session_id: self.session_id }
    }
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

/// A message that has paid and is not handed over yet.
struct Prepared<'a> {
    message: Inbound,
    receipt: Receipt,
    reply_to: Option<String>,
    /// What is known of it once it is handed over.
    accepted: Accepted<'a>,
    share: Share,
}

impl Ingress {
    /// Hands over what an authentic request holds, and finds out what the sender is to be told.
    pub(crate) async fn take(
        &self,
        trigger: &KnownTrigger,
        request: &Received<'_>,
        body: &Body,
        payload: Value,
        telling: Telling,
    ) -> Result<Taken<'_>, Refusal> {
        // A tenant over its limit must cost the others nothing.
        self.toll.check(trigger, &*self.clock).await?;
        let incoming = match self.interpret(trigger, request, body, payload).await? {
            Arrival::Messages(incoming) => incoming,
            Arrival::Notice(answer) => return Ok(Taken::Notice(answer)),
        };
        let mut accepted = Vec::with_capacity(incoming.len());
        for together in incoming.chunks(self.toll.batch_size()) {
            let (prepared, refusal) = self.prepare_all(trigger, request, together, telling).await;
            // Whatever became of one, those before it are paid for.
            accepted.extend(self.hand_over_all(trigger, prepared).await?);
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
        }
        Ok(Taken::Messages(accepted))
    }

    /// Prepares messages up to the first one that ends the request, and says why it does.
    async fn prepare_all(
        &self,
        trigger: &KnownTrigger,
        request: &Received<'_>,
        messages: &[Incoming],
        telling: Telling,
    ) -> (Vec<Prepared<'_>>, Option<Refusal>) {
        let mut prepared = Vec::with_capacity(messages.len());
        for incoming in messages {
            if messages.len() > 1 {
                // The expressions of a batch may take a while; others are served in between.
                tokio::task::yield_now().await;
            }
            match Box::pin(self.prepare(trigger, request, incoming, telling)).await {
                Ok(message) => prepared.push(message),
                Err(refusal) if may_be_left_out(trigger, &refusal) => leave_out(trigger, &refusal),
                Err(refusal) => return (prepared, Some(refusal)),
            }
        }
        (prepared, None)
    }

    async fn prepare(
        &self,
        trigger: &KnownTrigger,
        request: &Received<'_>,
        incoming: &Incoming,
        telling: Telling,
    ) -> Result<Prepared<'_>, Refusal> {
        let mapping = &trigger.config.context_mapping;
        let mut context = message::context_of(mapping, &incoming.payload)?;
        let sender = self.senders.admit(trigger, incoming, &mut context).await?;
        let message =
            message::normalise(trigger, request.headers, incoming, context, &*self.clock)?;
        // However it is spelled, a sender is the same one.
        let sender = sender.map(|sender| identity::any_key(&sender).unwrap_or(sender));
        // Places before payment: who gets none has paid nothing.
        let share = self.toll.share(trigger.tenant_id)?;
        let waits = telling == Telling::Answer;
        let place = waits.then(|| self.toll.waiting_share(trigger.tenant_id)).transpose()?;
        let receipt = self.toll.pay(trigger, sender.as_deref(), &message, &*self.clock).await?;
        // What was accepted before the quota was used up may be sent again.
        if !receipt.is_repeated
            && let Err(refusal) = trigger.within_quota(self.clock.now())
        {
            self.toll.refund(receipt).await;
            return Err(refusal);
        }
        let mut accepted = Accepted {
            message_id: message.id,
            session_id: message.session_id,
            rate: receipt.rate,
            expected: None,
            is_new_session: false,
        };
        let mut reply_to = None;
        // Before anybody can act on the message.
        if let Some(place) = place {
            accepted.expected = Some(self.answers.expect(&message, place));
            reply_to = Some(self.answers.address());
        }
        if telling == Telling::Novelty {
            let (tenant, session) = (trigger.tenant_id, message.session_id);
            accepted.is_new_session = self.novelty.is_new(tenant, session, message.id).await;
        }
        Ok(Prepared { message, receipt, reply_to, accepted, share })
    }

    /// Hands over all of them at once, which keeps the order of each session.
    async fn hand_over_all<'s>(
        &'s self,
        trigger: &CompiledTrigger,
        prepared: Vec<Prepared<'s>>,
    ) -> Result<Vec<Accepted<'s>>, Refusal> {
        let mut outgoing = Vec::with_capacity(prepared.len());
        let mut waiting = Vec::with_capacity(prepared.len());
        for Prepared { message, receipt, reply_to, accepted, share } in prepared {
            outgoing.push(Outgoing { message, reply_to });
            waiting.push((receipt, accepted, share));
        }
        let buffer = trigger.config.execution.buffer.as_ref();
        let outcomes = self.outbox.hand_over(outgoing, buffer).await;
        let mut handed = Vec::with_capacity(waiting.len());
        let mut refused = None;
        for (outcome, (receipt, accepted, _share)) in outcomes.into_iter().zip(waiting) {
            match self.settle(trigger, outcome, receipt, accepted).await {
                Ok(accepted) => handed.push(accepted),
                Err(refusal) if may_be_left_out(trigger, &refusal) => leave_out(trigger, &refusal),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        refused.map_or(Ok(handed), Err)
    }

    /// Takes back what a message paid that was certainly not published.
    async fn settle<'s>(
        &self,
        trigger: &CompiledTrigger,
        outcome: Result<(), HandOverError>,
        receipt: Receipt,
        accepted: Accepted<'s>,
    ) -> Result<Accepted<'s>, Refusal> {
        if let Err(error) = outcome {
            if !error.is_outcome_unknown() {
                self.toll.refund(receipt).await;
            }
            return Err(error.into());
        }
        tracing::debug!(
            tenant.id = %trigger.tenant_id,
            trigger.id = %trigger.id,
            session.id = %accepted.session_id,
            message.id = %accepted.message_id,
            "accepted message {}",
            accepted.message_id
        );
        Ok(accepted)
    }
}

/// Whether the rest of a batch may go on without the message that is refused.
fn may_be_left_out(trigger: &CompiledTrigger, refusal: &Refusal) -> bool {
    trigger.channel.sends_batches() && refusal.is_the_messages()
}

fn leave_out(trigger: &CompiledTrigger, refusal: &Refusal) {
    let code = refusal.code();
    LEFT_OUT.with_label_values(&[code]).inc();
    tracing::debug!(
        trigger.id = %trigger.id,
        refusal.code = code,
        "a message of a batch is left out: {code}"
    );
}
