//! One ingress that runs in the test's own process.

use std::sync::Arc;
use std::time::Duration;

use recado_clock::Clock;
use recado_http::trace::Callers;
use recado_ingress::{Config, Limits, PublicUrl};
use recado_service::Context;
use recado_service::config::{Amqp, Postgres, Redis};
use recado_service::connect::SecretKeys;
use recado_store::Keyring;
use recado_testkit::servers::PortLease;
use recado_testkit::wait_for;
use recado_types::TriggerId;
use tokio::task::JoinHandle;

use crate::requests::Sender;
use crate::running::{KEYS, PUBLIC_URL, SOON};

/// Where the servers behind an ingress are.
#[derive(Clone, Debug)]
pub(crate) struct ServerUrls {
    pub(crate) database: String,
    pub(crate) amqp: String,
    pub(crate) redis: String,
}

/// A running ingress.
pub(crate) struct Instance {
    pub(crate) url: String,
    pub(crate) context: Context,
    ingress: JoinHandle<anyhow::Result<()>>,
    _port: PortLease,
}

impl Instance {
    /// Starts it, without waiting for its servers.
    pub(crate) fn start(servers: &ServerUrls, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let context = Context::with_clock(clock);
        let port = PortLease::acquire().unwrap();
        let config = config(servers, port.port(), limits);
        let ingress = Box::pin(recado_ingress::run(context.clone(), config));
        let ingress = context.tasks.spawn(ingress);
        Self { url: format!("http://127.0.0.1:{}", port.port()), context, ingress, _port: port }
    }

    /// Waits until webhooks can be taken on.
    pub(crate) async fn ready(&self) {
        let ready = async || self.is_ready().then_some(());
        let report = || self.context.health.report();
        wait_for("a ready ingress", SOON, ready)
            .await
            .unwrap_or_else(|e| panic!("{e} {:?}", report()));
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.context.health.is_ready()
    }

    /// Who posts to `trigger` by this instance.
    pub(crate) fn sender(&self, trigger: TriggerId) -> Sender {
        Sender::new(&self.url, trigger)
    }

    /// Begins the shutdown, as SIGTERM does.
    pub(crate) fn shut_down(&self) {
        self.context.shutdown.cancel();
    }

    /// Ends it, and everything that belongs to it, in good order.
    pub(crate) async fn stop(self) {
        self.shut_down();
        let ended = tokio::time::timeout(SOON, self.ingress).await;
        ended.expect("it ends in time").expect("it does not panic").expect("nothing failed");
        self.context.tasks.close();
        let tasks = tokio::time::timeout(SOON, self.context.tasks.wait()).await;
        tasks.expect("its tasks end in time");
    }
}

fn config(servers: &ServerUrls, port: u16, limits: Limits) -> Config {
    let timeout = Duration::from_secs(2);
    Config {
        listen: ([127, 0, 0, 1], port).into(),
        public_url: Some(PUBLIC_URL.parse::<PublicUrl>().unwrap()),
        amqp: Amqp { url: servers.amqp.parse().unwrap(), timeout },
        postgres: Postgres { url: servers.database.parse().unwrap(), pool_size: 4, timeout },
        redis: Redis {
            url: servers.redis.parse().unwrap(),
            timeout: Duration::from_millis(250),
            prefix: "test".into(),
        },
        keys: SecretKeys(Keyring::parse(KEYS).unwrap()),
        callers: Callers::Linked,
        limits,
        cached_triggers: 1_000,
    }
}
