//! What a message pays before it is published: its rate limits, and the claim of its id.
//!
//! All of it is decided by one script, `toll.lua`, so it is atomic and one round trip.
//!
//! * **Claim first.** An id that is known with another fingerprint is a [`Paid::Conflict`], and
//!   costs nothing. Known with the same one it is a [`Paid::Duplicate`], which pays like any other:
//!   a recorded request that is sent again and again must not be free.
//! * **All limits or none.** Only if every limit admits the message is any of them used up, and
//!   the id claimed.
//!
//! # How a minute is counted
//!
//! By the second: every key keeps how much was used in each of the last 60 seconds, and forgets a
//! second when it is 60 seconds old. So `per_minute` is what it says, for every 60 consecutive
//! seconds of Redis' clock and however the requests are spread. A leaky bucket (GCRA) keeps a
//! single number, but it lets through twice the limit in the first minute, and its edge depends on
//! how fast requests come; two weighted windows are only right if requests come evenly. The price
//! is 60 small counters in a hash; a call reads one or two of them, not all.
//!
//! A claim is a hint that spares the database a question, not the proof: the proof is the message's
//! row. Redis may forget all of this at any moment; then limits begin anew.

mod ledger;

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use recado_types::{Fingerprint, MessageId, TenantId, TriggerId};
use redis::{ErrorKind, RedisError, Script};
use sha2::{Digest, Sha256};

pub use ledger::Ledger;

use crate::metrics::Operation;
use crate::{Kv, KvError};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("toll.lua")));

/// What a limit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateKind {
    /// All that a tenant receives.
    Tenant,
    /// All that a trigger receives.
    Trigger,
    /// What one sender sends to one trigger.
    Sender,
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// This tenant's.
    Tenant(TenantId),
    /// This trigger's.
    Trigger(TriggerId),
    /// One sender's to one trigger; see [`RateKey::sender`].
    Sender(SenderHash),
}

/// A sender of a trigger, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SenderHash([u8; 16]);

impl RateKey {
    /// What `sender` sends to `trigger`. The sender is hashed, so that no phone number is to be
    /// read in Redis; there are few enough of them that this is no secret.
    pub fn sender(trigger: TriggerId, sender: &str) -> Self {
        let digest = Sha256::new().chain_update(trigger.0).chain_update(sender).finalize();
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        Self::Sender(SenderHash(hash))
    }

    /// What a limit by this key is for.
    pub fn kind(&self) -> RateKind {
        match self {
            Self::Tenant(_) => RateKind::Tenant,
            Self::Trigger(_) => RateKind::Trigger,
            Self::Sender(_) => RateKind::Sender,
        }
    }
}

/// The name of its key in Redis, behind the prefix.
impl fmt::Display for RateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(id) => write!(f, "tenant:{id}"),
            Self::Trigger(id) => write!(f, "trigger:{id}"),
            Self::Sender(SenderHash(hash)) => write!(f, "sender:{}", hex::encode(hash)),
        }
    }
}

/// A rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// What is counted.
    pub key: RateKey,
    /// How many are admitted in any 60 consecutive seconds.
    pub per_minute: u32,
}

/// The claim of a message's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed.
    pub message_id: MessageId,
    /// What tells the message from another one with the same id.
    pub fingerprint: Fingerprint,
    /// How long the claim is kept.
    pub ttl: Duration,
}

/// What a message has to pay.
#[derive(Clone, Copy, Debug)]
pub struct Toll<'a> {
    /// The limits, each for another key. All of them must admit the message.
    pub rates: &'a [Rate],
    /// The id, if it is one that may come again.
    pub claim: Option<Claim>,
}

/// Whether a message may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paid {
    /// It may, and has paid. With the limit that has the least left, if there is any limit.
    Admitted(Option<RateState>),
    /// This message has claimed its id before. It may pass all the same, and has paid.
    Duplicate(Option<RateState>),
    /// Another message has claimed this id. Nothing was used up.
    Conflict,
    /// A limit was used up before. Nothing else was.
    Limited(Refused),
}

/// A limit that admits nothing now; the one with the longest wait, if there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The limit.
    pub state: RateState,
    /// It admits nothing for so long; more than zero.
    pub retry_in: Duration,
}

