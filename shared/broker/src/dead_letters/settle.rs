//! Taking dead letters out of their queue: back to work, or away.

use std::collections::{BTreeMap, BTreeSet};

use lapin::message::Delivery;
use lapin::{Channel, Confirmation};
use recado_types::DeadLetterId;
use tokio::time::{Instant, timeout};

use super::look::Look;
use super::{DeadLetter, DeadLetters, DeadLettersError, LOOK_FOR, Scope};
use crate::connection::{Connection, ConnectionError};
use crate::parcel::Parcel;
use crate::publisher::PublishError;
use crate::topology::Queue;

/// Which dead letters of a scope are meant.
#[derive(Clone, Copy, Debug)]
pub enum Chosen<'a> {
    /// Those with these ids; of several with the same id the first one.
    Ids(&'a [DeadLetterId]),
    /// All that are there at the beginning.
    All,
    /// Those that an earlier call left. Who goes on with what is left comes to an end, even if
    /// what was redriven is given up again meanwhile: that stands behind them.
    Rest(&'a Left),
}

/// How many dead letters of each queue were there at the beginning and were not looked at, because
/// there are more of them than are looked at in one go.
#[derive(Clone, Debug, Default)]
pub struct Left(BTreeMap<&'static str, usize>);

impl Left {
    /// Whether there is nothing to go on with.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What became of a dead letter.
#[derive(Debug)]
pub enum Outcome {
    /// It is not a dead letter any more.
    Done,
    /// There is none with this id, or none as far as was looked.
    NotFound,
    /// It stays where it is. If [`PublishError::is_outcome_unknown`], it may be in its work queue
    /// too.
    Failed(PublishError),
}

/// What became of those that were meant.
#[derive(Debug, Default)]
pub struct Settled {
    /// One for each id that was given, or for each dead letter there was.
    pub outcomes: Vec<(DeadLetterId, Outcome)>,
    /// Whether there are, or may be, more that were there at the beginning.
    pub more: bool,
    /// These, for [`Chosen::Rest`]; nothing if the broker was lost on the way.
    pub left: Left,
}

impl DeadLetters {
    /// Sends dead letters back to their queue, where they stand behind everything else and have
    /// all their attempts again.
    ///
    /// If the broker is lost on the way, the outcomes say which of them were sent.
    ///
    /// # Errors
    /// If nothing was done.
    pub async fn redrive(
        &self,
        scope: &Scope<'_>,
        chosen: Chosen<'_>,
    ) -> Result<Settled, DeadLettersError> {
        let turn = self.turn().await?;
        let publishing = turn.connection.publishing_channel().await?;
        let mut order = Order::new(chosen);
        let fate = Fate::Work { publishing: &publishing };
        let carried_out = self.carry_out(&mut order, scope, &turn.connection, &fate).await;
        if let Err(error) = carried_out {
            if order.settled.outcomes.is_empty() {
                return Err(error.into());
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the broker was lost while dead letters were redriven"
            );
            return Ok(order.broken_off());
        }
        turn.end().await;
        Ok(order.finished())
    }

    /// Throws dead letters away: nothing of them is left.
    ///
    /// # Errors
    /// If it is not certain what was thrown away. Then it can be tried again.
    pub async fn discard(
        &self,
        scope: &Scope<'_>,
        chosen: Chosen<'_>,
    ) -> Result<Settled, DeadLettersError> {
        let turn = self.turn().await?;
        let mut order = Order::new(chosen);
        self.carry_out(&mut order, scope, &turn.connection, &Fate::Nothing).await?;
        turn.end().await;
        Ok(order.finished())
    }

    async fn carry_out(
        &self,
        order: &mut Order,
        scope: &Scope<'_>,
        connection: &Connection,
        fate: &Fate<'_>,
    ) -> Result<(), ConnectionError> {
        let until = Instant::now() + LOOK_FOR;
        for queue in scope.queues {
            if order.is_complete() {
                break;
            }
            let most = order.most_of(queue);
            if most == Some(0) {
                continue;
            }
            let Some(mut look) = Look::open(connection, queue, until).await? else {
                continue;
            };
            if let Some(most) = most {
                look.only_what_is_there(most);
            }
            while !order.is_complete()
                && let Some(delivery) = look.next().await?
            {
                let letter = DeadLetter::of(&delivery, queue);
                if scope.includes(&letter) && order.takes(letter.id) {
                    self.settle(order, &letter, &delivery, queue, &mut look, fate).await?;
                }
            }
            order.leave(queue, look.n_behind());
            look.close().await?;
        }
        Ok(())
    }

    async fn settle(
        &self,
        order: &mut Order,
        letter: &DeadLetter,
        delivery: &Delivery,
        queue: &Queue,
        look: &mut Look,
        fate: &Fate<'_>,
    ) -> Result<(), ConnectionError> {
        if let Fate::Work { publishing } = fate
            && let Err(error) = self.send_to_work(delivery, queue, publishing).await
        {
            let is_lost = error.is_outcome_unknown();
            order.settled.outcomes.push((letter.id, Outcome::Failed(error)));
            // Whether the broker hangs or is gone: the next one would fare no better.
            return if is_lost { Err(ConnectionError::Lost(None)) } else { Ok(()) };
        }
        // First, since a message that was sent was sent, even if it stays here as well.
        order.settled.outcomes.push((letter.id, Outcome::Done));
        look.remove(delivery).await?;
        tracing::info!(
            dead_letter.id = %letter.id,
            dead_letter.fate = fate.word(),
            dead_letter.reason = letter.reason,
            messaging.destination.name = queue.name,
            tenant.id = letter.tenant_id.map(tracing::field::display),
            "a dead letter of {} was {}", queue.name, fate.word()
        );
        Ok(())
    }

    /// Publishes a copy to the work queue and waits for the broker's word. One at a time, so that
    /// what comes back can be no other.
    async fn send_to_work(
        &self,
        delivery: &Delivery,
        queue: &Queue,
        publishing: &Channel,
    ) -> Result<(), PublishError> {
        let parcel = Parcel::redriven(delivery, queue);
        match timeout(self.config.publish_timeout, parcel.publish(publishing)).await {
            Ok(Ok(Confirmation::Ack(None))) => Ok(()),
            Ok(Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)))) => {
                Err(PublishError::Unroutable)
            }
            Ok(Ok(Confirmation::Nack(None) | Confirmation::NotRequested)) => {
                Err(PublishError::Refused)
            }
            Ok(Err(_lost)) => Err(PublishError::Disconnected),
            Err(_elapsed) => Err(PublishError::Timeout),
        }
    }
}

