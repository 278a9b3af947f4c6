//! What an operator can set. Every mistake is reported at once; see [`recado_service::config`].

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use ipnet::IpNet;
use recado_http::auth::{
    ClaimNames, InvalidJwksUrl, JwksSource, JwksUrl, MIN_SECRET_BYTES, TokenError, TokenIssuer,
    TokenSettings, Tokens,
};
use recado_http::guard::Authorities;
use recado_http::trace::Callers;
use recado_intake::PublicUrl;
use recado_service::config::{Amqp, Destinations, Postgres, Reader, SecretString, Settings};
use recado_service::connect::SecretKeys;

/// Few, so that whoever looks things up as fast as they are answered leaves the database to the
/// messages: what waits for a connection costs nothing. docs/performance.md has figures.
const POOL_SIZE: usize = 4;

/// The claims that mean the same everywhere (RFC 7519, 4.1).
const REGISTERED_CLAIMS: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// The settings of the role `management`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `RECADO_MANAGEMENT_LISTEN`: where the API is served.
    pub listen: SocketAddr,
    /// `RECADO_PUBLIC_URL`: what the outside world calls ingress; webhook URLs begin with it.
    pub public_url: PublicUrl,
    /// `RECADO_TRUST_TRACEPARENT`: whether callers decide which trace a request is in.
    pub callers: Callers,
    /// `RECADO_JWT_*`: whose tokens are good.
    pub tokens: TokenConfig,
    /// `PostgreSQL`: `RECADO_DATABASE_*`.
    pub postgres: Postgres,
    /// `RabbitMQ`: `RECADO_AMQP_*`. Only dead letters need it.
    pub amqp: Amqp,
    /// `RECADO_SECRET_KEYS`: what secrets are sealed with.
    pub keys: SecretKeys,
    /// Where tools and providers may be that somebody wants to try.
    pub destinations: Destinations,
    /// `RECADO_MANAGEMENT_RATE_PER_MINUTE`: how many requests one credential may make, counted by
    /// each instance; 0 for any number.
    pub rate_per_minute: u32,
    /// `RECADO_MANAGEMENT_FAILURES_PER_MINUTE`: how many credentials that are none one address may
    /// show, counted by each instance; 0 for any number.
    pub failures_per_minute: u32,
    /// `RECADO_MANAGEMENT_TRUSTED_PROXIES`: networks, in CIDR notation, whose `X-Forwarded-For` is
    /// believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `RECADO_MANAGEMENT_WORKERS`: threads that serve requests.
    pub workers: usize,
    /// `RECADO_MANAGEMENT_MAX_CONNECTIONS`: how many clients may be connected to one thread.
    pub max_connections: usize,
}

impl Settings for Config {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let localhost = SocketAddr::from(([127, 0, 0, 1], 8081));
        let listen = read.or("RECADO_MANAGEMENT_LISTEN", localhost);
        let public_url = read.optional("RECADO_PUBLIC_URL").unwrap_or_else(local_ingress);
        let callers = Callers::read(read);
        let tokens = TokenConfig::read(read);
        let postgres = Postgres::with_pool(read, POOL_SIZE);
        let amqp = Amqp::read(read);
        let keys = SecretKeys::read(read);
        let destinations = Destinations::read(read);
        let rate_per_minute =
            read.within("RECADO_MANAGEMENT_RATE_PER_MINUTE", 6_000, 0..=10_000_000);
        let failures_per_minute =
            read.within("RECADO_MANAGEMENT_FAILURES_PER_MINUTE", 30, 0..=1_000_000);
        let trusted_proxies = read.list("RECADO_MANAGEMENT_TRUSTED_PROXIES");
        let workers = read.within("RECADO_MANAGEMENT_WORKERS", 2, 1..=256);
        let max_connections =
            read.within("RECADO_MANAGEMENT_MAX_CONNECTIONS", 4_096, 1..=1_000_000);
        Some(Self {
            listen,
            public_url,
            callers: callers?,
            tokens: tokens?,
            postgres: postgres?,
            amqp: amqp?,
            keys: keys?,
            destinations: destinations?,
            rate_per_minute,
            failures_per_minute,
            trusted_proxies,
            workers,
            max_connections,
        })
    }
}

