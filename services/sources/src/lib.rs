//! Triggers that fire by themselves: turns what happens into the messages that ingress publishes.
//!
//! What it promises: each happening becomes one message, however many instances there are and
//! whichever of them is killed; what happened while all were down is made up for, by a stated
//! policy; a source that does not work delays no other one, and says why.
//!
//! * `schedule`: the clock.
//! * `held`: what needs a connection of its own, which one instance holds at a time.
//! * `db_event`: what is held is a database of the tenant.
//! * `outlet`: from happenings to messages, by the same code as a webhook's ([`recado_intake`]).

mod config;
mod db_event;
mod held;
mod imap;
mod metrics;
mod outlet;
mod schedule;
mod trigger;

use std::sync::Arc;

use recado_service::lanes::{LaneLoop, Wake};
use recado_service::{Context, connect};
use recado_store::listen;
use recado_store::sources::SourceKind;

pub use config::Config;
pub use db_event::{Change, Installation, install_sql};
pub use metrics::register_metrics;

use held::{Engine, Interruptions, Sources};
use outlet::Outlet;
use schedule::Schedules;

const ROLE: &str = "sources";

/// Runs the role until `context` shuts down and what was begun has been written down.
pub async fn run(context: Context, config: Config) -> anyhow::Result<()> {
    register_metrics();
    let store = connect::store(&context, ROLE, &config.postgres, &config.keys)?;
    let broker = connect::broker_config(&context, ROLE, &config.amqp);
    let publisher = connect::publisher(&context, broker);
    let client = connect::outbound_client(&config.destinations)?;
    let clock = Arc::clone(&context.clock);
    let outlet = Outlet { publisher, store: store.clone(), clock: Arc::clone(&clock) };

    let interruptions = Arc::new(Interruptions::default());
    let changes = listen::changes(&store, &context.tasks, context.shutdown.clone());
    context.spawn("configuration changes", Arc::clone(&interruptions).heed(changes));

    let schedules = Schedules {
        store: store.clone(),
        outlet: outlet.clone(),
        clock: Arc::clone(&clock),
        lease: config.lease.clamp(*schedule::LEASES.start(), *schedule::LEASES.end()),
    };
    let engine = Arc::new(Engine {
        store,
        outlet,
        client,
        clock,
        interruptions,
        mails: imap::Places::default(),
        lease: config.lease,
        shutdown: context.shutdown.clone(),
    });
    let hold = |kind: SourceKind| {
        let sources = Arc::new(Sources::new(Arc::clone(&engine), kind, config.connections));
        let lanes = LaneLoop {
            kind: kind.as_str(),
            slots: config.connections,
            poll: held::POLL,
            lease: config.lease,
        };
        let (tasks, shutdown) = (context.tasks.clone(), context.shutdown.clone());
        lanes.run(sources, Wake::default(), tasks, shutdown)
    };
    let watch = metrics::watch_sources(
        engine.store.clone(),
        Arc::clone(&engine.clock),
        context.shutdown.clone(),
    );
    context.tasks.spawn(watch);
    context.started();
    tokio::join!(
        Box::pin(schedules.run(&context.shutdown)),
        Box::pin(hold(SourceKind::DbEvent)),
        Box::pin(hold(SourceKind::Imap)),
    );
    Ok(())
}
