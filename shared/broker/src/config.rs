//! What a service has to say about the broker.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use recado_clock::{Clock, SystemClock};
use url::{Host, Url};

use crate::connection::ConnectionError;

/// How to reach the broker, and how much to ask of it.
#[derive(Clone)]
pub struct Config {
    /// `amqp://user:password@host:port/vhost`, or `amqps://` with the machine's trusted roots.
    /// A vhost is percent-encoded; without one, or with an empty one, it is `/`.
    pub url: String,
    /// What the connections are called in the broker's management pages.
    pub connection_name: String,
    /// How long a publication may take from the call to the confirm. 2 s by default.
    pub publish_timeout: Duration,
    /// The AMQP heartbeat, in whole seconds; a silent peer is given up after two of them.
    /// 10 s by default.
    pub heartbeat: Duration,
    /// Over how many channels publications are spread. 2 by default, 1 at least.
    pub publish_channels: usize,
    /// How many unacknowledged messages the broker may hand to a consumer. 256 by default,
    /// 1 at least; a quorum queue gives 2,000 at most.
    pub prefetch: u16,
    /// How many messages a handler gets at once. 128 by default, 1 at least.
    pub batch: usize,
    /// How long a consumer keeps messages whose handler says [`OnError::Hold`](crate::OnError::Hold)
    /// before it gives them back, so that somebody else may try. 30 s by default; longer for
    /// messages that came back before.
    pub hold_for: Duration,
    /// Where the `timestamp` of a message comes from.
    pub clock: Arc<dyn Clock>,
}

impl Config {
    /// The defaults, for a broker at `url`.
    pub fn new(url: impl Into<String>, connection_name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connection_name: connection_name.into(),
            publish_timeout: Duration::from_secs(2),
            heartbeat: Duration::from_secs(10),
            publish_channels: 2,
            prefetch: 256,
            batch: 128,
            hold_for: Duration::from_secs(30),
            clock: Arc::new(SystemClock::default()),
        }
    }

    /// The URL, understood.
    ///
    /// lapin takes an IPv6 literal for no host at all, and would connect to `localhost`.
    pub(crate) fn uri(&self) -> Result<AMQPUri, ConnectionError> {
        let invalid = |reason: String| ConnectionError::Url { reason };
        let url = Url::parse(&self.url).map_err(|error| invalid(error.to_string()))?;
        let mut uri: AMQPUri = self.url.parse().map_err(invalid)?;
        if let Some(Host::Ipv6(address)) = url.host() {
            uri.authority.host = address.to_string();
        }
        if uri.vhost.is_empty() {
            uri.vhost = "/".into();
        }
        if uri.vhost.len() > lapin::types::MAX_SHORT_STRING_LENGTH {
            return Err(invalid("the vhost's name is too long".into()));
        }
        uri.query.heartbeat = Some(u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX));
        Ok(uri)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &redacted(&self.url))
            .field("connection_name", &self.connection_name)
            .field("publish_timeout", &self.publish_timeout)
            .field("heartbeat", &self.heartbeat)
            .field("publish_channels", &self.publish_channels)
            .field("prefetch", &self.prefetch)
            .field("batch", &self.batch)
            .field("hold_for", &self.hold_for)
            .finish_non_exhaustive()
    }
}

/// The URL without its password; nothing of it if it cannot be told where the password is.
fn redacted(url: &str) -> String {
    let url = Url::parse(url).ok().filter(Url::has_host);
    let Some(mut url) = url else {
        return "[not a broker's URL]".into();
    };
    if url.password().is_some() && url.set_password(Some("redacted")).is_err() {
        return "[redacted]".into();
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(url: &str) -> AMQPUri {
        Config::new(url, "test").uri().unwrap()
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!("{:?}", Config::new("amqp://me:s3cret@mq:5672/v", "ingress"));
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("mq:5672"), "{shown}");
    }

    #[test]
    fn debug_shows_nothing_of_what_is_not_a_url() {
        for url in ["me:s3cret", "//me:s3cret@mq", "s3cret"] {
            let shown = format!("{:?}", Config::new(url, "ingress"));
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn a_url_without_a_vhost_means_the_default_one() {
        assert_eq!(uri("amqp://mq").vhost, "/");
        assert_eq!(uri("amqp://mq/").vhost, "/");
        assert_eq!(uri("amqp://mq/%2f").vhost, "/");
        assert_eq!(uri("amqp://mq/a%2Fb").vhost, "a/b");
    }

    #[test]
    fn an_ipv6_host_is_kept() {
        assert_eq!(uri("amqp://[::1]:5672/").authority.host, "::1");
        assert_eq!(uri("amqp://127.0.0.1").authority.host, "127.0.0.1");
    }

    #[test]
    fn the_heartbeat_is_asked_for() {
        assert_eq!(uri("amqp://mq?heartbeat=60").query.heartbeat, Some(10));
    }

    #[test]
    fn a_wrong_url_is_an_error() {
        for url in ["", "mq", "http://mq", "amqp://mq?heartbeat=x"] {
            assert!(Config::new(url, "test").uri().is_err(), "{url}");
        }
    }
}
