//! Private servers, for those that a person did not name.

use std::path::Path;

use anyhow::Context as _;
use recado_service::config::{Env as _, MapEnv};
use recado_testkit::servers::{Postgres, RabbitMq, Redis};

/// The servers that were started; the others are somebody else's.
pub(super) struct Servers {
    postgres: Option<Postgres>,
    rabbitmq: Option<RabbitMq>,
    redis: Option<Redis>,
}

impl Servers {
    /// Starts what `env` does not name, and names it there.
    pub(super) async fn start(dir: &Path, env: &mut MapEnv) -> anyhow::Result<Self> {
        let given = |name: &str| env.var(name).is_some_and(|url| !url.trim().is_empty());
        let postgres = async {
            if given("RECADO_DATABASE_URL") {
                return Ok(None);
            }
            Postgres::start(dir.join("postgres")).await.map(Some)
        };
        let rabbitmq = async {
            if given("RECADO_AMQP_URL") {
                return Ok(None);
            }
            RabbitMq::start(dir.join("rabbitmq")).await.map(Some)
        };
        let redis = async {
            if given("RECADO_REDIS_URL") {
                return Ok(None);
            }
            Redis::start(dir.join("redis")).await.map(Some)
        };
        let (postgres, rabbitmq, redis) = tokio::try_join!(postgres, rabbitmq, redis)
            .context("a private server did not start")?;
        if let Some(postgres) = &postgres {
            env.set("RECADO_DATABASE_URL", postgres.url());
        }
        if let Some(rabbitmq) = &rabbitmq {
            env.set("RECADO_AMQP_URL", rabbitmq.url());
        }
        if let Some(redis) = &redis {
            env.set("RECADO_REDIS_URL", redis.url());
        }
        Ok(Self { postgres, rabbitmq, redis })
    }

    /// Stops them in good order, all at once.
    pub(super) async fn stop(self) {
        let postgres = async {
            if let Some(server) = self.postgres {
                complain("PostgreSQL", server.shutdown().await);
            }
        };
        let rabbitmq = async {
            if let Some(server) = self.rabbitmq {
                complain("RabbitMQ", server.shutdown().await);
            }
        };
        let redis = async {
            if let Some(server) = self.redis {
                complain("Redis", server.shutdown().await);
            }
        };
        tokio::join!(postgres, rabbitmq, redis);
    }
}

fn complain<E: Into<anyhow::Error>>(what: &str, stopped: Result<(), E>) {
    if let Err(error) = stopped.map_err(Into::into) {
        eprintln!("recado: {what} did not stop in good order: {error:#}");
    }
}
