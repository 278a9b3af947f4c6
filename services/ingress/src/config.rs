//! What an operator can set. Every mistake is reported at once; see [`recado_service::config`].

use std::net::SocketAddr;
use std::time::Duration;

use recado_http::trace::Callers;
use recado_intake::PublicUrl;
use recado_intake::payload::PayloadLimits;
use recado_service::config::{Amqp, Postgres, Reader, Redis, Settings};
use recado_service::connect::SecretKeys;

/// The settings of the role `ingress`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `RECADO_INGRESS_LISTEN`: where webhooks come in.
    pub listen: SocketAddr,
    /// `RECADO_PUBLIC_URL`: what the outside world calls us, a path that a gateway strips
    /// included. Twilio signs it. Without it, the address we listen on.
    pub public_url: Option<PublicUrl>,
    /// `RECADO_AMQP_*`: the broker. Its timeout is not used: senders wait, so ingress has its own.
    pub amqp: Amqp,
    /// `RECADO_DATABASE_*`: where triggers, secrets and keys are looked up.
    pub postgres: Postgres,
    /// `RECADO_SECRET_KEYS`: what webhook secrets are sealed with.
    pub keys: SecretKeys,
    /// `RECADO_REDIS_*`: where rates and ids are counted; ingress works without it.
    pub redis: Redis,
    /// `RECADO_TRUST_TRACEPARENT`: whether callers decide which trace a request is in.
    pub callers: Callers,
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
    /// `RECADO_INGRESS_MAX_MAIL`: the largest mail, in bytes, with everything that is attached.
    pub max_mail: usize,
    /// `RECADO_INGRESS_MAX_MAILS`: how many mails over 1 MiB are read at a time, half of them
    /// of one tenant; more are told to come back.
    pub max_mails: usize,
    /// `RECADO_INGRESS_MAX_HEADERS`: the largest headers, in bytes of names and values together.
    pub max_headers: usize,
    /// `RECADO_INGRESS_MAX_JSON_DEPTH`, `RECADO_INGRESS_MAX_JSON_FIELDS`,
    /// `RECADO_INGRESS_MAX_FORM_FIELDS`: what a body may hold.
    pub(crate) payload: PayloadLimits,
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
    /// `RECADO_INGRESS_TENANT_PER_MINUTE`: how many messages one tenant may send in a minute, over
    /// all its triggers; `None` (0) for any number.
    pub tenant_per_minute: Option<u32>,
}

impl Settings for Config {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let localhost = SocketAddr::from(([127, 0, 0, 1], 8080));
        let listen = read.or("RECADO_INGRESS_LISTEN", localhost);
        let public_url = read.optional("RECADO_PUBLIC_URL");
        let amqp = Amqp::read(read);
        let postgres = Postgres::read(read);
        let redis = Redis::read(read);
        let keys = SecretKeys::read(read);
        let callers = Callers::read(read);
        let limits = Limits::read(read);
        let cached_triggers =
            read.within("RECADO_INGRESS_CACHED_TRIGGERS", 100_000, 1..=10_000_000);
        Some(Self {
            listen,
            public_url,
            amqp: amqp?,
            postgres: postgres?,
            redis: redis?,
            keys: keys?,
            callers: callers?,
            limits,
            cached_triggers,
        })
    }
}

