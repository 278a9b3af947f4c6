//! Remembers what was looked up in the database, so that the hot path asks nobody.
//!
//! * What is known is believed for a while, and then looked up again by one request while the
//!   others for the same key wait for it.
//! * While the database is away, what was known stays good for [`KEPT_FOR`]; what was not known
//!   cannot be told, and is an error within [`LOOK_UP_WITHIN`]. After a failure nobody asks
//!   again for [`PAUSE`], so an outage costs one slow look-up a second and not one a request.
//! * What is not there is remembered apart and shortly: made-up keys cannot push out real ones.
//! * A look-up that was under way when something changed is used once and not remembered.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;
use moka::ops::compute::{CompResult, Op};
use recado_store::StoreError;
use tokio::time::{Instant, timeout};

use crate::metrics::LOOKUPS;

/// How long an old value is used, at most, while the database cannot be asked for a new one.
pub(crate) const KEPT_FOR: Duration = Duration::from_mins(10);

/// How long a look-up may take.
pub(crate) const LOOK_UP_WITHIN: Duration = Duration::from_millis(1_500);

/// How long the database is left alone after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// How many keys are remembered for not being there.
const UNKNOWN_KEYS: u64 = 20_000;

/// How long a look-up is believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freshness {
    pub(crate) known_for: Duration,
    pub(crate) unknown_for: Duration,
}

/// Why nothing can be told about a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    #[error("the database is not asked so soon after a failure")]
    Pausing,
    #[error("the database did not answer in time")]
    Hung,
    #[error("the database cannot be asked")]
    Unavailable(#[source] StoreError),
    /// Waiting will not help.
    #[error("what was looked up is of no use")]
    Broken(#[source] StoreError),
}

impl LookupError {
    /// Whether the same look-up may succeed later without anybody changing anything.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Pausing | Self::Hung | Self::Unavailable(_) => true,
            Self::Broken(_) => false,
        }
    }
}

impl From<StoreError> for LookupError {
    fn from(error: StoreError) -> Self {
        if error.is_transient() { Self::Unavailable(error) } else { Self::Broken(error) }
    }
}

/// A bounded memory of look-ups.
pub(crate) struct Lookups<K, V> {
    /// For the metrics: what is looked up.
    name: &'static str,
    freshness: Freshness,
    known: Cache<K, Known<V>>,
    unknown: Cache<K, ()>,
    /// Counts what invalidates a look-up that is under way.
    changes: AtomicU64,
    /// Counts what invalidates everything that was looked up before.
    doubts: AtomicU64,
    paused_until: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Known<V> {
    value: V,
    fresh_until: Instant,
    doubts: u64,
}

impl<K, V> Debug for Lookups<K, V> {
    /// Says what it is, not what it holds: that may be a hundred thousand secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<K, V> Lookups<K, V>
where
    K: Copy + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Remembers `capacity` keys at most.
    pub(crate) fn new(name: &'static str, capacity: u64, freshness: Freshness) -> Self {
        let known = Cache::builder()
            .max_capacity(capacity)
            .time_to_live(freshness.known_for + KEPT_FOR)
            .build();
        let unknown = Cache::builder()
            .max_capacity(UNKNOWN_KEYS.min(capacity))
            .time_to_live(freshness.unknown_for)
            .build();
        Self {
            name,
            freshness,
            known,
            unknown,
            changes: AtomicU64::new(0),
            doubts: AtomicU64::new(0),
            paused_until: Mutex::new(None),
        }
    }

