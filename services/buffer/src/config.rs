//! What an operator can set.

use recado_service::config::{Amqp, Postgres, Reader, Redis, Settings};
use recado_service::connect::SecretKeys;

/// The settings of the role `buffer`.
#[derive(Clone, Debug)]
pub struct Config {
    /// PostgreSQL.
    pub postgres: Postgres,
    /// RabbitMQ.
    pub amqp: Amqp,
    /// Redis.
    pub redis: Redis,
    /// Not used to open anything here; the store asks for it.
    pub keys: SecretKeys,
}

impl Settings for Config {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let postgres = Postgres::read(read);
        let amqp = Amqp::read(read);
        let redis = Redis::read(read);
        let keys = SecretKeys::read(read);
        Some(Self { postgres: postgres?, amqp: amqp?, redis: redis?, keys: keys? })
    }
}
