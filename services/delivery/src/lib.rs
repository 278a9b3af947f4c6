//! Carries answers back to their channel.
//!
//! Consumes `delivery.requests`, and `delivery.events`.
//!
//! What it promises: deliveries of one session are sent in order, chunk after chunk; each request
//! is recorded before the next one is made; a chunk that was sent is not sent again, and one that
//! may have been sent is repeated under the same `Idempotency-Key`; a chunk that cannot be sent
//! ends its delivery, and the chunks after it are skipped. A destination that is slow or dead delays
//! nobody else: it gets few of the slots, its deliveries wait in the database, and it is asked from
//! time to time whether it answers again.
//!
//! * `deliver` sends the head of a lane: plan, send, record.
//! * `events` sends events to the endpoints that want them.
//! * [`recado_text`] makes chunks of a response: without Markdown, cut where it hurts least.
//! * [`callback`] makes a request of a chunk, and sense of its answer.
//! * `smtp` makes a mail of it, and sense of what the mail server says.

mod announced;
pub mod callback;
mod config;
mod deliver;
mod events;
mod metrics;
mod smtp;

use std::sync::Arc;

use recado_broker::topology;
use recado_service::lanes::{LaneLoop, POLL, Wake, watch_backlog};
use recado_service::{Context, connect};
use recado_store::lanes::BacklogOf;

pub use config::Config;
pub use metrics::register_metrics;

const ROLE: &str = "delivery";

/// Runs the role until `context` shuts down and what is being sent has been recorded.
pub async fn run(context: Context, config: Config) -> anyhow::Result<()> {
    register_metrics();
    let store = connect::store(&context, ROLE, &config.postgres, &config.keys)?;
    let broker = connect::broker_config(&context, ROLE, &config.amqp);
    let publisher = connect::publisher(&context, broker.clone());
    let client = connect::outbound_client(&config.destinations)?;

    let wake = Wake::default();
    let handler = Arc::new(announced::DeliveryAnnounced { wake: wake.clone() });
    connect::consume(&context, broker.clone(), &topology::DELIVERIES, publisher.clone(), handler);
    // Of their own, with connections of their own: a sloppy receiver disturbs no callbacks.
    let for_events = connect::outbound_client(&config.destinations)?;
    events::start(&context, broker, publisher, &store, for_events, config.event_slots);

    watch_backlog(&context, store.clone(), BacklogOf::Deliveries);
    let watch = metrics::watch_destinations(store.clone(), context.shutdown.clone());
    context.tasks.spawn(watch);
    let parts = deliver::Parts {
        store,
        client,
        clock: Arc::clone(&context.clock),
        lease: config.lease,
        slots: config.slots,
        wake: wake.clone(),
        shutdown: context.shutdown.clone(),
    };
    let (work, recording) = deliver::Deliver::new(parts);
    context.spawn("recording attempts", recording);
    let lanes = LaneLoop { kind: "delivery", slots: config.slots, poll: POLL, lease: config.lease };
    context.started();
    lanes.run(Arc::new(work), wake, context.tasks.clone(), context.shutdown.clone()).await;
    Ok(())
}
