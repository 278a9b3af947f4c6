//! How much each destination, and each tenant, has in hand in this process, and may be given.
//!
//! A slow or dead destination must not take the slots of the others, so none gets more than a
//! quarter of them, and one that has not shown that it answers gets very few: it starts with 16
//! and has twice as many with each answer, until a request fails. A tenant, with all its
//! destinations, gets half of the slots.
//!
//! What is known here is about those with something in hand, those that fail, and those that had
//! something in hand a moment ago: it is bounded, and forgetting it does no harm. That a
//! destination is open is known to all instances by the database; here it is known so that what is
//! in hand already stops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use recado_store::deliveries::{Claimed, Room, TenantInHand, TriggerRoom};
use recado_store::lanes::Lease;
use recado_types::{TenantId, TriggerId};
use tokio::time::Instant;

/// With how many deliveries at a time a destination starts.
const FIRST_WIDTH: u32 = 16;
/// One destination gets at most this part of the slots.
const DESTINATIONS_PER_PROCESS: u32 = 4;
/// One tenant gets at most this part of the slots.
const TENANTS_PER_PROCESS: u32 = 2;
/// How long an idle destination that answers is remembered: longer than a claim takes, so that a
/// busy one does not start anew with each.
const REMEMBERED: Duration = Duration::from_secs(10);
/// How long an idle one is remembered that fails: longer than it is left alone between two probes.
const FAILING_REMEMBERED: Duration = Duration::from_mins(15);
/// How many idle destinations are remembered at most.
const MAX_REMEMBERED: usize = 10_000;

/// What this process knows of destinations and tenants.
#[derive(Debug)]
pub(super) struct Destinations {
    first_width: u32,
    per_trigger: u32,
    per_tenant: u32,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    triggers: HashMap<TriggerId, Destination>,
    /// How many each tenant has in hand; those without any are not there.
    tenants: HashMap<TenantId, u32>,
}

#[derive(Debug)]
struct Destination {
    in_hand: u32,
    /// How many it may have in hand.
    width: u32,
    /// How many requests in a row have failed.
    n_failed: u32,
    /// Since when it is open.
    opened_at: Option<Instant>,
    /// When it was given something the last time, or gave something back.
    used_at: Instant,
}

/// What a claim may take.
#[derive(Debug)]
pub(super) struct Vacant {
    per_trigger: u32,
    triggers: Vec<TriggerRoom>,
    per_tenant: u32,
    tenants: Vec<TenantInHand>,
}

/// A delivery in hand, counted until this is dropped.
#[derive(Debug)]
pub(super) struct InHand {
    destinations: Arc<Destinations>,
    trigger: TriggerId,
    tenant: TenantId,
}

impl Destinations {
    /// For a process with so many slots.
    pub(super) fn new(slots: usize) -> Self {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        let per_trigger = (slots / DESTINATIONS_PER_PROCESS).max(1);
        let per_tenant = (slots / TENANTS_PER_PROCESS).max(1);
        let first_width = FIRST_WIDTH.min(per_trigger);
        Self { first_width, per_trigger, per_tenant, known: Mutex::default() }
    }

    /// What there is room for now.
    pub(super) fn vacant(&self) -> Vacant {
        let mut known = self.known();
        known.forget_idle(Instant::now());
        let is_particular =
            |known: &Destination| known.in_hand > 0 || known.width != self.first_width;
        let triggers = known.triggers.iter().filter(|(_, known)| is_particular(known));
        let room = |(id, known): (&TriggerId, &Destination)| TriggerRoom {
            trigger_id: *id,
            in_hand: known.in_hand,
            room: known.width.saturating_sub(known.in_hand),
        };
        let in_hand =
            |(id, in_hand): (&TenantId, &u32)| TenantInHand { tenant_id: *id, in_hand: *in_hand };
        Vacant {
            per_trigger: self.first_width,
            triggers: triggers.map(room).collect(),
            per_tenant: self.per_tenant,
            tenants: known.tenants.iter().map(in_hand).collect(),
        }
    }

