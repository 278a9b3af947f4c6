//! Whether the database answers and has the tables this program knows.

use std::error::Error;
use std::time::Duration;

use recado_service::health::Component;
use recado_store::Store;
use tokio_util::sync::CancellationToken;

/// How often a database that answers is asked, and one that does not.
const WHILE_READY: Duration = Duration::from_secs(5);
const WHILE_AWAY: Duration = Duration::from_millis(500);

/// Tells the component how the database is until `shutdown`.
pub(crate) async fn watch(store: Store, component: Component, shutdown: CancellationToken) {
    let mut was_ready = false;
    loop {
        let ready = check(&store, &component, was_ready).await;
        was_ready = ready;
        let pause = if ready { WHILE_READY } else { WHILE_AWAY };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn check(store: &Store, component: &Component, was_ready: bool) -> bool {
    match store.check().await {
        Ok(true) => {
            component.ready();
            true
        }
        Ok(false) => {
            component.not_ready("the schema is older than this program; run `recado migrate`");
            false
        }
        Err(error) => {
            component.not_ready("the database does not answer");
            // One line for an outage, not one for each look at it.
            if was_ready {
                tracing::warn!(error = &error as &dyn Error, "lost the database");
            }
            false
        }
    }
}
