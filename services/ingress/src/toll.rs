//! What a webhook pays before it is published: the limits of its tenant, trigger and sender, the
//! claim of its id, and a place among what its tenant has in flight.
//!
//! It is one round trip to Redis at most. While Redis is away, the limits go on as well as one
//! instance can tell, and the id is looked for in the database.

mod gate;
mod rate_state;
mod shares;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use recado_clock::Clock;
use recado_intake::CompiledTrigger;
use recado_kv::Kv;
use recado_messages::Inbound;
use recado_store::{Store, messages};
use recado_types::{Fingerprint, MessageId, TenantId};
use tokio::time::{Instant, timeout};

use crate::config::Limits;
use crate::metrics::TOLLS;
use crate::refusal::Refusal;
use gate::{Gate, PerMinute, Verdict};
pub(crate) use shares::Share;
use shares::Shares;

pub(crate) use rate_state::RateState;

/// How many messages of a batch are on their way to the broker at a time, at most.
const MAX_TOGETHER: usize = 64;

/// How long the database may take to say whether it knows an id. It is about a sender's mistake,
/// which must not make everybody wait.
const LOOK_UP_WITHIN: Duration = Duration::from_millis(300);

/// How long the database is not asked after it did not answer.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(1);

/// That a message has paid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receipt {
    /// How the limit stands that has the least left.
    pub(crate) rate: Option<RateState>,
    /// The id that is this message's since it paid, and was nobody's before.
    claimed: Option<(MessageId, Fingerprint)>,
    /// Whether the id is known to be this message's since earlier.
    pub(crate) is_repeated: bool,
}

/// Where messages pay.
#[derive(Debug)]
pub(crate) struct Toll {
    gate: Gate,
    shares: Arc<Shares>,
    waiting: Arc<Shares>,
    store: Store,
    tenant_per_minute: Option<u32>,
    /// The database is not asked before; see [`LEFT_ALONE_FOR`].
    ask_after: Mutex<Option<Instant>>,
}

impl Toll {
    /// Counts in `kv`, and asks `store` for what `kv` cannot tell.
    pub(crate) fn new(kv: Kv, store: Store, limits: Limits) -> Self {
        Self {
            gate: Gate::new(kv),
            shares: Shares::of(limits.max_publishing),
            waiting: Shares::of(limits.max_connections),
            store,
            tenant_per_minute: limits.tenant_per_minute,
            ask_after: Mutex::default(),
        }
    }

    /// A place in flight for a message of `tenant`, to be held until it is published. It is asked
    /// for before the message pays, so that one that gets none has paid nothing.
    pub(crate) fn share(&self, tenant: TenantId) -> Result<Share, Refusal> {
        acquire(&self.shares, tenant)
    }

    /// A place among those who wait for an answer, for somebody of `tenant`: who waits holds a
    /// connection.
    pub(crate) fn waiting_share(&self, tenant: TenantId) -> Result<Share, Refusal> {
        acquire(&self.waiting, tenant)
    }

    /// Lets `message` pay. `sender` is who sent it, if that is known, and in the one way that is
    /// spelled.
    pub(crate) async fn pay(
        &self,
        trigger: &CompiledTrigger,
        sender: Option<&str>,
        message: &Inbound,
        clock: &dyn Clock,
    ) -> Result<Receipt, Refusal> {
        let limits = self.limits(trigger);
        let claim = message.fingerprint.map(|fingerprint| (message.id, fingerprint));
        let paid = self.gate.pay(trigger.tenant_id, trigger.id, sender, &limits, claim).await;
        let (rate, claimed, is_repeated) = match paid {
            Verdict::Go { rate } => (rate, claim, false),
            // It is published again: the first one may never have been. The database makes it one.
            Verdict::Duplicate { rate } => (rate, None, true),
            Verdict::Conflict => return Err(Refusal::IdempotencyConflict),
            Verdict::Unknown { rate } => (rate, None, self.is_recorded(message).await?),
            Verdict::Limited(refused) => {
                return Err(Refusal::RateLimited {
                    limited: RateState::limited(&refused, clock.now()),
                });
            }
        };
        let rate = rate.map(|rate| RateState::admitted(&rate, clock.now()));
        Ok(Receipt { rate, claimed, is_repeated })
    }

    /// Gives up what a message claimed that was certainly not published, so that its id is free for
    /// another content.
    pub(crate) async fn refund(&self, receipt: Receipt) {
        if let Some((message_id, fingerprint)) = receipt.claimed {
            self.gate.release(message_id, fingerprint).await;
        }
    }

    /// Whether a message is recorded; refuses one whose id is with another content. If the database
    /// is away too, nobody can tell; of two messages with one id it will keep the first.
    async fn is_recorded(&self, message: &Inbound) -> Result<bool, Refusal> {
        let recorded = self.recorded(message.id).await;
        if recorded.is_some() && recorded != message.fingerprint {
            return Err(Refusal::IdempotencyConflict);
        }
        Ok(recorded.is_some())
    }

    /// An error if the tenant or the trigger is known to admit nothing at present.
    pub(crate) async fn check(
        &self,
        trigger: &CompiledTrigger,
        clock: &dyn Clock,
    ) -> Result<(), Refusal> {
        let limits = self.limits(trigger);
        match self.gate.known(trigger.tenant_id, trigger.id, &limits).await {
            None => Ok(()),
            Some(refused) => {
                let limited = RateState::limited(&refused, clock.now());
                Err(Refusal::RateLimited { limited })
            }
        }
    }

    fn limits(&self, trigger: &CompiledTrigger) -> PerMinute {
        PerMinute {
            tenant: self.tenant_per_minute,
            trigger: trigger.config.rate_limit.per_minute,
            sender: trigger.config.rate_limit.per_sender_per_minute,
        }
    }

    /// How many messages of a batch may be on their way at a time, so that it fits its tenant's
    /// share with room for others.
    pub(crate) fn batch_size(&self) -> usize {
        (self.shares.each() / 2).clamp(1, MAX_TOGETHER)
    }

    /// The fingerprint under which an id is recorded, as far as the database tells in time.
    async fn recorded(&self, id: MessageId) -> Option<Fingerprint> {
        if self.ask_after().is_some_and(|after| Instant::now() < after) {
            return None;
        }
        let asked = Box::pin(messages::fingerprint(&self.store, id));
        let error: Box<dyn std::error::Error> = match timeout(LOOK_UP_WITHIN, asked).await {
            Ok(Ok(recorded)) => return recorded.and_then(|recorded| recorded.fingerprint),
            Ok(Err(error)) => error.into(),
            Err(elapsed) => elapsed.into(),
        };
        tracing::debug!(error = &*error, message.id = %id, "{id} is not looked up");
        *self.ask_after.lock().expect("no holder of this lock panics") =
            Some(Instant::now() + LEFT_ALONE_FOR);
        None
    }

    fn ask_after(&self) -> Option<Instant> {
        *self.ask_after.lock().expect("no holder of this lock panics")
    }
}

fn acquire(shares: &Arc<Shares>, tenant: TenantId) -> Result<Share, Refusal> {
    shares.acquire(tenant).map_err(|retry_in| {
        count("limited_by_share");
        Refusal::RateLimited { limited: RateState::of_share(retry_in) }
    })
}

fn count(outcome: &str) {
    TOLLS.with_label_values(&[outcome]).inc();
}
