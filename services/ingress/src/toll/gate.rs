//! Asks Redis for what a message has to pay, and knows what to do when Redis is away.
//!
//! * Without limits and without a claim nobody is asked.
//! * A limit that said no is remembered until it may say yes, so a flood over a limit costs no
//!   call, and a tenant that floods slows nobody else. The price is that a duplicate of a message
//!   that was taken before is told to come back too, and is recognised then.
//! * While Redis is away, each instance counts for itself, from nothing and by the same rule
//!   ([`Ledger`]), and what becomes of a claim is [`Verdict::Unknown`].
//! * All memory is bounded.

#[cfg(test)]
mod tests;

use std::sync::Mutex;
use std::time::Duration;

use moka::future::Cache;
use recado_kv::toll::{Claim, Ledger, Paid, Rate, RateKey, RateKind, RateState, Refused, Toll};
use recado_kv::{Kv, KvError};
use recado_types::{Fingerprint, MessageId, TenantId, TriggerId};
use tokio::time::Instant;

use super::count;

/// How long a message's id is remembered with its fingerprint.
const CLAIMED_FOR: Duration = Duration::from_hours(24);

/// How many limits that said no are remembered, and for how long at most: a limit says no for a
/// minute.
const REMEMBERED_REFUSALS: u64 = 100_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(61);

/// How many keys an instance counts by itself; some 32 MiB, if all of them are as busy as can be.
const LOCAL_KEYS: usize = 16_384;

/// How many messages a minute are admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PerMinute {
    /// Of the whole tenant.
    pub(super) tenant: Option<u32>,
    /// Of the trigger.
    pub(super) trigger: Option<u32>,
    /// Of each sender of the trigger.
    pub(super) sender: Option<u32>,
}

impl PerMinute {
    /// The limits of a message. One without a sender has no limit by sender.
    fn rates(&self, tenant: TenantId, trigger: TriggerId, sender: Option<&str>) -> Vec<Rate> {
        let rate = |per_minute, key| Rate { key, per_minute };
        let by_sender = self.sender.zip(sender);
        [
            self.tenant.map(|it| rate(it, RateKey::Tenant(tenant))),
            self.trigger.map(|it| rate(it, RateKey::Trigger(trigger))),
            by_sender.map(|(it, sender)| rate(it, RateKey::sender(trigger, sender))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Whether a message may be published. Each `rate` is the limit with the least left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may. If it had something to claim, it is the first message with its id.
    Go { rate: Option<RateState> },
    /// It was claimed before.
    Duplicate { rate: Option<RateState> },
    /// Another message has claimed its id.
    Conflict,
    /// Its limits admit it, but nobody knows whether another message has claimed its id.
    Unknown { rate: Option<RateState> },
    /// A limit is used up.
    Limited(Refused),
}

impl Verdict {
    /// What it is called in the metrics.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Go { .. } => "admitted",
            Self::Duplicate { .. } => "duplicate",
            Self::Conflict => "conflict",
            Self::Unknown { .. } => "unknown",
            Self::Limited(refused) => match refused.state.rate.key.kind() {
                RateKind::Tenant => "limited_by_tenant",
                RateKind::Trigger => "limited_by_trigger",
                RateKind::Sender => "limited_by_sender",
            },
        }
    }
}

/// The way to Redis, and around it.
#[derive(Debug)]
pub(super) struct Gate {
    kv: Kv,
    /// By the limit as it was: one that is changed is asked again.
    refused: Cache<Rate, Pause>,
    local: Mutex<Ledger>,
    opened_at: Instant,
}

/// A limit that said no.
#[derive(Clone, Copy, Debug)]
struct Pause {
    retry_at: Instant,
    resets_at: Instant,
}

impl Gate {
    pub(super) fn new(kv: Kv) -> Self {
        let refused =
            Cache::builder().max_capacity(REMEMBERED_REFUSALS).time_to_live(REMEMBERED_FOR).build();
        let local = Mutex::new(Ledger::new(LOCAL_KEYS));
        Self { kv, refused, local, opened_at: Instant::now() }
    }

