//! What an operator can set.

use std::time::Duration;

use recado_service::config::{Amqp, Destinations, Postgres, Reader, Settings};
use recado_service::connect::SecretKeys;

/// The settings of the role `agent-runner`.
#[derive(Clone, Debug)]
pub struct Config {
    /// PostgreSQL.
    pub postgres: Postgres,
    /// RabbitMQ.
    pub amqp: Amqp,
    /// What the keys of providers are sealed with.
    pub keys: SecretKeys,
    /// Where providers may be.
    pub destinations: Destinations,
    /// `RECADO_RUNNER_SLOTS`: how many executions run at a time. They wait for models most of
    /// the time, so it is memory that limits them.
    pub slots: usize,
    /// `RECADO_LEASE_MS`: after how long a lane of a dead instance goes to another one.
    pub lease: Duration,
}

impl Settings for Config {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let postgres = Postgres::read(read);
        let amqp = Amqp::read(read);
        let keys = SecretKeys::read(read);
        let destinations = Destinations::read(read);
        let slots = read.within("RECADO_RUNNER_SLOTS", 256, 1..=10_000);
        let lease = read.millis_or("RECADO_LEASE_MS", 15_000, 500..=600_000);
        Some(Self {
            postgres: postgres?,
            amqp: amqp?,
            keys: keys?,
            destinations: destinations?,
            slots,
            lease,
        })
    }
}
