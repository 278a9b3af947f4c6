//! What the roles stand on: shared servers with a corner of one's own, or servers of one's own.

use std::path::Path;

use crate::disk::SmallDisk;
use crate::proxy::Proxy;
use crate::rabbit_admin::RabbitAdmin;
use crate::servers::{Postgres, RabbitMq, Redis};
use crate::shared::{self, TestDatabase, TestRedis, Vhost};

/// `/`, as the management API spells it.
const DEFAULT_VHOST: &str = "%2f";

/// The servers of one system alone, to be killed, frozen and wiped.
#[derive(Debug)]
pub struct PrivateServers {
    /// Durable: what was committed survives a kill.
    pub postgres: Postgres,
    /// Its default virtual host is the system's.
    pub rabbitmq: RabbitMq,
    /// Append-only.
    pub redis: Redis,
}

/// The ways from the roles to the servers, to be cut and slowed down.
#[derive(Debug)]
pub struct Proxies {
    /// To `PostgreSQL`.
    pub postgres: Proxy,
    /// To `RabbitMQ`.
    pub rabbitmq: Proxy,
    /// To Redis.
    pub redis: Proxy,
}

impl Proxies {
    pub(super) async fn before(backing: &Backing) -> anyhow::Result<Self> {
        Ok(Self {
            postgres: Proxy::before(&backing.database_url()).await?,
            rabbitmq: Proxy::before(&backing.amqp_url()).await?,
            redis: Proxy::before(&backing.redis_url()).await?,
        })
    }
}

/// What the servers of one system keep their data on, small enough to be filled.
#[derive(Debug)]
pub struct Disks {
    /// `PostgreSQL`'s.
    pub postgres: SmallDisk,
    /// `RabbitMQ`'s.
    pub rabbitmq: SmallDisk,
}

impl Disks {
    /// Where [`Backing::start_private`] puts the servers' data.
    pub(super) fn mount(directory: &Path, mib: u32) -> std::io::Result<Self> {
        Ok(Self {
            postgres: SmallDisk::mount(&directory.join("postgres"), mib)?,
            rabbitmq: SmallDisk::mount(&directory.join("rabbitmq"), mib)?,
        })
    }
}

#[derive(Debug)]
pub(super) enum Backing {
    Shared { database: TestDatabase, vhost: Vhost, redis: TestRedis },
    Private(PrivateServers),
}

impl Backing {
    pub(super) async fn shared() -> Self {
        let (database, vhost, redis) =
            tokio::join!(shared::database(), shared::vhost(), shared::redis());
        Self::Shared { database, vhost, redis }
    }

    pub(super) async fn start_private(directory: &Path) -> anyhow::Result<Self> {
        let (postgres, rabbitmq, redis) = tokio::try_join!(
            Postgres::start(directory.join("postgres")),
            RabbitMq::start(directory.join("rabbitmq")),
            Redis::start(directory.join("redis")),
        )?;
        recado_store::migrate(&postgres.url()).await?;
        Ok(Self::Private(PrivateServers { postgres, rabbitmq, redis }))
    }

    pub(super) fn private(&mut self) -> Option<&mut PrivateServers> {
        match self {
            Self::Shared { .. } => None,
            Self::Private(servers) => Some(servers),
        }
    }

    pub(super) fn redis(&mut self) -> &mut Redis {
        match self {
            Self::Shared { redis, .. } => redis,
            Self::Private(servers) => &mut servers.redis,
        }
    }

    pub(super) fn database_url(&self) -> String {
        match self {
            Self::Shared { database, .. } => database.url().to_owned(),
            Self::Private(servers) => servers.postgres.url(),
        }
    }

    pub(super) fn amqp_url(&self) -> String {
        match self {
            Self::Shared { vhost, .. } => vhost.url().to_owned(),
            Self::Private(servers) => servers.rabbitmq.url(),
        }
    }

    pub(super) fn redis_url(&self) -> String {
        match self {
            Self::Shared { redis, .. } => redis.url(),
            Self::Private(servers) => servers.redis.url(),
        }
    }

    /// The names of the queues there are, without those that belong to one connection.
    pub(super) async fn queues(&self) -> anyhow::Result<Vec<String>> {
        let (admin, vhost) = self.admin()?;
        Ok(admin.queues(vhost).await?)
    }

    /// The names of all queues there are.
    pub(super) async fn all_queues(&self) -> anyhow::Result<Vec<String>> {
        let (admin, vhost) = self.admin()?;
        Ok(admin.all_queues(vhost).await?)
    }

    /// Whom to ask about the broker, and about which virtual host.
    pub(super) fn admin(&self) -> anyhow::Result<(RabbitAdmin, &str)> {
        Ok(match self {
            Self::Shared { vhost, .. } => (vhost.admin().clone(), vhost.name()),
            Self::Private(servers) => {
                (RabbitAdmin::new(&servers.rabbitmq.admin_url())?, DEFAULT_VHOST)
            }
        })
    }
}