    /// Lets a message pay. `sender` is whoever sent it, in the one way that is spelled; `claim` is
    /// given if the id is one that may come again.
    pub(super) async fn pay(
        &self,
        tenant: TenantId,
        trigger: TriggerId,
        sender: Option<&str>,
        limits: &PerMinute,
        claim: Option<(MessageId, Fingerprint)>,
    ) -> Verdict {
        let rates = limits.rates(tenant, trigger, sender);
        if rates.is_empty() && claim.is_none() {
            count("free");
            return Verdict::Go { rate: None };
        }
        let verdict = match self.remembered(&rates).await {
            Some(refused) => Verdict::Limited(refused),
            None => self.ask(&rates, claim).await,
        };
        count(verdict.outcome());
        verdict
    }

    /// The limit of the tenant or the trigger that is known to admit nothing yet.
    pub(super) async fn known(
        &self,
        tenant: TenantId,
        trigger: TriggerId,
        limits: &PerMinute,
    ) -> Option<Refused> {
        self.remembered(&limits.rates(tenant, trigger, None)).await
    }

    /// Gives up the claim of a message that was certainly not published, so that its id is free
    /// for another content. If that fails, another content is refused for a day; the same message
    /// is taken all the same.
    pub(super) async fn release(&self, message_id: MessageId, fingerprint: Fingerprint) {
        if let Err(error) = self.kv.release(message_id, fingerprint).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, message.id = %message_id, "{message_id} stays claimed");
        }
    }

    async fn ask(&self, rates: &[Rate], claim: Option<(MessageId, Fingerprint)>) -> Verdict {
        let toll = Toll {
            rates,
            claim: claim.map(|(message_id, fingerprint)| Claim {
                message_id,
                fingerprint,
                ttl: CLAIMED_FOR,
            }),
        };
        match self.kv.pay(&toll).await {
            Ok(Paid::Admitted(rate)) => Verdict::Go { rate },
            Ok(Paid::Duplicate(rate)) => Verdict::Duplicate { rate },
            Ok(Paid::Conflict) => Verdict::Conflict,
            Ok(Paid::Limited(refused)) => {
                self.remember(&refused).await;
                Verdict::Limited(refused)
            }
            // It was logged when it began, and each call since would say the same.
            Err(KvError::Failed { .. } | KvError::Unavailable) => self.ask_here(rates, claim),
        }
    }

    /// Counts on this instance alone.
    fn ask_here(&self, rates: &[Rate], claim: Option<(MessageId, Fingerprint)>) -> Verdict {
        let paid = {
            let mut local = self.local.lock().expect("no holder of this lock panics");
            // Taken under the lock, so that the ledger sees no time before the last one.
            local.pay(rates, self.opened_at.elapsed())
        };
        match paid {
            Ok(rate) if claim.is_some() => Verdict::Unknown { rate },
            Ok(rate) => Verdict::Go { rate },
            Err(refused) => Verdict::Limited(refused),
        }
    }

    async fn remember(&self, refused: &Refused) {
        let now = Instant::now();
        let Refused { state, retry_in } = refused;
        let pause = Pause { retry_at: now + *retry_in, resets_at: now + state.resets_in };
        self.refused.insert(state.rate, pause).await;
    }

    /// The first of `rates` that is known to admit nothing yet.
    async fn remembered(&self, rates: &[Rate]) -> Option<Refused> {
        for rate in rates {
            let Some(pause) = self.refused.get(rate).await else { continue };
            let now = Instant::now();
            if now < pause.retry_at {
                let resets_in = pause.resets_at.saturating_duration_since(now);
                let state = RateState { rate: *rate, remaining: 0, resets_in };
                return Some(Refused { state, retry_in: pause.retry_at - now });
            }
        }
        None
    }
}
