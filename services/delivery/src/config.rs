//! What an operator can set.

use std::time::Duration;

use recado_service::config::{Amqp, Destinations, Postgres, Reader, Settings};
use recado_service::connect::SecretKeys;

/// The settings of the role `delivery`.
#[derive(Clone, Debug)]
pub struct Config {
    /// PostgreSQL.
    pub postgres: Postgres,
    /// RabbitMQ.
    pub amqp: Amqp,
    /// What the credentials of callbacks are sealed with.
    pub keys: SecretKeys,
    /// Where callbacks may go.
    pub destinations: Destinations,
    /// `RECADO_DELIVERY_SLOTS`: how many deliveries are sent at a time. They wait for their
    /// receivers most of the time, so it is memory that limits them. One destination gets a
    /// quarter of them at most, one tenant half.
    pub slots: usize,
    /// `RECADO_EVENT_SLOTS`: how many events are sent to endpoints at a time. One tenant gets half
    /// of them at most.
    pub event_slots: usize,
    /// `RECADO_LEASE_MS`: after how long a lane of a dead instance goes to another one.
    pub lease: Duration,
}

impl Settings for Config {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let postgres = Postgres::read(read);
        let amqp = Amqp::read(read);
        let keys = SecretKeys::read(read);
        let destinations = Destinations::read(read);
        let slots = read.within("RECADO_DELIVERY_SLOTS", 1_024, 1..=10_000);
        let event_slots = read.within("RECADO_EVENT_SLOTS", 256, 1..=10_000);
        let lease = read.millis_or("RECADO_LEASE_MS", 15_000, 500..=600_000);
        Some(Self {
            postgres: postgres?,
            amqp: amqp?,
            keys: keys?,
            destinations: destinations?,
            slots,
            event_slots,
            lease,
        })
    }
}
