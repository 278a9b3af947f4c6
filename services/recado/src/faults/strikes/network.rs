//! The network between the roles and one of their servers.

use recado_testkit::proxy::{Network, Proxy};

use super::Stage;
use crate::faults::rows::Server;

/// Bad for a while, good for a while.
pub(super) async fn misbehave(stage: &mut Stage<'_>, server: Server, network: Network) {
    loop {
        stage.moment(100..800).await;
        proxy(stage, server).set(network);
        let bad = match network {
            // Longer than most waits, so that both are tried: going on, and giving up.
            Network::Holds => 1_000..7_000,
            Network::Delays(_) => 3_000..5_000,
            _ => 500..3_000,
        };
        stage.moment(bad).await;
        proxy(stage, server).set(Network::Works);
        if !stage.goes_on() {
            return;
        }
    }
}

fn proxy<'a>(stage: &'a Stage<'_>, server: Server) -> &'a Proxy {
    let proxies = stage.app.proxies();
    match server {
        Server::Postgres => &proxies.postgres,
        Server::RabbitMq => &proxies.rabbitmq,
        Server::Redis => &proxies.redis,
    }
}
