//! Lists of hosts that a tenant keeps: where tools may be led, and where requests may go at all.
//!
//! The two are of different types because they mean different things when they are empty: a
//! [`HostAllowList`] then allows nothing, [`DestinationHosts`] everything.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The hosts that a tenant allows where a payload or a model names them. Nothing is allowed that is
/// not on it.
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
        // `Url::port` is `None` for the default port of its scheme.
        let is_port = url.port() == self.port.filter(|port| Some(*port) != default_port(url));
        is_port && self.is_host(host)
    }

    fn allows_service(&self, host: &Host, port: u16, usual_ports: &[u16]) -> bool {
        let is_port = match self.port {
            Some(only) => only == port,
            None => usual_ports.contains(&port),
        };
        is_port && self.is_host(host)
    }

    fn is_host(&self, host: &Host) -> bool {
        match (&self.host, host) {
            (PatternHost::This(this), host) => this == host,
            (PatternHost::Below(suffix), Host::Domain(domain)) => {
                domain.len() > suffix.len() && domain.ends_with(suffix)
            }
            (PatternHost::Below(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
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

/// The hosts that requests of a tenant may go to, whoever names them: callbacks, tools and event
/// webhooks. Any, as long as the tenant has listed none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationHosts(Option<HostAllowList>);

/// A host that a tenant's list of destinations leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host is not one of the tenant's destination_hosts")]
pub struct DestinationNotAllowed;

impl DestinationHosts {
    /// The list of `entries`. One that is no pattern allows nothing, and does not make the list an
    /// empty one, which would open every door.
    pub fn of<S: AsRef<str>>(entries: &[S]) -> Self {
        Self((!entries.is_empty()).then(|| HostAllowList::of(entries)))
    }

    /// Whether a connection may be made to a service that is no web server; an entry without a
    /// port opens the service's `usual_ports`.
    ///
    /// # Errors
    /// If it may not.
    pub fn check_service(
        &self,
        host: &Host,
        port: u16,
        usual_ports: &[u16],
    ) -> Result<(), DestinationNotAllowed> {
        let Some(HostAllowList(patterns)) = &self.0 else { return Ok(()) };
        let host = without_dot(host.clone());
        let mut patterns = patterns.iter();
        let is_allowed = patterns.any(|it| it.allows_service(&host, port, usual_ports));
        if is_allowed { Ok(()) } else { Err(DestinationNotAllowed) }
    }

    /// Whether requests may go to `url`; hosts are compared as by [`HostAllowList::allows`].
    ///
    /// # Errors
    /// If they may not.
    pub fn check(&self, url: &Url) -> Result<(), DestinationNotAllowed> {
        match &self.0 {
            Some(list) if !list.allows(url) => Err(DestinationNotAllowed),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn allowed(list: &[&str], text: &str) -> bool {
        HostAllowList::of(list).allows(&url(text))
    }

    #[test]
    fn a_host_is_allowed_by_name_suffix_and_port() {
        assert!(allowed(&["api.example.com"], "https://API.example.com./x"));
        assert!(allowed(&["API.Example.com."], "http://api.example.com/"));
        assert!(!allowed(&["api.example.com"], "https://api.example.com:8443/"));
        assert!(allowed(&["api.example.com:8443"], "https://api.example.com:8443/"));
        assert!(!allowed(&["api.example.com:8443"], "https://api.example.com/"));
        assert!(allowed(&["api.example.com:443"], "https://api.example.com/"));
        assert!(!allowed(&["api.example.com:443"], "http://api.example.com/"));
        assert!(allowed(&["*.example.com"], "https://a.b.example.com/"));
        for other in
            ["https://example.com/", "https://evilexample.com/", "https://example.com.evil.io/"]
        {
            assert!(!allowed(&["*.example.com"], other), "{other}");
        }
        assert!(allowed(&["bücher.example"], "https://xn--bcher-kva.example/"));
        assert!(
            allowed(&["127.0.0.1"], "http://0x7f000001/")
                && allowed(&["[::1]:80"], "http://[::1]/")
        );
        assert!(
            !allowed(&["*.0.0.1", "localhost"], "http://127.0.0.1/")
                && !allowed(&[], "https://a.b/")
        );
        for bad in [
            "",
            "*",
            "*.",
            "https://a.b",
            "a.b/c",
            "a.b:0",
            "a.b:x",
            "a b",
            "*.1.2.3.4",
            "a@b",
            "a%2eb",
            "a:",
        ] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad:?}");
        }
        for shown in ["api.example.com", "*.example.com:8443", "[::1]", "10.0.0.1:80"] {
            assert_eq!(shown.parse::<HostPattern>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn without_destination_hosts_every_host_is_a_destination() {
        let none: [&str; 0] = [];
        assert_eq!(DestinationHosts::of(&none), DestinationHosts::default());
        assert_eq!(DestinationHosts::default().check(&url("https://a.example/")), Ok(()));
    }

    #[test]
    fn with_destination_hosts_there_are_no_others() {
        let hosts = DestinationHosts::of(&["hooks.example.com", "*.example.org:8443"]);
        for open in ["https://hooks.example.com/x?y", "https://a.example.org:8443/"] {
            assert_eq!(hosts.check(&url(open)), Ok(()), "{open}");
        }
        for closed in [
            "https://hooks.example.com:8443/",
            "https://hooks.example.com.evil.io/",
            "https://hooks.example.com@evil.io/",
            "https://a.example.org/",
            "https://evil.io/hooks.example.com",
            "data:hooks.example.com",
        ] {
            assert_eq!(hosts.check(&url(closed)), Err(DestinationNotAllowed), "{closed}");
        }
    }

    #[test]
    fn an_entry_without_a_port_opens_the_usual_ports_of_a_service() {
        let list = DestinationHosts::of(&["mail.example.com", "*.example.net:2465", "192.0.2.1"]);
        for (host, port, is_allowed) in [
            ("mail.example.com", 587, true),
            ("MAIL.example.com.", 25, true),
            ("mail.example.com", 443, false),
            ("mail.example.com", 2465, false),
            ("a.example.net", 2465, true),
            ("a.example.net", 587, false),
            ("192.0.2.1", 587, true),
            ("192.0.2.2", 587, false),
        ] {
            let checked = list.check_service(&Host::parse(host).unwrap(), port, &[25, 587]);
            assert_eq!(checked.is_ok(), is_allowed, "{host}:{port}");
        }
        let closed = DestinationHosts::of(&["no host"]);
        let host = Host::parse("mail.example.com").unwrap();
        assert!(closed.check_service(&host, 587, &[587]).is_err());
        assert!(DestinationHosts::default().check_service(&host, 1, &[]).is_ok());
    }

    #[test]
    fn entries_that_are_no_hosts_open_nothing() {
        let hosts = DestinationHosts::of(&["*", "https://a.example"]);
        assert_eq!(hosts.check(&url("https://a.example/")), Err(DestinationNotAllowed));
    }

    proptest! {
        #[test]
        fn a_list_allows_what_its_own_patterns_allow(entry in "[*a-c.:0-9\\[\\]]{1,12}") {
            let listed = DestinationHosts::of(&[&entry]);
            let allowing = HostAllowList::of([&entry]);
            for text in ["https://a.b/", "http://a.b.c:80/", "http://1.2.3.4:8080/"] {
                prop_assert_eq!(listed.check(&url(text)).is_ok(), allowing.allows(&url(text)));
            }
        }
    }
}
