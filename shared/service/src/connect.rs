//! Connections to the servers behind, each with a component in the health report.
//!
//! Nothing here waits for a server: a role starts, and says that it is not ready, while what it
//! needs is away.

use std::time::Duration;

use anyhow::Context as _;
use recado_broker::{Link, Publisher};
use recado_http::guard::{Guard, GuardedClient};
use recado_kv::Kv;
use recado_store::{Keyring, Role as DatabaseRole, Store};
use tokio::sync::watch;

use crate::config::{Amqp, Destinations, Postgres, Reader, Redis, Settings};
use crate::health::Component;
use crate::process::Context;
use tokio_util::sync::CancellationToken;

/// How long the database may take to say that it is there: longer than anything that works needs.
const CHECK_WITHIN: Duration = Duration::from_secs(5);
/// How often the database is asked whether it is there.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// `RECADO_SECRET_KEYS`: what secrets are sealed with.
#[derive(Clone, Debug)]
pub struct SecretKeys(pub Keyring);

impl Settings for SecretKeys {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let parse = |text: &str| Keyring::parse(text).map_err(|error| error.to_string());
        read.required_by("RECADO_SECRET_KEYS", parse).map(Self)
    }
}

/// The database, for a worker with a readiness of its own.
pub fn open_store(role: &str, postgres: &Postgres, keys: &SecretKeys) -> anyhow::Result<Store> {
    open_store_as(DatabaseRole::Worker, role, postgres, keys)
}

fn open_store_as(
    acting_as: DatabaseRole,
    role: &str,
    postgres: &Postgres,
    keys: &SecretKeys,
) -> anyhow::Result<Store> {
    let mut config = recado_store::Config::new(
        postgres.url.expose().as_str(),
        postgres.pool_size,
        &format!("recado-{role}"),
    );
    config.role = acting_as;
    config.connection_timeout = postgres.timeout;
    config.statement_timeout = postgres.timeout;
    Store::new(&config, keys.0.clone()).context("RECADO_DATABASE_URL is of no use")
}

/// The database, for a worker, with the component `database`: ready while it answers and has our
/// tables.
pub fn store(
    context: &Context,
    role: &str,
    postgres: &Postgres,
    keys: &SecretKeys,
) -> anyhow::Result<Store> {
    store_as(context, DatabaseRole::Worker, role, postgres, keys)
}

/// Like [`store`], for whoever acts as another role of the database.
pub fn store_as(
    context: &Context,
    acting_as: DatabaseRole,
    role: &str,
    postgres: &Postgres,
    keys: &SecretKeys,
) -> anyhow::Result<Store> {
    let store = open_store_as(acting_as, role, postgres, keys)?;
    let component = context.health.component("database");
    let checked = store.clone();
    let shutdown = context.shutdown.clone();
    context.tasks.spawn(async move {
        shutdown.run_until_cancelled(watch_database(&checked, &component)).await;
    });
    Ok(store)
}

async fn watch_database(store: &Store, component: &Component) {
    let mut is_away = false;
    loop {
        // One that hangs keeps its connections and breaks off no statement by itself.
        let checked = tokio::time::timeout(CHECK_WITHIN, store.check()).await;
        // One line for an outage, not one for each look at it.
        let was_away = std::mem::replace(&mut is_away, !matches!(checked, Ok(Ok(_))));
        match &checked {
            Ok(Ok(true)) => component.ready(),
            Ok(Ok(false)) => {
                component.not_ready("the schema is not up to date: run `recado migrate`");
            }
            Ok(Err(error)) => {
                component.not_ready("the database does not answer");
                if !was_away {
                    let error = error as &dyn std::error::Error;
                    tracing::warn!(error, "the database does not answer");
                }
            }
            Err(_elapsed) => {
                component.not_ready("the database does not answer");
                if !was_away {
                    tracing::warn!("the database does not answer within {CHECK_WITHIN:?}");
                }
            }
        }
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// How `role` reaches the broker.
pub fn broker_config(context: &Context, role: &str, amqp: &Amqp) -> recado_broker::Config {
    let mut config =
        recado_broker::Config::new(amqp.url.expose().as_str(), format!("recado-{role}"));
    config.publish_timeout = amqp.timeout;
    config.clock = std::sync::Arc::clone(&context.clock);
    config
}

/// A publisher, with the component `publisher`: ready while the broker takes messages.
pub fn publisher(context: &Context, config: recado_broker::Config) -> Publisher {
    publisher_until(context, config, context.shutdown.clone())
}

/// A publisher that is there until `drained`, for a role that has something to publish long after
/// it was told to shut down.
pub fn publisher_until(
    context: &Context,
    config: recado_broker::Config,
    drained: CancellationToken,
) -> Publisher {
    let publisher = Publisher::start(config, &context.tasks, drained);
    follow_link(context, "publisher", publisher.link());
    publisher
}

/// Starts a consumer, with a component of the queue's name: ready while it is connected.
pub fn consume<H: recado_broker::Handler>(
    context: &Context,
    config: recado_broker::Config,
    queue: &'static recado_broker::topology::Queue,
    publisher: Publisher,
    handler: std::sync::Arc<H>,
) {
    let shutdown = context.shutdown.clone();
    let link = recado_broker::consume(config, queue, publisher, handler, &context.tasks, shutdown);
    follow_link(context, queue.name, link);
}

/// A client for addresses that tenants chose.
pub fn outbound_client(destinations: &Destinations) -> anyhow::Result<GuardedClient> {
    let guard = Guard::new(destinations.allow_private.clone())
        .with_plain_http(destinations.allow_plain_http)
        .with_ports(destinations.ports.clone());
    GuardedClient::trusting(guard, &destinations.authorities)
        .context("failed to set up the outbound client")
}

/// Redis, which no readiness depends on: everything works without it.
pub fn kv(context: &Context, redis: &Redis) -> anyhow::Result<Kv> {
    let config = recado_kv::Config {
        url: redis.url.expose().as_str().to_owned(),
        timeout: redis.timeout,
        prefix: redis.prefix.clone(),
    };
    Kv::start(&config, &context.tasks, context.shutdown.clone())
        .context("RECADO_REDIS_URL is of no use")
}

/// Keeps the component `name` as a link to the broker is, until shutdown.
pub fn follow_link(context: &Context, name: &str, mut link: watch::Receiver<Link>) {
    let component = context.health.component(name);
    let shutdown = context.shutdown.clone();
    context.tasks.spawn(async move {
        let following = async {
            loop {
                match &*link.borrow_and_update() {
                    Link::Up => component.ready(),
                    down => component.not_ready(down.to_string()),
                }
                if link.changed().await.is_err() {
                    return;
                }
            }
        };
        shutdown.run_until_cancelled(following).await;
    });
}
