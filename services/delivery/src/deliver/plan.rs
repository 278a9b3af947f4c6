//! What has to be sent, and how: decided before the first chunk is sent, and kept.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use recado_callback::chunks;
use recado_store::deliveries::{self, ChunkStatus, Claimed, PlannedChunk};
use recado_store::lanes::Held;
use recado_store::webhooks;
use recado_text::split::Split;
use recado_types::hosts::DestinationHosts;
use recado_types::trigger::{Execution, Transform, TriggerConfig};

use super::Ended;
use super::carrier::{Carrier, Way};
use super::held::{HeldLane, Unstored};
use crate::callback::sent::SentSecret;

/// What has to be sent, and how.
pub(super) struct Plan {
    pub(super) carrier: Carrier,
    /// What answers must not show of its secret.
    pub(super) sent: SentSecret,
    /// Where the tenant lets requests go.
    pub(super) destinations: DestinationHosts,
    pub(super) chunks: Vec<PlannedChunk>,
    /// Whether the chunks are stored; a single one is with its first attempt.
    pub(super) is_stored: bool,
    /// Whether something was cut off.
    pub(super) truncated: bool,
    pub(super) pause_between_chunks: Duration,
}

/// What a response was cut into.
struct Cut {
    chunks: Vec<PlannedChunk>,
    is_stored: bool,
    truncated: bool,
}

/// Why there is no plan.
pub(super) enum Unsendable {
    /// It cannot be sent, now or later.
    Never { code: &'static str, message: Cow<'static, str> },
    /// Not by us, now.
    Ended(Ended),
}

impl Unsendable {
    fn never(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Never { code, message: message.into() }
    }

    fn unstored(what: &'static str) -> impl Fn(Unstored) -> Self {
        move |unstored| match unstored {
            Unstored::LeaseLost => Self::Ended(Ended::LeaseLost),
            Unstored::Rejected(error) => {
                tracing::error!(error = &error as &dyn Error, "{what}");
                Self::never("internal_error", what)
            }
        }
    }
}

impl HeldLane<'_> {
    pub(super) async fn plan(&self) -> Result<Plan, Unsendable> {
        let config = TriggerConfig::parse(&self.claimed.trigger_config).map_err(|problems| {
            let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
            let message = format!("the trigger's configuration is wrong: {}", paths.join(", "));
            Unsendable::never("trigger_invalid", message)
        })?;
        let no_callback = || Unsendable::never("no_callback", "the trigger has no callback");
        let way = Way::of(&config).ok_or_else(no_callback)?;
        let Cut { chunks, is_stored, truncated } =
            self.chunks(&config.execution, &way.transform()).await?;
        let secret = self.secret(way.secret_ref()).await?;
        let carrier = way
            .with_secret(secret)
            .map_err(|error| Unsendable::never(error.code(), error.to_string()))?;
        let sent = carrier.sent_secret();
        let pause_ms = config.execution.split.map_or(0, |split| split.inter_chunk_delay_ms);
        let pause_between_chunks = Duration::from_millis(pause_ms.into());
        let destinations = DestinationHosts::of(&self.claimed.destination_hosts);
        Ok(Plan { carrier, sent, destinations, chunks, is_stored, truncated, pause_between_chunks })
    }

    /// The chunks that were planned before, or new ones, which are stored first if there are
    /// several.
    async fn chunks(
        &self,
        execution: &Execution,
        transform: &Transform,
    ) -> Result<Cut, Unsendable> {
        let Claimed { chunks, truncated, response, .. } = self.claimed;
        if !chunks.is_empty() {
            let (chunks, truncated) = (chunks.clone(), *truncated);
            return Ok(Cut { chunks, is_stored: true, truncated });
        }
        let Split { chunks, truncated } = chunks::transformed(response, execution, transform);
        if chunks.is_empty() {
            return Err(Unsendable::never("empty_response", "the agent's response is empty"));
        }
        let is_stored = chunks.len() > 1;
        if is_stored {
            self.store_chunks(&chunks, truncated).await?;
        }
        let chunks = chunks.into_iter().zip(0..).map(planned).collect();
        Ok(Cut { chunks, is_stored, truncated })
    }

    async fn store_chunks(&self, chunks: &[String], truncated: bool) -> Result<(), Unsendable> {
        let Claimed { lease, delivery_id, .. } = self.claimed;
        let store = &self.deliver.store;
        let stored =
            self.stored(|| deliveries::plan(store, lease, *delivery_id, chunks, truncated)).await;
        match stored.map_err(Unsendable::unstored("the chunks could not be stored"))? {
            Held::Yes => Ok(()),
            Held::No => Err(Unsendable::Ended(Ended::LeaseLost)),
        }
    }

    async fn secret(&self, name: Option<&str>) -> Result<Option<String>, Unsendable> {
        let Some(name) = name else { return Ok(None) };
        let (store, tenant) = (&self.deliver.store, self.claimed.tenant_id);
        let secret = self.stored(|| webhooks::secret(store, tenant, name)).await;
        secret.map_err(Unsendable::unstored("the trigger's secret could not be read"))
    }
}

fn planned((body, index): (String, u32)) -> PlannedChunk {
    PlannedChunk { index, body, status: ChunkStatus::Pending, attempt_count: 0 }
}