/// How a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateState {
    /// The limit.
    pub rate: Rate,
    /// How many more are admitted now.
    pub remaining: u32,
    /// In how long all of it is there again, if nothing more comes; a minute at most, unless the
    /// clock was set back.
    pub resets_in: Duration,
}

/// What one limit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opinion {
    state: RateState,
    /// If it does not admit the message: in how long it may admit one.
    retry_in: Option<Duration>,
}

/// What all limits together say: no, if any of them does; else which has the least left.
fn conclude(opinions: &[Opinion]) -> Result<Option<RateState>, Refused> {
    let refusals =
        opinions.iter().filter_map(|it| Some(Refused { state: it.state, retry_in: it.retry_in? }));
    match refusals.max_by_key(|refused| refused.retry_in) {
        Some(refused) => Err(refused),
        None => Ok(opinions.iter().map(|it| it.state).min_by_key(|state| state.remaining)),
    }
}

impl Kv {
    /// Pays `toll`, or says why the message must not pass.
    pub async fn pay(&self, toll: &Toll<'_>) -> Result<Paid, KvError> {
        let mut connection = self.usable()?;
        let mut call = SCRIPT.key(&*self.prefix);
        call.arg("pay");
        if let Some(claim) = &toll.claim {
            let ttl_ms = u64::try_from(claim.ttl.as_millis()).unwrap_or(u64::MAX).max(1);
            call.arg(claim.message_id.to_string()).arg(claim.fingerprint.to_string()).arg(ttl_ms);
        } else {
            call.arg("").arg("").arg(0);
        }
        for rate in toll.rates {
            call.arg(rate.key.to_string()).arg(rate.per_minute);
        }
        let paying = async {
            let answer: (String, Vec<[u64; 3]>) = call.invoke_async(&mut connection).await?;
            read(&answer, toll.rates)
        };
        self.noted(Operation::Pay, paying).await
    }

    /// Gives up the claim of a message that was certainly not published, so that the same id may
    /// come with another content. A claim that is another message's by now stays.
    pub async fn release(
        &self,
        message_id: MessageId,
        fingerprint: Fingerprint,
    ) -> Result<(), KvError> {
        let mut connection = self.usable()?;
        let mut call = SCRIPT.key(&*self.prefix);
        call.arg("release").arg(message_id.to_string()).arg(fingerprint.to_string());
        self.noted(Operation::Release, call.invoke_async(&mut connection)).await
    }
}

/// Reads the script's answer: a word, and a description of each limit.
fn read(
    (word, descriptions): &(String, Vec<[u64; 3]>),
    rates: &[Rate],
) -> Result<Paid, RedisError> {
    match word.as_str() {
        "conflict" => Ok(Paid::Conflict),
        "admitted" | "duplicate" | "limited" => {
            let passed = if word == "duplicate" { Paid::Duplicate } else { Paid::Admitted };
            let opinions: Vec<Opinion> = rates.iter().zip(descriptions).map(opinion).collect();
            Ok(conclude(&opinions).map_or_else(Paid::Limited, passed))
        }
        _ => Err(RedisError::from((ErrorKind::UnexpectedReturnType, "no answer of toll.lua"))),
    }
}

fn opinion((rate, description): (&Rate, &[u64; 3])) -> Opinion {
    let [remaining, resets_in_ms, retry_in_ms] = *description;
    let state = RateState {
        rate: *rate,
        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
        resets_in: Duration::from_millis(resets_in_ms),
    };
    let retry_in = (retry_in_ms > 0).then(|| Duration::from_millis(retry_in_ms));
    Opinion { state, retry_in }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_sender_is_not_to_be_read_in_its_key_and_differs_by_trigger() {
        let key = |trigger, sender| RateKey::sender(TriggerId(Uuid::from_u128(trigger)), sender);
        let name = key(1, "+5511987654321").to_string();
        assert!(!name.contains("5511") && name.len() == "sender:".len() + 32, "{name}");
        assert_eq!(key(1, "+55"), key(1, "+55"));
        assert_ne!(key(1, "+55"), key(2, "+55"));
        assert_ne!(key(1, "+55"), key(1, "+54"));
    }
}
