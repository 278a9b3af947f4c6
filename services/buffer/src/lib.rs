//! Gathers a sender's burst of messages into one execution.
//!
//! Consumes `buffer.inbound`, publishes `execution.requested`.
//!
//! What it promises: every message it acknowledges is in PostgreSQL and will be published in a
//! request; a window is flushed when it is full, quiet, or has waited long enough; a message that
//! arrives while its session's window is being flushed goes into the next one. It may publish a
//! message in two requests, since any instance may die at any point: agent-runner admits each
//! message once.
//!
//! * `record_message` takes messages in: PostgreSQL, then Redis, then the acknowledgement.
//! * `flush` publishes the windows that Redis says are due: claim, publish, commit.
//! * `sweep` does without Redis: it publishes what is overdue by PostgreSQL's reckoning, and
//!   puts the windows back when Redis has lost them.

mod config;
mod flush;
mod metrics;
mod record_message;
mod request;
mod sweep;

use std::sync::Arc;

use recado_broker::topology;
use recado_service::Context;
use recado_service::connect;
use tokio::sync::Notify;

pub use config::Config;
pub use metrics::register_metrics;

const ROLE: &str = "buffer";

/// Runs the role until `context` shuts down.
pub async fn run(context: Context, config: Config) -> anyhow::Result<()> {
    register_metrics();
    let store = connect::store(&context, ROLE, &config.postgres, &config.keys)?;
    let kv = connect::kv(&context, &config.redis)?;
    let broker = connect::broker_config(&context, ROLE, &config.amqp);
    let publisher = connect::publisher(&context, broker.clone());
    let buffer = Arc::new(Buffer { store, kv, publisher: publisher.clone(), lost: Notify::new() });

    let handler = Arc::new(record_message::RecordMessage(Arc::clone(&buffer)));
    connect::consume(&context, broker, &topology::INBOUND, publisher, handler);
    context.started();
    let shutdown = &context.shutdown;
    tokio::join!(buffer.flush_until(shutdown), buffer.sweep_until(shutdown));
    Ok(())
}

/// What the parts of the role share.
struct Buffer {
    store: recado_store::Store,
    kv: recado_kv::Kv,
    publisher: recado_broker::Publisher,
    /// Notified when Redis turns out to have lost its windows.
    lost: Notify,
}
