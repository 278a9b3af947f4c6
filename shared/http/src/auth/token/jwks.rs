//! Where published keys come from, and when they are looked for.
//!
//! * They are read every ten minutes ([`READ_EVERY`]), and once more when a token names a key that
//!   is not known; the latter at most every thirty seconds ([`LOOK_AGAIN_AFTER`]), so that nobody
//!   can keep us and the provider busy by making keys up.
//! * One task looks. Whoever waits for a key waits for one look, which has a limit of time and of
//!   size.
//! * While they cannot be read, those that were read last stay good: a provider that is away does
//!   not lock anybody out. A set without any key of use counts as one that could not be read: it is
//!   a provider's mistake more often than its wish. Whoever has to take back the last key publishes
//!   another, or restarts us.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ipnet::IpNet;
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Method, StatusCode};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use url::{Host, Url};

use super::keys::{KeySet, NoKeySet};
use crate::guard::{Authorities, ClientError, Guard, GuardedClient, Outbound, SendError};

/// How long keys are believed without a look.
const READ_EVERY: Duration = Duration::from_mins(10);

/// How soon after a failure, or after a key that was not found, is looked again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// How long a look may take: somebody may be waiting for it.
const FETCH_WITHIN: Duration = Duration::from_secs(5);

/// How long is waited for a look. Another one may be under way when it is wanted.
const WAIT_FOR_A_LOOK: Duration = Duration::from_secs(10);

/// The largest set that is read. A key takes some 500 bytes, and 2 KiB with its certificates.
const MAX_SET_BYTES: usize = 256 * 1024;

/// Where keys are published.
#[derive(Clone, Debug)]
pub enum JwksSource {
    /// By an identity provider.
    Url(JwksUrl),
    /// In a file, by somebody who copies them.
    File(PathBuf),
}

/// An address that keys may be fetched from: `https`, or `http` on this machine. What comes from
/// there decides who may do anything, so nobody on the way may change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksUrl(Url);

/// Not such an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an https:// address without user name, or an http:// one of this machine")]
pub struct InvalidJwksUrl;

impl FromStr for JwksUrl {
    type Err = InvalidJwksUrl;

