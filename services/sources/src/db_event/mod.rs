//! A PostgreSQL database of a tenant: the rows of an outbox, or notifications.
//!
//! What it promises of an outbox: every row becomes a happening, in order, and one that is read
//! again after a crash has the id it had before. A page is published, then its position is saved,
//! then the next page is read. It never writes there: every statement runs in a transaction that
//! is read-only. There is one connection for each source, and whatever the server sends is bounded,
//! since it is the tenant's.
//!
//! * `address`: where the database is, from the secret.
//! * `session`: the connection; `meter` bounds what comes over it, `failure` names what goes wrong.
//! * `outbox`: reads rows, by the statements of `pages`, as far as `settling` has it, from a
//!   `position` on.
//! * `notifications`: what is said on a channel.
//! * `happening`: what becomes of either; `left_out` tells what does not become anything.
//! * `install`: the SQL that makes an outbox of a table.

mod address;
mod failure;
mod happening;
mod install;
mod left_out;
mod meter;
mod notifications;
mod outbox;
mod pages;
mod position;
mod session;
mod settling;
#[cfg(test)]
mod tests;

pub use install::{Change, Installation, install_sql};

use std::convert::Infallible;

use recado_http::guard::GuardedClient;
use recado_intake::channel::Incoming;
use recado_types::hosts::DestinationHosts;
use recado_types::trigger::DbEvent;
use recado_types::trigger::db_event::Feed;
use serde_json::Value;

use crate::held::{HeldSource, SourceError};
use address::Address;
use session::Session;

/// Where happenings go, and how far it got is written down.
pub(crate) trait Sink: Sync {
    /// Publishes what happened, in order, and waits until the broker has all of it.
    fn publish(
        &self,
        happenings: &[Incoming],
    ) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Tells the tenant that something does not become a message, and why. It is written down with
    /// the next position.
    fn leave_out(&self, reason: String);

    /// Writes down how far it got: what comes before is published, if anything was.
    fn save(
        &self,
        position: &Value,
        fired: bool,
    ) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Says that it works. Connecting and logging in is not enough for that.
    fn works(&self) -> impl Future<Output = Result<(), SourceError>> + Send;
}

impl Sink for HeldSource<'_> {
    async fn publish(&self, happenings: &[Incoming]) -> Result<(), SourceError> {
        HeldSource::publish(self, happenings).await
    }

    fn leave_out(&self, reason: String) {
        HeldSource::leave_out(self, reason);
    }

    async fn save(&self, position: &Value, fired: bool) -> Result<(), SourceError> {
        HeldSource::save(self, position, fired).await
    }

    async fn works(&self) -> Result<(), SourceError> {
        HeldSource::works(self).await
    }
}

/// The way to a tenant's database.
pub(crate) struct Way<'w> {
    pub(crate) client: &'w GuardedClient,
    pub(crate) destinations: &'w DestinationHosts,
    /// The value of the secret.
    pub(crate) url: &'w str,
}

/// Reads a held source until it fails, or this is dropped.
pub(crate) async fn hold(held: &HeldSource<'_>, config: &DbEvent) -> SourceError {
    let url = match held.secret(&config.secret_ref).await {
        Ok(url) => url,
        Err(error) => return error,
    };
    let destinations = held.destinations();
    let way = Way { client: held.client(), destinations: &destinations, url: &url };
    match Box::pin(run(config, &way, held.position(), held)).await {
        Err(error) => error,
    }
}

/// Reads until something fails.
async fn run(
    config: &DbEvent,
    way: &Way<'_>,
    position: Option<&Value>,
    sink: &impl Sink,
) -> Result<Infallible, SourceError> {
    let address = Address::parse(way.url)?;
    let filter = config.filter.as_ref();
    match &config.feed {
        Feed::Listen(channel) => {
            let (session, driver) = Session::connect(&address, way, notifications::QUEUE).await?;
            tokio::select! {
                ended = notifications::read(session, channel, filter, sink) => ended,
                lost = driver.hand_on_all() => lost,
            }
        }
        Feed::Outbox(outbox) => {
            // One is enough to say that there is something to look at.
            let (session, driver) = Session::connect(&address, way, 1).await?;
            tokio::select! {
                ended = outbox::read(session, outbox, filter, position, sink) => ended,
                lost = driver.hand_on_some() => lost,
            }
        }
    }
}
