//! `PostgreSQL` hangs, which keeps its connections and answers nobody; then it is gone.

use std::time::Duration;

use serde_json::json;

use super::{Watched, again_and_again, post, say, trigger};
use crate::support::{Story, echo, system};

/// What comes in goes on, since all that is known of the trigger is remembered.
const PAUSE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_database_that_hangs_and_one_that_is_gone_are_told() -> Story {
    // Few connections, so that some wait for one.
    let system = system().private_servers().env("RECADO_DATABASE_POOL_SIZE", "2");
    let mut watched = Watched::start("database", system).await?;
    let agent = echo(&watched).await?;
    let gathering = json!({"message_buffer": {"enabled": true, "window_ms": 300}});
    let trigger = trigger(&watched, &agent, gathering).await?;
    say(&watched, &trigger, "early").await?;
    watched.sees("recado_runner_housekeeping_last_success_timestamp_seconds > 0").await?;
    watched.is_quiet().await?;

    watched.servers().postgres.stop()?;
    let hangs = async {
        for role in ["buffer", "agent-runner", "delivery", "sources"] {
            watched.fires("RecadoNotReady", &[("severity", "page"), ("role", role)]).await?;
        }
        watched.fires("RecadoNotReady", &[("severity", "ticket")]).await?;
        watched.fires("RecadoDatabasePoolSaturated", &[]).await
    };
    again_and_again(PAUSE, async |n| post(&watched, &trigger, n).await, hangs).await?;

    watched.servers().postgres.kill()?;
    let gone = async {
        watched.fires("RecadoHousekeepingStalled", &[]).await?;
        // Consumers hold their messages for a while, and then give them back until they can.
        watched.fires("RecadoQueueStalled", &[("queue", "buffer.inbound")]).await?;
        watched.fires("RecadoNoConsumers", &[("queue", "buffer.inbound")]).await
    };
    again_and_again(PAUSE, async |n| post(&watched, &trigger, n).await, gone).await?;
    watched.servers().postgres.restart().await?;
    for alert in [
        "RecadoNotReady",
        "RecadoDatabasePoolSaturated",
        "RecadoQueueStalled",
        "RecadoNoConsumers",
        "RecadoHousekeepingStalled",
    ] {
        watched.resolves(alert, &[]).await?;
    }
    Ok(watched.end()?)
}