/// Whose tokens are good. `recado token` and `recado dev` issue them with the same settings.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// `RECADO_JWT_SECRET`: the key that our own are signed with, at least 32 bytes.
    pub secret: Option<SecretString>,
    /// `RECADO_JWT_JWKS_URL`, `RECADO_JWT_JWKS_FILE`: where an identity provider's keys are.
    pub jwks: Option<JwksSource>,
    /// `RECADO_CA_FILE`: who may vouch for the identity provider's server.
    pub authorities: Authorities,
    /// `RECADO_JWT_ISSUER`: who issues them.
    pub issuer: String,
    /// `RECADO_JWT_AUDIENCE`: whom they are for.
    pub audience: String,
    /// `RECADO_JWT_TENANT_CLAIM`, `RECADO_JWT_ROLE_CLAIM`: which claims say tenant and role.
    pub claims: ClaimNames,
}

impl Settings for TokenConfig {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let secret = read.optional_secret("RECADO_JWT_SECRET");
        let url = read.optional_by("RECADO_JWT_JWKS_URL", |text| Ok(text.parse::<JwksUrl>()));
        let file = read.optional::<PathBuf>("RECADO_JWT_JWKS_FILE");
        let authorities = Authorities::read(read);
        let issuer = read.or("RECADO_JWT_ISSUER", "recado".to_owned());
        let audience = read.or("RECADO_JWT_AUDIENCE", "recado".to_owned());
        let claims = claim_names(read);
        if secret.as_ref().is_some_and(|secret| secret.expose().len() < MIN_SECRET_BYTES) {
            let reason = format!("must have at least {MIN_SECRET_BYTES} bytes");
            read.mistake("RECADO_JWT_SECRET", reason);
        }
        if secret.is_none() && url.is_none() && file.is_none() {
            let reason = "is required, unless RECADO_JWT_JWKS_URL or RECADO_JWT_JWKS_FILE says \
                          where keys are published";
            read.mistake("RECADO_JWT_SECRET", reason);
            return None;
        }
        let jwks = jwks_source(read, url, file);
        Some(Self { secret, jwks, authorities: authorities?, issuer, audience, claims })
    }
}

/// One of the two, or none; both are a mistake.
fn jwks_source(
    read: &mut Reader<'_>,
    url: Option<Result<JwksUrl, InvalidJwksUrl>>,
    file: Option<PathBuf>,
) -> Option<JwksSource> {
    if url.is_some() && file.is_some() {
        read.mistake("RECADO_JWT_JWKS_FILE", "cannot be set beside RECADO_JWT_JWKS_URL");
    }
    match url {
        Some(Ok(url)) => Some(JwksSource::Url(url)),
        Some(Err(error)) => {
            read.mistake("RECADO_JWT_JWKS_URL", error.to_string());
            None
        }
        None => file.map(JwksSource::File),
    }
}

fn claim_names(read: &mut Reader<'_>) -> ClaimNames {
    let default = ClaimNames::default();
    let names = ClaimNames {
        tenant: read.or("RECADO_JWT_TENANT_CLAIM", default.tenant),
        role: read.or("RECADO_JWT_ROLE_CLAIM", default.role),
    };
    let both = [("RECADO_JWT_TENANT_CLAIM", &names.tenant), ("RECADO_JWT_ROLE_CLAIM", &names.role)];
    for (variable, name) in both {
        if REGISTERED_CLAIMS.contains(&name.as_str()) {
            read.mistake(variable, "must not be a claim that has a meaning of its own");
        }
    }
    if names.tenant == names.role {
        read.mistake("RECADO_JWT_ROLE_CLAIM", "must be another claim than the tenant's");
    }
    names
}

