//! Sends events to the endpoints that tenants made for them, signed as Standard Webhooks says.
//!
//! Consumes `delivery.events`.
//!
//! What it promises: an event is recorded for each endpoint that wants it before it is
//! acknowledged, and sent until the receiver has it or 8 attempts have failed; each attempt has the
//! same `webhook-id`, and is written down. The first attempts of an execution's events are made in
//! the order in which they happened, one when the other has been answered; what has to be repeated
//! comes later. An endpoint that is slow or dead holds up no other: it has at most 16 requests on
//! their way, all instances together, and claims take from all tenants and endpoints in turn.
//!
//! * `record` writes down what the broker brings.
//! * `sending` claims what is due, and has it sent.
//! * `attempt` makes one request; `answer` makes sense of what comes back; `schedule` says what
//!   follows.
//! * `book` writes attempts down, many at a time.

mod answer;
mod attempt;
mod book;
mod metrics;
mod record;
mod schedule;
mod sending;

use std::sync::Arc;

use recado_broker::{Publisher, topology};
use recado_http::guard::GuardedClient;
use recado_service::{Context, connect};
use recado_store::Store;
use tokio::sync::Notify;

pub(crate) use metrics::register as register_metrics;

use attempt::Attempts;
use book::Book;
use record::RecordEvents;
use sending::Sending;

/// Starts to record events and to send them, up to `slots` at a time. Shutdown waits for those that
/// are on their way.
pub(crate) fn start(
    context: &Context,
    broker: recado_broker::Config,
    publisher: Publisher,
    store: &Store,
    client: GuardedClient,
    slots: usize,
) {
    let wake = Arc::new(Notify::new());
    let clock = Arc::clone(&context.clock);
    let handler = RecordEvents { store: store.clone(), clock, wake: Arc::clone(&wake) };
    connect::consume(context, broker, &topology::EVENT_DELIVERIES, publisher, Arc::new(handler));
    let (book, keeping) = Book::open(store.clone());
    let clock = Arc::clone(&context.clock);
    let attempts = Attempts { client, clock, book, wake: Arc::clone(&wake) };
    let sending = Sending {
        store: store.clone(),
        attempts: Arc::new(attempts),
        slots,
        wake,
        tasks: context.tasks.clone(),
        shutdown: context.shutdown.clone(),
    };
    context.spawn("keeping the book of events", keeping);
    context.spawn("sending events", sending.run());
}
