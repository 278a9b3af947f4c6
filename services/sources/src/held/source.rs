//! A source that is held: what its reader may do with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use recado_http::guard::GuardedClient;
use recado_intake::CompiledTrigger;
use recado_intake::channel::Incoming;
use recado_store::lanes::Held;
use recado_store::sources::{self, ClaimedSource, LeftOut, SourceKind};
use recado_store::webhooks;
use recado_types::hosts::DestinationHosts;
use recado_types::trigger::Source;
use serde_json::Value;

use super::{Engine, SourceError};
use crate::imap::Place;

/// A source that this instance holds.
pub(crate) struct HeldSource<'h> {
    kind: SourceKind,
    engine: &'h Engine,
    claimed: &'h ClaimedSource,
    trigger: &'h CompiledTrigger,
    /// Whether it has worked since it was claimed.
    has_worked: AtomicBool,
    /// What did not become a message and is not written down yet.
    left_out: Mutex<LeftOut>,
    /// How far it got, to be written down with the failure that ends this.
    noted: Mutex<Option<Value>>,
}

impl<'h> HeldSource<'h> {
    pub(super) fn new(
        kind: SourceKind,
        engine: &'h Engine,
        claimed: &'h ClaimedSource,
        trigger: &'h CompiledTrigger,
    ) -> Self {
        let (left_out, noted) = (Mutex::default(), Mutex::default());
        let has_worked = AtomicBool::new(false);
        Self { kind, engine, claimed, trigger, has_worked, left_out, noted }
    }

    /// What is read.
    pub(super) fn config(&self) -> &'h Source {
        &self.trigger.config.source
    }

    /// How often in a row it has failed until now.
    pub(super) fn failure_count(&self) -> u32 {
        if self.has_worked.load(Ordering::Relaxed) { 0 } else { self.claimed.failure_count }
    }

    /// How far it got before.
    pub(crate) fn position(&self) -> Option<&Value> {
        self.claimed.position.as_ref()
    }

    /// The way to hosts of the tenant.
    pub(crate) fn client(&self) -> &GuardedClient {
        &self.engine.client
    }

    /// Where the tenant lets connections go.
    pub(crate) fn destinations(&self) -> DestinationHosts {
        DestinationHosts::of(&self.claimed.destination_hosts)
    }

    /// The value of a secret that the trigger names.
    pub(crate) async fn secret(&self, name: &str) -> Result<String, SourceError> {
        let tenant = self.claimed.tenant_id;
        let secret = webhooks::secret(&self.engine.store, tenant, name).await?;
        secret.ok_or_else(|| {
            SourceError::failed("secret_missing", format!("there is no secret `{name}`"))
        })
    }

    /// Publishes what happened, in order, and waits until the broker has all of it. What cannot
    /// become a message is left out, and told.
    pub(crate) async fn publish(&self, happenings: &[Incoming]) -> Result<(), SourceError> {
        let outlet = &self.engine.outlet;
        let mut outgoing = Vec::with_capacity(happenings.len());
        let mut left_out = LeftOut::default();
        for happening in happenings {
            let prepared = outlet.prepare(self.kind, self.trigger, happening, &mut left_out).await;
            outgoing.extend(prepared?);
        }
        if let (_, Some(error)) = outlet.publish(self.kind, outgoing).await {
            return Err(error.into());
        }
        let mut so_far = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        so_far.count = so_far.count.saturating_add(left_out.count);
        so_far.reason = left_out.reason.or(so_far.reason.take());
        Ok(())
    }

    /// Tells of something that cannot become a message, with the next position that is saved.
    pub(crate) fn leave_out(&self, reason: String) {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner).add(reason);
    }

    /// Writes down how far it got: what comes before is published, if anything was.
    pub(crate) async fn save(&self, position: &Value, fired: bool) -> Result<(), SourceError> {
        self.write(Some(position), fired).await
    }

    /// Says that it works.
    pub(crate) async fn works(&self) -> Result<(), SourceError> {
        self.write(None, false).await
    }

    /// Writes down how far it got together with the failure that is about to end this: to say that it
    /// fails is not to say that it works.
    pub(crate) fn note(&self, position: Value) {
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }

    pub(super) fn noted(&self) -> Option<Value> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A place among the mails that are in memory at a time, for one of so many bytes.
    pub(crate) async fn place_for_mail(&self, bytes: u32) -> Place<'_> {
        self.engine.mails.take(self.claimed.tenant_id, bytes).await
    }

    /// Now.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.engine.clock.now()
    }

    async fn write(&self, position: Option<&Value>, fired: bool) -> Result<(), SourceError> {
        let fired_at = fired.then(|| self.now());
        let (store, lease) = (&self.engine.store, self.claimed.lease);
        let left_out =
            std::mem::take(&mut *self.left_out.lock().unwrap_or_else(PoisonError::into_inner));
        match sources::save_position(store, lease, position, fired_at, &left_out).await? {
            Held::Yes => {
                self.has_worked.store(true, Ordering::Relaxed);
                Ok(())
            }
            Held::No => Err(SourceError::LeaseLost),
        }
    }
}
