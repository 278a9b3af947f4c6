//! Executes agents.
//!
//! Consumes `agent-runner.executions`, publishes `delivery.requested`, what happens inside of
//! executions to `recado.events`, and `execution.finished` to those who wait for it.
//!
//! What it promises: every message it acknowledges is in the input of exactly one execution;
//! a session runs one execution at a time, in order; every execution ends, as `success`, `failed`,
//! `timeout` or `cancelled`; a model call or a tool call that has ended is not made again, whatever
//! is killed.
//!
//! * `admit_execution` gives messages their execution and queues it in the session's lane.
//! * `run_execution` runs the head of a lane, with `agent_loop` for what the agent does, `control`
//!   for stopping it, and `ending` for what follows from how it ended, which `results` writes down.
//! * `model` is where the thinking is done: built in, or at a provider. What agents can do besides
//!   is `recado_toolbox`.
//! * `prompt` and `tokens`: what the model is told, and how long that is.
//! * `events` and `published` tell what happens; `news` tells those who wait that it is over, and
//!   `announcing` tells delivery.
//! * `housekeeping` counts what tenants use, and takes away what they do not keep any longer.

mod admit_execution;
mod agent_loop;
mod announcing;
mod config;
mod control;
mod ending;
mod events;
mod housekeeping;
mod metrics;
mod model;
mod news;
mod prompt;
mod published;
mod results;
mod run_execution;
mod tokens;

use std::sync::Arc;

use recado_broker::topology;
use recado_service::lanes::{LaneLoop, POLL, Wake, watch_backlog};
use recado_service::{Context, connect};
use recado_store::lanes::BacklogOf;
use recado_toolbox::Tools;
use tokio_util::sync::CancellationToken;

pub use config::Config;
pub use metrics::register_metrics;

const ROLE: &str = "agent-runner";

/// Runs the role until `context` shuts down and what runs has ended.
pub async fn run(context: Context, config: Config) -> anyhow::Result<()> {
    register_metrics();
    let store = connect::store(&context, ROLE, &config.postgres, &config.keys)?;
    let broker = connect::broker_config(&context, ROLE, &config.amqp);
    // What runs when we are told to shut down is published minutes later.
    let drained = CancellationToken::new();
    let publisher = connect::publisher_until(&context, broker.clone(), drained.clone());
    let client = connect::outbound_client(&config.destinations)?;

    let wake = Wake::default();
    let news = news::News { publisher: publisher.clone(), tasks: context.tasks.clone() };
    let admit = admit_execution::AdmitExecution {
        store: store.clone(),
        clock: Arc::clone(&context.clock),
        wake: wake.clone(),
        news: news.clone(),
    };
    let (queue, handler) = (&topology::EXECUTIONS, Arc::new(admit));
    connect::consume(&context, broker, queue, publisher.clone(), handler);

    let control = control::Control::default();
    let events = events::Events::new(publisher.clone(), context.tasks.clone());
    let (told, notes) = published::Published::new();
    context.tasks.spawn(control.clone().run(store.clone(), context.shutdown.clone()));
    context.tasks.spawn(notes.run(store.clone()));
    let sweep =
        published::sweep(store.clone(), events.clone(), told.clone(), context.shutdown.clone());
    context.tasks.spawn(sweep);
    housekeeping::start(&store, &context, config.housekeeping_interval);

    let backlog_store = store.clone();
    let commands = config.mcp_stdio_commands.clone();
    let services = agent_loop::Services {
        store: store.clone(),
        models: model::Models::new(store.clone(), client.clone()),
        tools: Tools::new(store.clone(), client, commands),
        clock: Arc::clone(&context.clock),
        wake: wake.clone(),
    };
    let (results, writing) =
        results::Results::open(store.clone(), config.slots, context.tasks.clone());
    context.spawn("writing results", writing);
    let (announcing, sending) = announcing::Announcing::open(publisher);
    context.tasks.spawn(sending);
    let ending = ending::Ending {
        store,
        results,
        announcing,
        clock: Arc::clone(&context.clock),
        wake: wake.clone(),
        news,
        published: told,
        tasks: context.tasks.clone(),
    };
    let work = run_execution::RunExecution {
        services,
        ending,
        control,
        events,
        lease: config.lease,
        tenant_slots: config.tenant_slots,
    };
    let lanes =
        LaneLoop { kind: "execution", slots: config.slots, poll: POLL, lease: config.lease };
    let backlog = BacklogOf::Executions { tenant_slots: config.tenant_slots };
    watch_backlog(&context, backlog_store, backlog);
    context.started();
    lanes.run(Arc::new(work), wake, context.tasks.clone(), context.shutdown.clone()).await;
    drained.cancel();
    Ok(())
}