    /// What `key` stands for; `load` is asked only if that is not known.
    pub(crate) async fn get<E: Into<LookupError>>(
        &self,
        key: K,
        load: impl AsyncFnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LookupError> {
        if let Some(known) = self.known.get(&key).await.filter(|known| self.is_fresh(known)) {
            self.count("known");
            return Ok(Some(known.value));
        }
        if self.unknown.contains_key(&key) {
            self.count("unknown");
            return Ok(None);
        }
        let outcome = Box::pin(self.look_up(key, load)).await;
        if outcome.is_err() {
            self.count("failed");
        }
        outcome
    }

    /// Asks `load`, unless somebody has done so meanwhile: look-ups of one key take turns.
    async fn look_up<E: Into<LookupError>>(
        &self,
        key: K,
        load: impl AsyncFnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LookupError> {
        let looked_up = self.known.entry(key).and_try_compute_with(async |entry| {
            let held = entry.map(moka::Entry::into_value);
            let is_settled = match &held {
                Some(held) => self.is_fresh(held),
                None => self.unknown.contains_key(&key),
            };
            if is_settled {
                return Ok(Op::Nop);
            }
            let (changes, doubts) = self.counters();
            match self.ask(load).await {
                Ok(found) => {
                    self.count("looked_up");
                    let is_current = self.counters() == (changes, doubts);
                    Ok(self.remember(key, found, is_current, doubts).await)
                }
                Err(error) if error.is_transient() && held.is_some() => {
                    self.count("stale");
                    Ok(Op::Nop)
                }
                Err(error) => Err(error),
            }
        });
        Ok(match looked_up.await? {
            CompResult::Inserted(entry)
            | CompResult::ReplacedWith(entry)
            | CompResult::Unchanged(entry) => Some(entry.into_value().value),
            CompResult::Removed(_) | CompResult::StillNone(_) => None,
        })
    }

    async fn remember(
        &self,
        key: K,
        found: Option<V>,
        is_current: bool,
        doubts: u64,
    ) -> Op<Known<V>> {
        let Some(value) = found else {
            if is_current {
                self.unknown.insert(key, ()).await;
            }
            return Op::Remove;
        };
        let believed_for = if is_current { self.freshness.known_for } else { Duration::ZERO };
        Op::Put(Known { value, fresh_until: Instant::now() + believed_for, doubts })
    }

    /// Asks, in bounded time, and not while the database is left alone.
    async fn ask<E: Into<LookupError>>(
        &self,
        load: impl AsyncFnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LookupError> {
        if self.paused_until().is_some_and(|until| Instant::now() < until) {
            return Err(LookupError::Pausing);
        }
        let error = match timeout(LOOK_UP_WITHIN, load()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => error.into(),
            Err(_elapsed) => LookupError::Hung,
        };
        if error.is_transient() {
            self.set_paused_until(Instant::now() + PAUSE);
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, lookup = self.name, "a look-up failed; using what is remembered");
        }
        Err(error)
    }

    /// The row behind `key` changed: what was known is not used again.
    pub(crate) async fn forget(&self, key: &K) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate(key).await;
        self.unknown.invalidate(key).await;
    }

    /// Like [`Self::forget`], for every known value that `is_affected` and every unknown key.
    pub(crate) async fn forget_where(&self, is_affected: impl Fn(&V) -> bool) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        for (key, known) in &self.known {
            if is_affected(&known.value) {
                self.known.invalidate(&*key).await;
            }
        }
        self.unknown.invalidate_all();
    }

    /// Anything may have changed: everything is looked up again, and used only if it cannot be.
    pub(crate) fn doubt_all(&self) {
        self.doubts.fetch_add(1, Ordering::SeqCst);
        self.unknown.invalidate_all();
    }

    fn is_fresh(&self, known: &Known<V>) -> bool {
        known.doubts == self.doubts.load(Ordering::SeqCst) && Instant::now() < known.fresh_until
    }

    fn counters(&self) -> (u64, u64) {
        (self.changes.load(Ordering::SeqCst), self.doubts.load(Ordering::SeqCst))
    }

    fn paused_until(&self) -> Option<Instant> {
        *self.paused_until.lock().expect("no holder of this lock panics")
    }

    fn set_paused_until(&self, until: Instant) {
        *self.paused_until.lock().expect("no holder of this lock panics") = Some(until);
    }

    fn count(&self, outcome: &'static str) {
        LOOKUPS.with_label_values(&[self.name, outcome]).inc();
    }
}

#[cfg(test)]
mod tests;