    /// Counts a delivery that was claimed by a claim that began at `claim_began`.
    pub(super) fn take(self: &Arc<Self>, claimed: &Claimed, claim_began: Instant) -> InHand {
        let (trigger, tenant) = (claimed.trigger_id, claimed.tenant_id);
        let mut known = self.known();
        let destination = known.destination(trigger, self.first_width);
        destination.in_hand += 1;
        destination.used_at = Instant::now();
        if claimed.probe.is_some() {
            destination.opened_at.get_or_insert(claim_began);
        } else {
            // It was not open when this was claimed; one opened since is.
            destination.opened_at = destination.opened_at.filter(|at| claim_began <= *at);
        }
        *known.tenants.entry(tenant).or_default() += 1;
        drop(known);
        InHand { destinations: Arc::clone(self), trigger, tenant }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn destination(&mut self, trigger: TriggerId, first_width: u32) -> &mut Destination {
        self.triggers.entry(trigger).or_insert_with(|| Destination {
            in_hand: 0,
            width: first_width,
            n_failed: 0,
            opened_at: None,
            used_at: Instant::now(),
        })
    }

    fn forget_idle(&mut self, now: Instant) {
        self.triggers.retain(|_, known| known.is_remembered(now));
        if self.triggers.len() > MAX_REMEMBERED {
            self.triggers.retain(|_, known| known.in_hand > 0);
        }
    }
}

impl Destination {
    fn is_remembered(&self, now: Instant) -> bool {
        let is_failing = self.n_failed > 0 || self.opened_at.is_some();
        let remembered = if is_failing { FAILING_REMEMBERED } else { REMEMBERED };
        self.in_hand > 0 || now.saturating_duration_since(self.used_at) < remembered
    }
}

impl Vacant {
    /// The same for a claim beside what is in work, whose probes may take `probe`.
    pub(super) fn room<'a>(&'a self, in_work: &'a [Lease], probe: Duration) -> Room<'a> {
        Room {
            per_trigger: self.per_trigger,
            triggers: &self.triggers,
            per_tenant: self.per_tenant,
            tenants: &self.tenants,
            in_work,
            probe,
        }
    }
}

impl InHand {
    /// The destination has answered. Says whether it was thought to be open.
    pub(super) fn answered(&self) -> bool {
        self.with(|destination, limits| {
            destination.n_failed = 0;
            destination.width = destination.width.saturating_mul(2).min(limits.per_trigger);
            destination.opened_at.take().is_some()
        })
    }

    /// The destination has failed. Says how many requests in a row it has now failed.
    pub(super) fn failed(&self) -> u32 {
        self.with(|destination, limits| {
            destination.n_failed = destination.n_failed.saturating_add(1);
            destination.width = limits.first_width;
            destination.n_failed
        })
    }

    /// The destination is open: nothing more may be sent there except as a probe.
    pub(super) fn opened(&self) {
        self.with(|destination, _| destination.opened_at = Some(Instant::now()));
    }

    /// Whether the destination is open, as far as is known here.
    pub(super) fn is_open(&self) -> bool {
        self.with(|destination, _| destination.opened_at.is_some())
    }

    fn with<T>(&self, change: impl FnOnce(&mut Destination, &Destinations) -> T) -> T {
        let limits = &*self.destinations;
        let mut known = limits.known();
        change(known.destination(self.trigger, limits.first_width), limits)
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut known = self.destinations.known();
        if let Some(destination) = known.triggers.get_mut(&self.trigger) {
            destination.in_hand = destination.in_hand.saturating_sub(1);
            destination.used_at = Instant::now();
        }
        if let Some(in_hand) = known.tenants.get_mut(&self.tenant) {
            *in_hand -= 1;
            if *in_hand == 0 {
                known.tenants.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests;
