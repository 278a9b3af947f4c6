//! What an operator can set.

use std::time::Duration;

use recado_service::config::{Amqp, Destinations, Postgres, Reader, Settings};
use recado_service::connect::SecretKeys;

/// The settings of the role `sources`.
#[derive(Clone, Debug)]
pub struct Config {
    /// PostgreSQL.
    pub postgres: Postgres,
    /// RabbitMQ.
    pub amqp: Amqp,
    /// What the credentials of databases and mailboxes are sealed with.
    pub keys: SecretKeys,
    /// Where databases and mailboxes may be.
    pub destinations: Destinations,
    /// `RECADO_SOURCES_CONNECTIONS`: how many databases, and again how many mailboxes, one instance
    /// is connected to at a time. One tenant gets half of them at most.
    pub connections: usize,
    /// `RECADO_LEASE_MS`: after how long what a dead instance was at goes to another one.
    pub lease: Duration,
}

impl Settings for Config {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let postgres = Postgres::read(read);
        let amqp = Amqp::read(read);
        let keys = SecretKeys::read(read);
        let destinations = Destinations::read(read);
        let connections = read.within("RECADO_SOURCES_CONNECTIONS", 256, 1..=10_000);
        let lease = read.millis_or("RECADO_LEASE_MS", 15_000, 500..=600_000);
        Some(Self {
            postgres: postgres?,
            amqp: amqp?,
            keys: keys?,
            destinations: destinations?,
            connections,
            lease,
        })
    }
}
