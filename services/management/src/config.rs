//! What an operator can set. Every mistake is reported at once; see [`recado_service::config`].

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use recado_http::auth::{TokenSettings, Tokens, WeakKey};
use recado_service::config::{Amqp, Postgres, Reader, SecretString, Settings};
use recado_service::connect::SecretKeys;
use url::Url;

/// The shortest key for tokens, in bytes (RFC 7518, 3.2).
const MIN_KEY_BYTES: usize = 32;

/// The settings of the role `management`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `RECADO_MANAGEMENT_LISTEN`: where the API is served.
    pub listen: SocketAddr,
    /// `RECADO_PUBLIC_URL`: what the outside world calls ingress; webhook URLs begin with it.
    pub public_url: PublicUrl,
    /// `RECADO_JWT_*`: whose tokens are good.
    pub tokens: TokenConfig,
    /// `PostgreSQL`: `RECADO_DATABASE_*`.
    pub postgres: Postgres,
    /// `RabbitMQ`: `RECADO_AMQP_*`. Only dead letters need it.
    pub amqp: Amqp,
    /// `RECADO_SECRET_KEYS`: what secrets are sealed with.
    pub keys: SecretKeys,
    /// `RECADO_MANAGEMENT_WORKERS`: threads that serve requests.
    pub workers: usize,
    /// `RECADO_MANAGEMENT_MAX_CONNECTIONS`: how many clients may be connected to one thread.
    pub max_connections: usize,
}

impl Settings for Config {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let localhost = SocketAddr::from(([127, 0, 0, 1], 8081));
        let listen = read.or("RECADO_MANAGEMENT_LISTEN", localhost);
        let public_url = read.optional("RECADO_PUBLIC_URL").unwrap_or_default();
        let tokens = TokenConfig::read(read);
        let postgres = Postgres::read(read);
        let amqp = Amqp::read(read);
        let keys = SecretKeys::read(read);
        let workers = read.within("RECADO_MANAGEMENT_WORKERS", 2, 1..=256);
        let max_connections =
            read.within("RECADO_MANAGEMENT_MAX_CONNECTIONS", 4_096, 1..=1_000_000);
        Some(Self {
            listen,
            public_url,
            tokens: tokens?,
            postgres: postgres?,
            amqp: amqp?,
            keys: keys?,
            workers,
            max_connections,
        })
    }
}

/// Whose tokens are good. `recado token` and `recado dev` issue them with the same settings.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// `RECADO_JWT_SECRET`: the key they are signed with, at least 32 bytes.
    pub secret: SecretString,
    /// `RECADO_JWT_ISSUER`: who issues them.
    pub issuer: String,
    /// `RECADO_JWT_AUDIENCE`: whom they are for.
    pub audience: String,
}

impl Settings for TokenConfig {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let secret = read.required_by("RECADO_JWT_SECRET", |text| {
            if text.len() < MIN_KEY_BYTES {
                return Err(format!("must have at least {MIN_KEY_BYTES} bytes"));
            }
            Ok(SecretString::new(text.to_owned()))
        });
        let issuer = read.or("RECADO_JWT_ISSUER", "recado".to_owned());
        let audience = read.or("RECADO_JWT_AUDIENCE", "recado".to_owned());
        Some(Self { secret: secret?, issuer, audience })
    }
}

impl TokenConfig {
    /// Issues and checks such tokens.
    pub fn checker(&self) -> Result<Tokens, WeakKey> {
        Tokens::new(TokenSettings {
            key: self.key().to_vec(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
        })
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.secret.expose().as_bytes()
    }
}

/// What the outside world calls ingress, without a path's last slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

/// Why a text is no public address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an address such as https://recado.example.com, without user, query or fragment")]
pub struct NotPublicUrl;

impl FromStr for PublicUrl {
    type Err = NotPublicUrl;

    fn from_str(text: &str) -> Result<Self, NotPublicUrl> {
        let url = Url::parse(text).map_err(|_not_shown| NotPublicUrl)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let has_more = url.query().is_some() || url.fragment().is_some();
        if !matches!(url.scheme(), "http" | "https") || has_user || has_more {
            return Err(NotPublicUrl);
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

/// Where ingress listens if nothing else is said.
impl Default for PublicUrl {
    fn default() -> Self {
        Self("http://127.0.0.1:8080".to_owned())
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use recado_service::config::{MapEnv, Names, load};

    use super::*;

    #[test]
    fn every_mistake_is_reported_at_once() {
        let env = MapEnv::from([
            ("RECADO_JWT_SECRET", "too short"),
            ("RECADO_PUBLIC_URL", "https://user@example.com"),
            ("RECADO_MANAGEMENT_LISTEN", "everywhere"),
        ]);
        let error = load::<Config>(&env, &Names::of::<Config>()).unwrap_err();
        let names: Vec<&str> = error.mistakes.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "RECADO_AMQP_URL",
                "RECADO_DATABASE_URL",
                "RECADO_JWT_SECRET",
                "RECADO_MANAGEMENT_LISTEN",
                "RECADO_PUBLIC_URL",
                "RECADO_SECRET_KEYS",
            ]
        );
        assert!(!error.to_string().contains("too short"), "{error}");
    }

    #[test]
    fn a_public_url_is_a_prefix_of_webhook_urls() {
        let url: PublicUrl = "https://example.com/gateway/".parse().unwrap();
        assert_eq!(url.to_string(), "https://example.com/gateway");
        for bad in ["example.com", "ftp://example.com", "https://a:b@example.com", "https://e/?q"] {
            assert_eq!(bad.parse::<PublicUrl>(), Err(NotPublicUrl), "{bad}");
        }
    }
}
