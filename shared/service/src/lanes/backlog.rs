//! How many lanes wait for somebody to claim them, as Prometheus is told.

use std::error::Error;
use std::time::Duration;

use recado_store::Store;
use recado_store::lanes::{self, Backlog, BacklogOf, LaneKind};

use super::metrics::{DUE, OLDEST_DUE_SECONDS};
use crate::process::Context;

/// How often the database is asked for what only it knows.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// Keeps the gauges of a kind of lanes up to date until shutdown. While the database is away they
/// have no value.
pub fn watch_backlog(context: &Context, store: Store, of: BacklogOf) {
    let shutdown = context.shutdown.clone();
    context.tasks.spawn(async move { shutdown.run_until_cancelled(watch(&store, of)).await });
}

async fn watch(store: &Store, of: BacklogOf) {
    let kind = of.kind();
    loop {
        match lanes::backlog(store, of).await {
            Ok(backlog) => show(kind, backlog),
            // The component `database` says that it is away.
            Err(error) => {
                forget(kind);
                tracing::debug!(error = &error as &dyn Error, "due lanes are not counted");
            }
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most 10,000")]
fn show(kind: LaneKind, backlog: Backlog) {
    DUE.with_label_values(&[kind.as_str()]).set(backlog.n_lanes as f64);
    OLDEST_DUE_SECONDS.with_label_values(&[kind.as_str()]).set(backlog.oldest_s);
}

fn forget(kind: LaneKind) {
    for gauge in [&DUE, &OLDEST_DUE_SECONDS] {
        // One that is not there need not be removed.
        let _ = gauge.remove_label_values(&[kind.as_str()]);
    }
}
