//! Dead letters: looked at, sent to work again, or thrown away.
//!
//! They live in the `<queue>.dlq` of the broker and nowhere else. Looking means to get them without
//! acknowledging them and to put them back, so for the time of a look, which is bounded, they are
//! not to be had; those who look take turns.
//!
//! * Redriving loses nothing: a dead letter is removed after the broker has confirmed that it is
//!   in its work queue. If the connection is lost between the two it is in both, under the same
//!   message id, which handlers are prepared for.
//! * It goes to the end of its queue, behind what came since.
//! * A connection is made for each call and closed again: nobody who does not ask for dead letters
//!   depends on the broker because of them.

mod letter;
mod look;
mod settle;
mod turn;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use recado_types::{DeadLetterId, TenantId};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::Config;
use crate::connection::ConnectionError;
use crate::topology::{self, Queue};

pub use letter::DeadLetter;
use look::Look;
pub use settle::{Chosen, Left, Outcome, Settled};
use turn::Turn;

/// How long all queues together are looked at, so that somebody who waits for the answer gets one
/// even from a broker that is slow.
const LOOK_FOR: Duration = Duration::from_secs(10);

/// How long one waits for the others. A look takes less, as a rule far less.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why dead letters cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLettersError {
    /// The broker is away, does not answer, or was lost on the way. Nothing was removed.
    #[error("the broker cannot be reached")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Others look at them, and did not finish in time.
    #[error("somebody else looks at the dead letters")]
    Busy,
}

impl From<ConnectionError> for DeadLettersError {
    fn from(error: ConnectionError) -> Self {
        Self::Unavailable(error.into())
    }
}

/// Which dead letters somebody may see.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Those that come from these queues,
    pub queues: &'a [Queue],
    /// and, if a tenant is given, say in their body that they are that tenant's.
    pub tenant: Option<TenantId>,
}

impl Scope<'static> {
    /// Everything there is.
    pub const ALL: Self = Self { queues: topology::QUEUES, tenant: None };
}

impl Scope<'_> {
    fn includes(&self, letter: &DeadLetter) -> bool {
        self.tenant.is_none() || self.tenant == letter.tenant_id
    }
}

/// What was seen by one look through the queues, as it was then.
#[derive(Debug, Default)]
pub struct Survey {
    /// In the order of [`Listed::letters`].
    letters: Vec<DeadLetter>,
    /// The queues in which there are more.
    not_seen_whole: Vec<&'static str>,
}

impl Survey {
    /// At most `limit` of those in `scope`, oldest first.
    pub fn list(&self, scope: &Scope<'_>, limit: usize) -> Listed {
        let is_in = |queue: &'static str| scope.queues.iter().any(|it| it.name == queue);
        let mut seen = self.letters.iter().filter(|it| is_in(it.queue) && scope.includes(it));
        let letters: Vec<DeadLetter> = seen.by_ref().take(limit).cloned().collect();
        let more = seen.next().is_some() || self.not_seen_whole.iter().copied().any(is_in);
        Listed { letters, more }
    }
}

/// Some dead letters.
#[derive(Debug, Default)]
pub struct Listed {
    /// Those that were published first come first; those of one queue and second in its order.
    pub letters: Vec<DeadLetter>,
    /// Whether there are, or may be, more than these.
    pub more: bool,
}

/// A dead letter with its body.
#[derive(Debug)]
pub struct Found {
    /// What is known about it.
    pub letter: DeadLetter,
    /// Its bytes, as they were published.
    pub body: Vec<u8>,
}

/// The dead letters of one broker. Nothing is connected until something is asked for.
///
/// Of each queue the oldest 1,000, and at most 32 MiB of them, are looked at; of all queues as
/// many as 10 s suffice for. Those behind become visible when these are settled. Waiting for one's
/// turn takes 10 s at most, unless [`Self::with_patience`] says otherwise, and connecting 10 s.
///
/// Clones take turns with each other.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    config: Config,
    patience: Duration,
    turns: Arc<Mutex<()>>,
}

impl DeadLetters {
    /// For the broker that `config` leads to.
    pub fn new(config: Config) -> Self {
        Self { config, patience: PATIENCE, turns: Arc::default() }
    }

    /// The same, but waits so long for its turn.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// At most `limit` of the dead letters in `scope`, oldest first.
    pub async fn list(&self, scope: &Scope<'_>, limit: usize) -> Result<Listed, DeadLettersError> {
        Ok(self.look_through(scope, limit).await?.list(scope, limit))
    }

    /// All that can be seen, of everybody: for one who is asked more often than there should be
    /// looks.
    pub async fn survey(&self) -> Result<Survey, DeadLettersError> {
        self.look_through(&Scope::ALL, usize::MAX).await
    }

    /// At most `limit` of each queue.
    async fn look_through(
        &self,
        scope: &Scope<'_>,
        limit: usize,
    ) -> Result<Survey, DeadLettersError> {
        let turn = self.turn().await?;
        let until = Instant::now() + LOOK_FOR;
        let mut survey = Survey::default();
        for queue in scope.queues {
            let Some(mut look) = Look::open(&turn.connection, queue, until).await? else {
                continue;
            };
            let mut n_listed = 0;
            while n_listed < limit
                && let Some(delivery) = look.next().await?
            {
                let letter = DeadLetter::of(&delivery, queue);
                if scope.includes(&letter) {
                    n_listed += 1;
                    survey.letters.push(letter);
                }
            }
            if look.n_behind() > 0 {
                survey.not_seen_whole.push(queue.name);
            }
            look.close().await?;
        }
        turn.end().await;
        // Stable: what was published in the same second keeps its place.
        survey.letters.sort_by_key(|letter| letter.published_at);
        Ok(survey)
    }

    /// The first dead letter in `scope` that has this id.
    pub async fn find(
        &self,
        scope: &Scope<'_>,
        id: DeadLetterId,
    ) -> Result<Option<Found>, DeadLettersError> {
        let turn = self.turn().await?;
        let until = Instant::now() + LOOK_FOR;
        let mut found = None;
        for queue in scope.queues {
            let Some(mut look) = Look::open(&turn.connection, queue, until).await? else {
                continue;
            };
            while found.is_none()
                && let Some(delivery) = look.next().await?
            {
                let letter = DeadLetter::of(&delivery, queue);
                if letter.id == id && scope.includes(&letter) {
                    found = Some(Found { letter, body: delivery.data });
                }
            }
            look.close().await?;
            if found.is_some() {
                break;
            }
        }
        turn.end().await;
        Ok(found)
    }

    async fn turn(&self) -> Result<Turn<'_>, DeadLettersError> {
        Turn::wait(&self.config, &self.turns, self.patience).await
    }
}
