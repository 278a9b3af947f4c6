//! Where tools may go when a payload or a model names the host.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The hosts that a tenant allows. Nothing is allowed that is not on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAllowList(Vec<HostPattern>);

/// An entry: `api.example.com`, `*.example.com` (every host below it, not itself), an IP address,
/// each with or without a port. Without one, the default port of the URL's scheme is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    host: PatternHost,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PatternHost {
    This(Host),
    Below(String),
}

/// Why an entry is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a host, for example `api.example.com`, `*.example.com` or `api.example.com:8443`, \
     without scheme and path"
)]
pub struct HostPatternError;

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let (is_below, text) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(parse_port(port)?)),
            _ => (text, None),
        };
        // `url` decodes `%2e` and drops tabs; neither is a way to write a host.
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        if host.is_empty() || host.len() > 255 || !host.chars().all(plain) {
            return Err(HostPatternError);
        }
        let host = Host::parse(host).map(without_dot).map_err(|_not_shown| HostPatternError)?;
        let host = match (is_below, host) {
            (false, host) => PatternHost::This(host),
            (true, Host::Domain(domain)) => PatternHost::Below(format!(".{domain}")),
            (true, Host::Ipv4(_) | Host::Ipv6(_)) => return Err(HostPatternError),
        };
        Ok(Self { host, port })
    }
}

fn parse_port(text: &str) -> Result<u16, HostPatternError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| is_number && *port > 0);
    port.ok_or(HostPatternError)
}

/// `example.com.` is `example.com`.
fn without_dot(host: Host) -> Host {
    match host {
        Host::Domain(domain) => {
            Host::Domain(domain.strip_suffix('.').map(str::to_owned).unwrap_or(domain))
        }
        address => address,
    }
}

impl HostPattern {
    fn allows(&self, host: &Host, url: &Url) -> bool {
        let is_host = match (&self.host, host) {
            (PatternHost::This(this), host) => this == host,
            (PatternHost::Below(suffix), Host::Domain(domain)) => {
                domain.len() > suffix.len() && domain.ends_with(suffix)
            }
            (PatternHost::Below(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        };
        // `Url::port` is `None` for the default port of its scheme.
        is_host && url.port() == self.port.filter(|port| Some(*port) != default_port(url))
    }
}

fn default_port(url: &Url) -> Option<u16> {
    match url.scheme() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            PatternHost::This(host) => host.fmt(f)?,
            PatternHost::Below(suffix) => write!(f, "*{suffix}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl HostAllowList {
    /// The list of those `entries` that are patterns: what was saved is, and nothing is allowed by
    /// what is not.
    pub fn of<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Self {
        Self(entries.into_iter().filter_map(|entry| entry.as_ref().parse().ok()).collect())
    }

    /// Whether requests may go to `url`: its host in any case and with or without a trailing dot,
    /// names in their ASCII form (IDNA).
    pub fn allows(&self, url: &Url) -> bool {
        let Some(host) = url.host() else { return false };
        let host = without_dot(host.to_owned());
        self.0.iter().any(|pattern| pattern.allows(&host, url))
    }
}

impl FromIterator<HostPattern> for HostAllowList {
    fn from_iter<I: IntoIterator<Item = HostPattern>>(patterns: I) -> Self {
        Self(patterns.into_iter().collect())
    }
}
