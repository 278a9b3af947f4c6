//! From happenings to messages that the broker has.

use std::sync::Arc;

use recado_broker::{PublishError, Publisher};
use recado_clock::Clock;
use recado_intake::channel::Incoming;
use recado_intake::payload::{self, PayloadLimits};
use recado_intake::sender::{self, Judged};
use recado_intake::{CompiledTrigger, Refusal, message};
use recado_messages::{ExecutionRequested, Inbound, Message, MessageReceived};
use recado_store::sources::{LeftOut, SourceKind};
use recado_store::{Store, StoreError, members};
use recado_trace::spans;
use tracing::Span;

use crate::metrics::{LEFT_OUT, PUBLISHED};

/// How many messages are on their way to the broker at a time: what is given to it together may be
/// published in spite of one that was not.
pub(crate) const FLIGHT: usize = 256;

/// The way out of a source.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    pub(crate) publisher: Publisher,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A message that is to be published, and by which queue.
pub(crate) struct Outgoing {
    pub(crate) message: Inbound,
    buffer: Option<recado_types::buffer::BufferPolicy>,
}

impl Outlet {
    /// The message that a happening becomes; `None` if it becomes none. A webhook would have been
    /// refused for the same reason; here that goes to `left_out`, which its tenant can see.
    pub(crate) async fn prepare(
        &self,
        kind: SourceKind,
        trigger: &CompiledTrigger,
        incoming: &Incoming,
        left_out: &mut LeftOut,
    ) -> Result<Option<Outgoing>, StoreError> {
        match self.message(trigger, incoming).await? {
            Ok(message) => {
                let buffer = trigger.config.execution.buffer.as_ref().map(|it| it.policy);
                Ok(Some(Outgoing { message, buffer }))
            }
            Err(refusal) => {
                LEFT_OUT.with_label_values(&[kind.as_str(), refusal.code()]).inc();
                left_out.add(refusal.to_string());
                Ok(None)
            }
        }
    }

    async fn message(
        &self,
        trigger: &CompiledTrigger,
        incoming: &Incoming,
    ) -> Result<Result<Inbound, Refusal>, StoreError> {
        if let Err(refusal) = payload::check(&incoming.payload, PayloadLimits::default()) {
            return Ok(Err(refusal));
        }
        let mapping = &trigger.config.context_mapping;
        let mut context = match message::context_of(mapping, &incoming.payload) {
            Ok(context) => context,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match sender::judge(trigger, incoming, &context) {
            Ok(Judged::Admitted(_)) => {}
            Ok(Judged::Ask(asked)) => {
                let tenant = trigger.tenant_id;
                let member = members::find(&self.store, tenant, asked.column, &asked.key).await?;
                let Some(member) = member else { return Ok(Err(Refusal::SenderDenied)) };
                asked.is(member.id.to_string(), &member.name, &mut context);
            }
            Err(refusal) => return Ok(Err(refusal)),
        }
        Ok(message::of_happening(trigger, incoming, context, &*self.clock))
    }

    /// Publishes messages in their order and waits for their confirms. After the first that is not
    /// confirmed nothing more is published: what comes after it would be executed before it.
    ///
    /// Answers how many at the beginning are published, and the error if those are not all.
    pub(crate) async fn publish(
        &self,
        kind: SourceKind,
        mut outgoing: Vec<Outgoing>,
    ) -> (usize, Option<PublishError>) {
        let mut n_published = 0;
        while !outgoing.is_empty() {
            let rest = outgoing.split_off(outgoing.len().min(FLIGHT));
            for outcome in self.publish_flight(kind, outgoing).await {
                match outcome {
                    Ok(()) => n_published += 1,
                    Err(error) => return (n_published, Some(error)),
                }
            }
            outgoing = rest;
        }
        (n_published, None)
    }

    /// As many as the broker is given at a time.
    async fn publish_flight(
        &self,
        kind: SourceKind,
        outgoing: Vec<Outgoing>,
    ) -> Vec<Result<(), PublishError>> {
        let is_buffered: Vec<bool> = outgoing.iter().map(|it| it.buffer.is_some()).collect();
        let (mut received, mut requested) = (Vec::new(), Vec::new());
        for Outgoing { message, buffer } in outgoing {
            match buffer {
                Some(buffer) => received.push(MessageReceived { message, buffer }),
                // The separator is of no effect on a single message.
                None => requested.push(ExecutionRequested {
                    messages: vec![message],
                    separator: "\n".into(),
                    reply_to: None,
                }),
            }
        }
        // Nobody asked us: this is where traces begin, one for each message.
        let (received, requested) = (fired(kind, received), fired(kind, requested));
        let (received, requested) = tokio::join!(
            self.publisher.publish_each(&received),
            self.publisher.publish_each(&requested)
        );
        let n_published = received.iter().chain(&requested).filter(|it| it.is_ok()).count();
        PUBLISHED.with_label_values(&[kind.as_str()]).inc_by(n_published as u64);
        let (mut received, mut requested) = (received.into_iter(), requested.into_iter());
        let mut next = |is_buffered| {
            if is_buffered { received.next() } else { requested.next() }
        };
        let outcome = |is_buffered| next(is_buffered).unwrap_or(Err(PublishError::Unavailable));
        is_buffered.into_iter().map(outcome).collect()
    }
}

/// Each message with the span of publishing it, below that of what fired.
fn fired<M: Message>(kind: SourceKind, messages: Vec<M>) -> Vec<(M, Span)> {
    let span = || {
        let send = || spans::send(recado_broker::sending::<M>(1));
        spans::fire(kind.as_str()).in_scope(send)
    };
    messages.into_iter().map(|message| (message, span())).collect()
}