/// What dead letters are taken out for.
enum Fate<'a> {
    Work { publishing: &'a Channel },
    Nothing,
}

impl Fate<'_> {
    fn word(&self) -> &'static str {
        match self {
            Self::Work { .. } => "redriven",
            Self::Nothing => "discarded",
        }
    }
}

/// What was asked for, and what has become of it.
struct Order {
    /// Those that have not come up yet; `None` if all are meant.
    wanted: Option<BTreeSet<DeadLetterId>>,
    /// How many of each queue are meant; `None` if as many as there are.
    rest: Option<Left>,
    settled: Settled,
}

impl Order {
    fn new(chosen: Chosen<'_>) -> Self {
        let (wanted, rest) = match chosen {
            Chosen::Ids(ids) => (Some(ids.iter().copied().collect()), None),
            Chosen::All => (None, None),
            Chosen::Rest(rest) => (None, Some(rest.clone())),
        };
        Self { wanted, rest, settled: Settled::default() }
    }

    /// How many of this queue are meant, from its head on; `None` if single ones are.
    fn most_of(&self, queue: &Queue) -> Option<usize> {
        let of_rest = |rest: &Left| rest.0.get(queue.name).copied().unwrap_or_default();
        self.wanted.is_none().then(|| self.rest.as_ref().map_or(usize::MAX, of_rest))
    }

    /// So many of this queue were not looked at.
    fn leave(&mut self, queue: &Queue, n_behind: usize) {
        if n_behind > 0 {
            self.settled.more = true;
            self.settled.left.0.insert(queue.name, n_behind);
        }
    }

    fn is_complete(&self) -> bool {
        self.wanted.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// Whether this one is meant. Asked once for each.
    fn takes(&mut self, id: DeadLetterId) -> bool {
        self.wanted.as_mut().is_none_or(|wanted| wanted.remove(&id))
    }

    /// Everything was looked at.
    fn finished(self) -> Settled {
        self.with_rest(|| Outcome::NotFound)
    }

    /// It came to a sudden end.
    fn broken_off(mut self) -> Settled {
        self.settled.more = true;
        self.settled.left = Left::default();
        self.with_rest(|| Outcome::Failed(PublishError::Unavailable))
    }

    fn with_rest(mut self, outcome: impl Fn() -> Outcome) -> Settled {
        let rest = self.wanted.unwrap_or_default().into_iter().map(|id| (id, outcome()));
        self.settled.outcomes.extend(rest);
        self.settled
    }
}