    fn from_str(text: &str) -> Result<Self, InvalidJwksUrl> {
        let url = Url::parse(text).map_err(|_not_shown| InvalidJwksUrl)?;
        let is_private_enough = match url.scheme() {
            "https" => true,
            "http" => is_this_machine(&url),
            _ => false,
        };
        let has_user = !url.username().is_empty() || url.password().is_some();
        if is_private_enough && !has_user { Ok(Self(url)) } else { Err(InvalidJwksUrl) }
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Why keys could not be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the server of the keys was not reached")]
    Send(#[source] SendError),
    #[error("the server of the keys answered {0}")]
    Status(StatusCode),
    #[error("the file of the keys cannot be read")]
    File(#[source] std::io::Error),
    #[error("the key set has more than {MAX_SET_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Malformed(#[from] NoKeySet),
    #[error("the key set holds no key that tokens can be signed with")]
    Useless,
}

/// Published keys, as they were read last.
pub(super) struct Jwks {
    reader: Reader,
    keys: RwLock<Arc<KeySet>>,
    /// The last look that somebody wanted because a key was not known,
    wanted: watch::Sender<Wanted>,
    /// and the last of them that was taken.
    taken: watch::Sender<u64>,
}

#[derive(Default)]
struct Wanted {
    number: u64,
    at: Option<Instant>,
}

enum Reader {
    Url { client: GuardedClient, url: Url },
    File(PathBuf),
}

impl Jwks {
    pub(super) fn new(source: JwksSource, authorities: &Authorities) -> Result<Self, ClientError> {
        let reader = match source {
            JwksSource::Url(JwksUrl(url)) => {
                Reader::Url { client: GuardedClient::trusting(guard(&url), authorities)?, url }
            }
            JwksSource::File(path) => Reader::File(path),
        };
        Ok(Self {
            reader,
            keys: RwLock::default(),
            wanted: watch::Sender::default(),
            taken: watch::Sender::default(),
        })
    }

    /// Reads the keys again and again, and whenever somebody wants a look.
    pub(super) async fn keep_current(&self) {
        let mut wanted = self.wanted.subscribe();
        loop {
            let number = wanted.borrow_and_update().number;
            let pause = if self.read().await { READ_EVERY } else { LOOK_AGAIN_AFTER };
            self.taken.send_replace(number);
            // Whichever comes first.
            let _ = timeout(pause, wanted.changed()).await;
        }
    }

    /// The key of `algorithm` that a token names by `kid`, after a look for it if it is not known.
    pub(super) async fn key(&self, algorithm: Algorithm, kid: Option<&str>) -> Option<DecodingKey> {
        if let Some(key) = self.known(algorithm, kid) {
            return Some(key);
        }
        let number = self.want_a_look();
        let mut taken = self.taken.subscribe();
        let _ = timeout(WAIT_FOR_A_LOOK, taken.wait_for(|taken| *taken >= number)).await;
        self.known(algorithm, kid)
    }

    /// Has somebody look, unless that was done just now; the number of the look that has the answer.
    /// It is the other task that looks, so it is of no use to ask and to hang up.
    fn want_a_look(&self) -> u64 {
        self.wanted.send_if_modified(|wanted| {
            let is_due = wanted.at.is_none_or(|at| at.elapsed() >= LOOK_AGAIN_AFTER);
            if is_due {
                *wanted = Wanted { number: wanted.number + 1, at: Some(Instant::now()) };
            }
            is_due
        });
        self.wanted.borrow().number
    }

    fn known(&self, algorithm: Algorithm, kid: Option<&str>) -> Option<DecodingKey> {
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        keys.key(algorithm, kid).cloned()
    }

    /// Takes the keys as they are published now; whether that succeeded.
    async fn read(&self) -> bool {
        match self.reader.read().await {
            Ok(keys) => {
                tracing::debug!(jwks.keys = keys.len(), "the keys for tokens were read");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                true
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the keys for tokens were not read; the last ones stay good");
                false
            }
        }
    }
}

impl Reader {
    async fn read(&self) -> Result<KeySet, ReadError> {
        let text = match self {
            Self::Url { client, url } => fetch(client, url.clone()).await?,
            Self::File(path) => read_file(path)?,
        };
        let keys = KeySet::parse(&text)?;
        if keys.has_any() { Ok(keys) } else { Err(ReadError::Useless) }
    }
}

async fn fetch(client: &GuardedClient, url: Url) -> Result<Vec<u8>, ReadError> {
    let request =
        Outbound::new(Method::GET, url).timeout(FETCH_WITHIN).max_body_bytes(MAX_SET_BYTES);
    let answer = client.send(request).await.map_err(ReadError::Send)?;
    match answer.status {
        StatusCode::OK if answer.truncated => Err(ReadError::TooLarge),
        StatusCode::OK => Ok(answer.body.to_vec()),
        status => Err(ReadError::Status(status)),
    }
}

/// A file of this size on this machine takes no time worth waiting for elsewhere.
fn read_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    let mut text = Vec::new();
    let limit = MAX_SET_BYTES as u64 + 1;
    let read = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text));
    read.map_err(ReadError::File)?;
    if text.len() > MAX_SET_BYTES { Err(ReadError::TooLarge) } else { Ok(text) }
}

/// An operator chose the address, so it may be one of the operator's own network: over TLS, which
/// says who answers. Without TLS it has to be this machine, whatever its name resolves to.
fn guard(url: &Url) -> Guard {
    let networks: &[&str] =
        if url.scheme() == "https" { &["0.0.0.0/0", "::/0"] } else { &["127.0.0.0/8", "::1/128"] };
    let parsed = networks.iter().map(|network| network.parse::<IpNet>());
    Guard::new(parsed.collect::<Result<_, _>>().expect("these are networks"))
}
