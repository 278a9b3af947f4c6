//! The checker of histories: was anything lost, repeated, invented, reordered or mixed up?
//!
//! A load generator writes down what it posted and what was answered; the stubs' histories add
//! what the model was asked ([`History::observe_inputs`]) and what was called back
//! ([`History::observe_callbacks`]).
//! [`History::check`] then judges by what was seen from outside alone, whatever happened inside:
//!
//! * an acknowledged message is in the input of exactly one execution; one that was not
//!   acknowledged in at most one;
//! * no input and no callback holds anything that was not posted, or that belongs to another session;
//! * if one message was acknowledged before another of its session was sent, it comes first;
//! * each message is called back under one idempotency key, and a callback is repeated only while
//!   it is the last of its session: later it is not in doubt any more;
//! * the chunks of an answer come in order.
//!
//! Each posted text holds one token (see [`token`]), by which it is found again.
//! For the agent `builtin.echo` no model is asked: there the callback stands for the input.

mod check;
mod observe;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use report::{Place, Summary, Violation, Violations};

/// The token of a session's message, such as `s12-m0007`. Unique within a history, tenants included.
pub fn token(session: usize, message: usize) -> String {
    format!("s{session}-m{message:04}")
}

/// All that was seen from outside. Written by many tasks at a time.
#[derive(Debug)]
pub struct History {
    log: Mutex<Log>,
    inputs_are_callbacks: bool,
    redelivery_reorders: bool,
}

#[derive(Debug, Default)]
struct Log {
    /// Counts the events; what it was when something happened is when that happened.
    now: u64,
    /// By token.
    posts: BTreeMap<String, Post>,
    inputs: Vec<Sighting>,
    callbacks: Vec<Sighting>,
    /// How far the stubs' histories have been taken over.
    n_inputs_observed: u64,
    n_callbacks_observed: u64,
}

/// A message as its sender knows it.
#[derive(Debug)]
struct Post {
    session: String,
    /// The provider's id: a retry carries the same.
    key: String,
    /// When it was first sent.
    sent: u64,
    /// When it was first acknowledged.
    acknowledged: Option<u64>,
}

/// Messages seen somewhere on their way.
#[derive(Debug)]
struct Sighting {
    at: u64,
    session: String,
    /// Two sightings with one key are one thing, repeated.
    key: String,
    text: String,
    tokens: Vec<String>,
}

impl History {
    /// A history in which a model is asked.
    pub fn new() -> Self {
        Self { log: Mutex::default(), inputs_are_callbacks: false, redelivery_reorders: false }
    }

    /// A history of `builtin.echo`: each callback stands for the input it repeats.
    pub fn of_echo() -> Self {
        Self { inputs_are_callbacks: true, ..Self::new() }
    }

    /// Counts reordered messages instead of calling them violations: a message that the broker
    /// redelivers after a crash may come after later ones.
    #[must_use]
    pub fn where_redelivery_reorders(self) -> Self {
        Self { redelivery_reorders: true, ..self }
    }

    /// A message is about to be sent, for the first time or again.
    ///
    /// # Panics
    /// If `text` does not hold exactly one token.
    pub fn posting(&self, session: &str, key: &str, text: &str) {
        let [token] = <[String; 1]>::try_from(tokens(text)).unwrap_or_else(|found| {
            panic!("a posted text holds one token, this one {}: {text:?}", found.len())
        });
        let mut log = self.log();
        let sent = log.tick();
        log.posts.entry(token).or_insert_with(|| Post {
            session: session.to_owned(),
            key: key.to_owned(),
            sent,
            acknowledged: None,
        });
    }

    /// The message with this text was answered with a 2xx.
    pub fn acknowledged(&self, text: &str) {
        let mut log = self.log();
        let now = log.tick();
        for token in tokens(text) {
            if let Some(post) = log.posts.get_mut(&token) {
                post.acknowledged.get_or_insert(now);
            }
        }
    }

    /// A message was sent and, if `acknowledged`, answered with a 2xx: for senders that send one
    /// message of a session after the other.
    pub fn posted(&self, session: &str, key: &str, text: &str, acknowledged: bool) {
        self.posting(session, key, text);
        if acknowledged {
            self.acknowledged(text);
        }
    }

    /// A model was asked. `execution` is what all calls of an execution have in common and no
    /// other's have; `text` is the input: the last message of the user.
    pub fn model_asked(&self, session: &str, execution: &str, text: &str) {
        let mut log = self.log();
        let sighting = log.sight(session, execution, text);
        log.inputs.push(sighting);
    }

    /// A callback arrived, and was not refused.
    pub fn called_back(&self, session: &str, idempotency_key: &str, text: &str) {
        let mut log = self.log();
        let sighting = log.sight(session, idempotency_key, text);
        log.callbacks.push(sighting);
    }

    /// How many acknowledged messages were not called back yet: 0 when all is quiet.
    pub fn n_outstanding(&self) -> usize {
        let log = self.log();
        let seen: BTreeSet<_> = log.callbacks.iter().flat_map(|seen| &seen.tokens).collect();
        let acknowledged = log.posts.iter().filter(|(_, post)| post.acknowledged.is_some());
        acknowledged.filter(|(token, _)| !seen.contains(token)).count()
    }

    /// Judges everything that was written down.
    pub fn check(&self) -> Result<Summary, Violations> {
        check::check(&self.log(), self.inputs_are_callbacks, self.redelivery_reorders)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl Log {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn sight(&mut self, session: &str, key: &str, text: &str) -> Sighting {
        Sighting {
            at: self.tick(),
            session: session.to_owned(),
            key: key.to_owned(),
            text: text.to_owned(),
            tokens: tokens(text),
        }
    }
}

/// All tokens in a text, in order.
fn tokens(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| is_token(word))
        .map(str::to_owned)
        .collect()
}

fn is_token(word: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    word.strip_prefix('s')
        .and_then(|rest| rest.split_once("-m"))
        .is_some_and(|(session, message)| number(session) && number(message))
}
