//! Tells caches when configuration changed (LISTEN/NOTIFY).
//!
//! Notifications are lost while the connection is away, so every new connection begins with
//! [`Change::Reset`]; and a cache that hears nothing at all must still expire by itself.

use std::time::Duration;

use futures_util::future::poll_fn;
use recado_types::TenantId;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::Store;

const LISTEN: &str = "\
-- listen.changes
LISTEN recado_configuration";

/// How many changes may wait for a slow listener; then the connection waits too.
const MAX_WAITING: usize = 1_024;
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// Something in the configuration changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Anything may have changed: the connection was away.
    Reset,
    /// One row.
    Row {
        /// Of this table.
        table: String,
        /// With this id. Of `members` and `tenants` it is the owner's: of a team it is not told who.
        id: Uuid,
        /// Of this owner.
        tenant_id: TenantId,
    },
}

/// Listens until `shutdown`, reconnecting for ever, on a connection of its own.
pub fn changes(
    store: &Store,
    tasks: &TaskTracker,
    shutdown: CancellationToken,
) -> Receiver<Change> {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let url = store.url.clone();
    tasks.spawn(async move {
        let listening = async {
            while !sender.is_closed() {
                if let Err(error) = listen(&url, &sender).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "configuration changes are not heard; reconnecting");
                }
                tokio::time::sleep(RECONNECT_AFTER).await;
            }
        };
        shutdown.run_until_cancelled(listening).await;
    });
    receiver
}

/// Forwards notifications until the connection ends.
async fn listen(
    url: &tokio_postgres::Config,
    changes: &Sender<Change>,
) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = url.connect(crate::tls()).await?;
    let subscribe = client.batch_execute(LISTEN);
    tokio::pin!(subscribe);
    let mut subscribed = false;
    loop {
        // The connection moves only while it is polled, the LISTEN statement included.
        let message = tokio::select! {
            done = &mut subscribe, if !subscribed => {
                done?;
                subscribed = true;
                if changes.send(Change::Reset).await.is_err() { return Ok(()); }
                continue;
            }
            message = poll_fn(|context| connection.poll_message(context)) => message,
        };
        match message {
            None => return Ok(()),
            Some(Err(error)) => return Err(error),
            Some(Ok(AsyncMessage::Notification(notification))) => {
                let change = parse(notification.payload());
                if changes.send(change).await.is_err() {
                    return Ok(());
                }
            }
            Some(Ok(_notice)) => {}
        }
    }
}

/// Reads `<table> <id> <tenant id>`; what is not that counts as anything.
fn parse(payload: &str) -> Change {
    let mut words = payload.split(' ');
    let row = || {
        let table = words.next()?.to_owned();
        let id = words.next()?.parse().ok()?;
        let tenant_id = words.next()?.parse().ok()?;
        Some(Change::Row { table, id, tenant_id })
    };
    let mut row = row;
    row().unwrap_or(Change::Reset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_names_a_row() {
        let id = Uuid::from_u128(7);
        let tenant_id = TenantId(Uuid::from_u128(8));
        let change = parse(&format!("triggers {id} {tenant_id}"));
        assert_eq!(change, Change::Row { table: "triggers".into(), id, tenant_id });
        assert_eq!(parse("nonsense"), Change::Reset);
    }
}