impl TokenConfig {
    /// Checks such tokens.
    pub fn checker(&self) -> Result<Tokens, TokenError> {
        Tokens::new(TokenSettings {
            secret: self.secret.as_ref().map(|secret| secret.expose().as_bytes().to_vec()),
            jwks: self.jwks.clone(),
            authorities: self.authorities.clone(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            claims: self.claims.clone(),
        })
    }

    /// Issues such tokens, if the secret is there to sign them with.
    pub fn issuer(&self) -> anyhow::Result<TokenIssuer> {
        let secret = self.secret.as_ref().context(
            "RECADO_JWT_SECRET is not set: tokens are issued by whoever publishes the keys",
        )?;
        let (issuer, audience) = (self.issuer.clone(), self.audience.clone());
        let claims = self.claims.clone();
        Ok(TokenIssuer::new(secret.expose().as_bytes(), issuer, audience, claims)?)
    }
}

/// Where ingress listens if nothing else is said.
fn local_ingress() -> PublicUrl {
    "http://127.0.0.1:8080".parse().expect("it is an address")
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

    fn token_mistakes(set: &[(&str, &str)]) -> Vec<String> {
        let env: MapEnv = set.iter().copied().collect();
        match load::<TokenConfig>(&env, &Names::of::<TokenConfig>()) {
            Ok(_) => Vec::new(),
            Err(error) => error.mistakes.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_secret_or_published_keys_are_needed_and_both_may_be() {
        const SECRET: (&str, &str) = ("RECADO_JWT_SECRET", "0123456789abcdef0123456789abcdef");
        const URL: (&str, &str) = ("RECADO_JWT_JWKS_URL", "https://id.example.com/jwks.json");
        const FILE: (&str, &str) = ("RECADO_JWT_JWKS_FILE", "/etc/recado/jwks.json");
        for good in [&[SECRET][..], &[URL], &[FILE], &[SECRET, URL], &[SECRET, FILE]] {
            assert_eq!(token_mistakes(good), Vec::<String>::new(), "{good:?}");
        }
        let none = token_mistakes(&[]);
        assert!(none.len() == 1 && none[0].contains("RECADO_JWT_JWKS_URL"), "{none:?}");
        let both = token_mistakes(&[URL, FILE]);
        assert_eq!(both, ["RECADO_JWT_JWKS_FILE cannot be set beside RECADO_JWT_JWKS_URL"]);
        let weak = token_mistakes(&[("RECADO_JWT_SECRET", "hunter2"), URL]);
        assert_eq!(weak, ["RECADO_JWT_SECRET must have at least 32 bytes"]);
        for url in ["http://id.example.com/jwks.json", "https://a:b@example.com", "file:///k", "k"]
        {
            let mistakes = token_mistakes(&[("RECADO_JWT_JWKS_URL", url)]);
            assert!(mistakes.len() == 1 && !mistakes[0].contains(url), "{mistakes:?}");
        }
        for url in ["http://127.0.0.1:8080/k", "http://[::1]/k", "http://localhost/k"] {
            assert_eq!(token_mistakes(&[("RECADO_JWT_JWKS_URL", url)]), Vec::<String>::new());
        }
    }

    #[test]
    fn claims_may_be_in_a_namespace_but_not_take_the_place_of_others() {
        let with = |tenant, role| {
            token_mistakes(&[
                ("RECADO_JWT_JWKS_FILE", "/k"),
                ("RECADO_JWT_TENANT_CLAIM", tenant),
                ("RECADO_JWT_ROLE_CLAIM", role),
            ])
        };
        assert_eq!(with("https://example.com/tenant", "https://example.com/role").len(), 0);
        assert_eq!(with("sub", "aud").len(), 2);
        assert_eq!(with("same", "same").len(), 1);
    }
}
