//! `RabbitMQ` runs out of disk, and then it is gone.

use std::time::Duration;

use serde_json::json;

use super::{Watched, again_and_again, post, say, trigger};
use crate::support::{Story, echo, system};

/// Some ten webhooks a second.
const PAUSE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_broker_that_takes_nothing_and_one_that_is_gone_are_told() -> Story {
    let mut watched = Watched::start("rabbitmq", system().private_servers()).await?;
    let agent = echo(&watched).await?;
    let gathering = json!({"message_buffer": {"enabled": true, "window_ms": 6_000}});
    let trigger = trigger(&watched, &agent, gathering).await?;
    say(&watched, &trigger, "early").await?;
    watched.sees("sum(recado_broker_handled_total{queue='buffer.inbound'}) > 0").await?;
    watched.is_quiet().await?;

    watched.servers().rabbitmq.set_disk_free_limit(u64::MAX >> 1).await?;
    let told = async {
        watched.fires("RecadoBrokerBlocked", &[("severity", "page")]).await?;
        for window in ["1h", "6h", "1d"] {
            watched.fires("RecadoIngressErrorBudgetBurn", &[("window", window)]).await?;
        }
        // Its window is over, and nobody can publish what was gathered.
        watched.fires("RecadoOldestMessageAgeHigh", &[("stage", "window")]).await?;
        Ok(())
    };
    again_and_again(PAUSE, async |n| post(&watched, &trigger, n).await, told).await?;
    // Whoever has heard of it does not forget it while it lasts.
    let flaps = "max(changes(recado_broker_link_blocked{link='publisher'}[1m])) > 1";
    assert_eq!(watched.prometheus.query(flaps).await?, []);
    watched.servers().rabbitmq.set_disk_free_limit(0).await?;
    watched.resolves("RecadoBrokerBlocked", &[]).await?;
    watched.resolves("RecadoOldestMessageAgeHigh", &[("stage", "window")]).await?;

    watched.servers().rabbitmq.kill()?;
    watched.fires("RecadoBrokerLinkDown", &[("extent", "all"), ("link", "publisher")]).await?;
    watched.fires("RecadoBrokerLinkDown", &[("extent", "some"), ("link", "publisher")]).await?;
    watched.servers().rabbitmq.restart().await?;
    watched.resolves("RecadoBrokerLinkDown", &[]).await?;
    Ok(watched.end()?)
}
