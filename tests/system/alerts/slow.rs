//! A slow way to `RabbitMQ`: for who publishes, and for who consumes.

use std::time::Duration;

use recado_testkit::app::Role;
use recado_testkit::proxy::{Network, Proxy};
use serde_json::json;

use super::{Watched, again_and_again, post, trigger};
use crate::support::{Story, echo, system};

const PAUSE: Duration = Duration::from_millis(50);

/// There and back it is twice that, and a confirm may take 1.5 s.
const SLOW_FOR_INGRESS: Duration = Duration::from_millis(300);
/// Longer than the second that stands for a minute.
const SLOW_FOR_BUFFER: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn a_slow_way_to_the_broker_is_told() -> Story {
    let mut watched = Watched::start("slow", system()).await?;
    let to_ingress = Proxy::before(&watched.amqp_url()).await?;
    let to_buffer = Proxy::before(&watched.amqp_url()).await?;
    for (role, proxy) in [(Role::Ingress, &to_ingress), (Role::Buffer, &to_buffer)] {
        watched.add_to_environment(role, 0, vec![("RECADO_AMQP_URL", proxy.url().into())])?;
        watched.restart(role, 0).await?;
    }
    let agent = echo(&watched).await?;
    let gathering = json!({"message_buffer": {"enabled": true, "window_ms": 300}});
    let trigger = trigger(&watched, &agent, gathering).await?;
    watched.resolves("RecadoRoleDown", &[]).await?;
    watched.is_quiet().await?;

    to_ingress.set(Network::Delays(SLOW_FOR_INGRESS));
    to_buffer.set(Network::Delays(SLOW_FOR_BUFFER));
    let told = async {
        let queue = ("queue", "buffer.inbound");
        watched.fires("RecadoOldestMessageAgeHigh", &[("stage", "queue"), queue]).await?;
        watched.fires("RecadoPublishSlow", &[]).await
    };
    // Many at a time: each waits for its confirm.
    let post_some = async |n: usize| {
        let posts = (0..10).map(|m| post(&watched, &trigger, 10 * n + m));
        futures_util::future::join_all(posts).await;
    };
    again_and_again(PAUSE, post_some, told).await?;
    to_ingress.set(Network::Works);
    to_buffer.set(Network::Works);
    watched.resolves("RecadoOldestMessageAgeHigh", &[]).await?;
    Ok(watched.end()?)
}
