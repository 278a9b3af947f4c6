//! Executes agents.
//!
//! Consumes `agent-runner.executions`, publishes `delivery.requested`, and `execution.finished` to
//! those who wait for it.
//!
//! What it promises: every message it acknowledges is in the input of exactly one execution;
//! a session runs one execution at a time, in order; every execution ends, as `success`, `failed`
//! or `timeout`, and what it led to is written in one statement.
//!
//! * `admit_execution` gives messages their execution and queues it in the session's lane.
//! * `run_execution` runs the head of a lane: prompt, model, result.
//! * `news` tells those who wait that an execution has ended.
//! * `model` is where the thinking is done: built in, or at a provider.

mod admit_execution;
mod config;
mod metrics;
mod model;
mod news;
mod prompt;
mod run_execution;

use std::sync::Arc;

use recado_broker::topology;
use recado_service::lanes::{LaneLoop, POLL, Wake};
use recado_service::{Context, connect};

pub use config::Config;

const ROLE: &str = "agent-runner";

/// Runs the role until `context` shuts down and what runs has ended.
pub async fn run(context: Context, config: Config) -> anyhow::Result<()> {
    let store = connect::store(&context, ROLE, &config.postgres, &config.keys)?;
    let broker = connect::broker_config(&context, ROLE, &config.amqp);
    let publisher = connect::publisher(&context, broker.clone());
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

    let work = run_execution::RunExecution {
        store,
        publisher,
        client,
        clock: Arc::clone(&context.clock),
        lease: config.lease,
        wake: wake.clone(),
        news,
    };
    let lanes =
        LaneLoop { kind: "execution", slots: config.slots, poll: POLL, lease: config.lease };
    context.started();
    lanes.run(Arc::new(work), wake, context.tasks.clone(), context.shutdown.clone()).await;
    Ok(())
}
