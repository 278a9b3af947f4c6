//! What the outside world calls us.
//!
//! A signature over the URL is checked against this, never against the `Host` of a request: that
//! is a claim of the caller, and a gateway in front changes it.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// The public address, without a path's last slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: String,
    host: String,
    port: u16,
    explicit_port: bool,
    path: String,
}

/// Why a text is no public address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    /// It is no URL at all, or one of another kind.
    #[error("must be the public address, for example https://recado.example.com")]
    NotHttp,
    /// It has more parts than it may have.
    #[error("must have no user, password, query or fragment")]
    TooMuch,
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let url = Url::parse(text).map_err(|_not_shown| PublicUrlError::NotHttp)?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(PublicUrlError::NotHttp);
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(PublicUrlError::NotHttp);
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(PublicUrlError::TooMuch);
        }
        Ok(Self {
            scheme: url.scheme().to_owned(),
            host: host.to_owned(),
            port,
            explicit_port: url.port().is_some(),
            path: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&if self.explicit_port { self.with_port("") } else { self.without_port("") })
    }
}

impl PublicUrl {
    /// The URL of a request, with the port.
    pub fn with_port(&self, path_and_query: &str) -> String {
        let Self { scheme, host, port, path, .. } = self;
        format!("{scheme}://{host}:{port}{path}{path_and_query}")
    }

    /// The URL of a request, without the port.
    pub fn without_port(&self, path_and_query: &str) -> String {
        let Self { scheme, host, path, .. } = self;
        format!("{scheme}://{host}{path}{path_and_query}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> PublicUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_request_has_a_url_with_and_one_without_the_port() {
        let url = parsed("https://recado.example.com/");
        assert_eq!(url.with_port("/a?b=1"), "https://recado.example.com:443/a?b=1");
        assert_eq!(url.without_port("/a?b=1"), "https://recado.example.com/a?b=1");
        let url = parsed("http://127.0.0.1:8080/gateway/");
        assert_eq!(url.with_port("/a"), "http://127.0.0.1:8080/gateway/a");
        assert_eq!(url.without_port("/a"), "http://127.0.0.1/gateway/a");
    }

    #[test]
    fn it_is_shown_as_it_was_given() {
        for url in ["https://recado.example.com", "http://[::1]:8080", "http://h:81/gateway"] {
            assert_eq!(parsed(url).to_string(), url);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "recado.example.com", "ftp://h", "mailto:a@b"] {
            assert_eq!(text.parse::<PublicUrl>(), Err(PublicUrlError::NotHttp), "{text}");
        }
        for text in ["https://u@h", "https://u:p@h", "https://h?a=1", "https://h#a"] {
            assert_eq!(text.parse::<PublicUrl>(), Err(PublicUrlError::TooMuch), "{text}");
        }
    }
}