impl Limits {
    fn read(read: &mut Reader<'_>) -> Self {
        let usual = PayloadLimits::default();
        Self {
            // RabbitMQ is not made for large messages; what is larger belongs in a store.
            max_body: read.within("RECADO_INGRESS_MAX_BODY", 1 << 20, 1..=16 << 20),
            // What mail servers take: 25 MB attached, and a third more for its encoding.
            max_mail: read.within("RECADO_INGRESS_MAX_MAIL", 40 << 20, 1..=128 << 20),
            max_mails: read.within("RECADO_INGRESS_MAX_MAILS", 8, 1..=1_000),
            max_headers: read.within("RECADO_INGRESS_MAX_HEADERS", 32 << 10, 1 << 10..=128 << 10),
            payload: PayloadLimits {
                // The parser reads 127 levels.
                json_depth: read.within("RECADO_INGRESS_MAX_JSON_DEPTH", usual.json_depth, 1..=100),
                json_fields: read.within(
                    "RECADO_INGRESS_MAX_JSON_FIELDS",
                    usual.json_fields,
                    1..=1_000_000,
                ),
                form_fields: read.within(
                    "RECADO_INGRESS_MAX_FORM_FIELDS",
                    usual.form_fields,
                    1..=100_000,
                ),
            },
            // actix-http looks at its clock twice a second: less would refuse quick clients too.
            head_timeout: read.millis_or("RECADO_INGRESS_HEAD_TIMEOUT_MS", 5_000, 1_000..=60_000),
            body_timeout: read.millis_or("RECADO_INGRESS_BODY_TIMEOUT_MS", 10_000, 100..=60_000),
            max_connections: read.within("RECADO_INGRESS_MAX_CONNECTIONS", 25_000, 1..=1_000_000),
            max_publishing: read.within("RECADO_INGRESS_MAX_PUBLISHING", 4_096, 1..=1_000_000),
            // With the wait for a place (see `outbox`), a request knows within two seconds.
            publish_timeout: read.millis_or(
                "RECADO_INGRESS_PUBLISH_TIMEOUT_MS",
                1_500,
                50..=10_000,
            ),
            tenant_per_minute: Some(read.within(
                "RECADO_INGRESS_TENANT_PER_MINUTE",
                0,
                0..=100_000_000,
            ))
            .filter(|per_minute| *per_minute > 0),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let nothing = recado_service::config::MapEnv::default();
        Self::read(&mut Reader::new(&nothing))
    }
}

#[cfg(test)]
mod tests {
    use recado_service::config::{MapEnv, Names, load};

    use super::*;

    fn least() -> MapEnv {
        MapEnv::from([
            ("RECADO_AMQP_URL", "amqp://mq"),
            ("RECADO_DATABASE_URL", "postgres://db/recado"),
            ("RECADO_REDIS_URL", "redis://cache"),
            ("RECADO_SECRET_KEYS", "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ])
    }

    fn read(env: &MapEnv) -> Result<Config, Vec<String>> {
        load(env, &Names::of::<Config>())
            .map_err(|error| error.mistakes.into_iter().map(|mistake| mistake.name).collect())
    }

    #[test]
    fn the_defaults_are_those_that_are_documented() {
        let config = read(&least()).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.public_url, None);
        assert_eq!(config.callers, Callers::Linked);
        assert_eq!(config.limits.max_body, 1_048_576);
        assert_eq!(config.limits.body_timeout, Duration::from_secs(10));
        assert_eq!(config.limits.max_publishing, 4_096);
        assert_eq!(config.cached_triggers, 100_000);
    }

    #[test]
    fn every_mistake_is_named_and_no_value_is_shown() {
        let mut env = least();
        for (name, value) in [
            ("RECADO_INGRESS_LISTEN", "nowhere"),
            ("RECADO_PUBLIC_URL", "https://user:s3cret@host"),
            ("RECADO_INGRESS_MAX_BODY", "0"),
            ("RECADO_INGRESS_HEAD_TIMEOUT_MS", "100"),
            ("RECADO_INGRESS_TYPO", "1"),
            ("RECADO_SECRET_KEYS", "s3cret"),
        ] {
            env.set(name, value);
        }
        let mistakes = read(&env).unwrap_err();
        assert_eq!(mistakes.len(), 6, "{mistakes:?}");
        let shown = load::<Config>(&env, &Names::of::<Config>()).unwrap_err().to_string();
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(!format!("{:?}", read(&least()).unwrap()).contains("AAECAw"));
    }
}
