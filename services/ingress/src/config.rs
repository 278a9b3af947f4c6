//! What an operator can set. Every mistake is reported at once; see [`recado_service::config`].

use std::net::SocketAddr;
use std::time::Duration;

use recado_service::config::{Amqp, Postgres, Reader, Settings};
use recado_store::Keyring;

use crate::public_url::PublicUrl;

/// The settings of the role `ingress`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `RECADO_INGRESS_LISTEN`: where webhooks come in.
    pub listen: SocketAddr,
    /// `RECADO_PUBLIC_URL`: what the outside world calls us, a path that a gateway strips
    /// included. Twilio signs it. Without it, the address we listen on.
    pub public_url: Option<PublicUrl>,
    /// `RABBITMQ`: `RECADO_AMQP_*`.
    pub amqp: Amqp,
    /// `PostgreSQL`: `RECADO_DATABASE_*`.
    pub postgres: Postgres,
    /// `RECADO_SECRET_KEYS`: what webhook secrets are sealed with.
    pub keys: Keyring,
    /// How much a request may ask for.
    pub limits: Limits,
    /// `RECADO_INGRESS_CACHED_TRIGGERS`: how many compiled triggers are kept.
    pub cached_triggers: u64,
}

/// How much is taken on, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `RECADO_INGRESS_MAX_BODY`: the largest body, in bytes.
    pub max_body: usize,
    /// `RECADO_INGRESS_HEAD_TIMEOUT_MS`: how long a client may take to send its headers.
    pub head_timeout: Duration,
    /// `RECADO_INGRESS_BODY_TIMEOUT_MS`: how long a client may take to send its body.
    pub body_timeout: Duration,
    /// `RECADO_INGRESS_MAX_CONNECTIONS`: how many clients may be connected; more wait.
    pub max_connections: usize,
    /// `RECADO_INGRESS_MAX_PUBLISHING`: how many messages may wait for the broker's confirm.
    pub max_publishing: usize,
    /// `RECADO_INGRESS_PUBLISH_TIMEOUT_MS`: how long the broker may take to confirm one.
    pub publish_timeout: Duration,
}

impl Settings for Config {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let localhost = SocketAddr::from(([127, 0, 0, 1], 8080));
        let listen = read.or("RECADO_INGRESS_LISTEN", localhost);
        let public_url = read.optional("RECADO_PUBLIC_URL");
        let amqp = Amqp::read(read);
        let postgres = Postgres::read(read);
        let keys = read.required_by("RECADO_SECRET_KEYS", |text| {
            Keyring::parse(text).map_err(|error| error.to_string())
        });
        let limits = Limits::read(read);
        let cached_triggers =
            read.within("RECADO_INGRESS_CACHED_TRIGGERS", 100_000, 1..=10_000_000);
        Some(Self {
            listen,
            public_url,
            amqp: amqp?,
            postgres: postgres?,
            keys: keys?,
            limits,
            cached_triggers,
        })
    }
}

impl Limits {
    fn read(read: &mut Reader<'_>) -> Self {
        Self {
            // RabbitMQ is not made for large messages; what is larger belongs in a store.
            max_body: read.within("RECADO_INGRESS_MAX_BODY", 1 << 20, 1..=16 << 20),
            head_timeout: read.millis_or("RECADO_INGRESS_HEAD_TIMEOUT_MS", 5_000, 100..=60_000),
            body_timeout: read.millis_or("RECADO_INGRESS_BODY_TIMEOUT_MS", 10_000, 100..=60_000),
            max_connections: read.within("RECADO_INGRESS_MAX_CONNECTIONS", 25_000, 1..=1_000_000),
            max_publishing: read.within("RECADO_INGRESS_MAX_PUBLISHING", 4_096, 1..=1_000_000),
            // With the wait for a place (see `outbox`), a request knows within two seconds.
            publish_timeout: read.millis_or(
                "RECADO_INGRESS_PUBLISH_TIMEOUT_MS",
                1_500,
                50..=10_000,
            ),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let nothing = recado_service::config::MapEnv::default();
        Self::read(&mut Reader::new(&nothing))
    }
}
