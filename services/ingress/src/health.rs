//! Whether webhooks can be taken on.
//!
//! `broker`: messages can be published. `configuration`: the database was reached once; if it goes
//! away later, the triggers that are remembered still work, so it stays ready.

use std::time::Duration;

use recado_broker::Link;
use recado_service::health::Component;
use recado_service::{Context, connect};
use recado_store::Store;
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Keeps the two components up to date, until shutdown.
pub(crate) fn watch(context: &Context, link: Receiver<Link>, store: Store) {
    let configuration = context.health.component("configuration");
    connect::follow_link(context, "broker", link);
    let shutdown = context.shutdown.clone();
    context.spawn("configuration health", async move {
        shutdown.run_until_cancelled(reach(&store, &configuration)).await;
    });
}

async fn reach(store: &Store, configuration: &Component) {
    loop {
        match store.check().await {
            Ok(true) => return configuration.ready(),
            Ok(false) => configuration
                .not_ready("the schema of the database is another one: run `recado migrate`"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "the database cannot be reached yet");
                configuration.not_ready("the database cannot be reached");
            }
        }
        sleep(ASK_AGAIN_AFTER).await;
    }
}
