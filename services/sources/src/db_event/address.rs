//! Where a database is: what a secret says.

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use url::{Host, Url};

use crate::held::SourceError;

/// A database, and who is to log in.
pub(super) struct Address {
    pub(super) host: Host,
    pub(super) port: u16,
    /// With user, password, database and whether TLS is used.
    pub(super) config: Config,
}

/// What drivers are often told, and what does not matter here.
const PASSED_OVER: [&str; 6] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "gssencmode",
    "keepalives",
    "target_session_attrs",
];

impl Address {
    /// `postgres://user:password@host:port/database?sslmode=…`; one host, reached by TCP.
    ///
    /// `sslmode`: `disable` is never private; `prefer`, the default, is if the server offers it;
    /// `require`, `verify-ca` and `verify-full` always are. Whenever it is private, the server has
    /// to prove that it is the host, vouched for by an authority.
    pub(super) fn parse(url: &str) -> Result<Self, SourceError> {
        Self::read(url.trim())
            .map_err(|why| SourceError::failed("database_url_invalid", format!("the secret {why}")))
    }

    fn read(text: &str) -> Result<Self, String> {
        let form = || "must be a URL like postgres://user:password@host:5432/database".to_owned();
        let mut url = Url::parse(text).map_err(|_may_hold_a_password| form())?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(form());
        }
        let ssl_mode = read_parameters(&url)?;
        url.set_query(None);
        url.set_fragment(None);
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(form)?;
        if host.contains(['%', ',', '/']) {
            return Err("must name one host, not several and no socket".to_owned());
        }
        let host = Host::parse(host).map_err(|_not_shown| form())?;
        let port = url.port().unwrap_or(5432);
        let mut config: Config =
            url.as_str().parse().map_err(|_may_hold_a_password: tokio_postgres::Error| form())?;
        if config.get_user().is_none_or(str::is_empty) {
            return Err("must name a user".to_owned());
        }
        config.ssl_mode(ssl_mode).application_name("recado");
        Ok(Self { host, port, config })
    }
}

fn read_parameters(url: &Url) -> Result<SslMode, String> {
    let mut ssl_mode = SslMode::Prefer;
    for (name, value) in url.query_pairs() {
        match (&*name, &*value) {
            ("sslmode", "disable") => ssl_mode = SslMode::Disable,
            ("sslmode", "allow" | "prefer") => ssl_mode = SslMode::Prefer,
            ("sslmode", "require" | "verify-ca" | "verify-full") => ssl_mode = SslMode::Require,
            ("sslmode", _) => {
                return Err(
                    "must have an sslmode of disable, prefer, require or verify-full".into()
                );
            }
            (name, _) if PASSED_OVER.contains(&name) => {}
            _ => return Err("has a parameter other than sslmode".to_owned()),
        }
    }
    Ok(ssl_mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_all_of_it() {
        let address =
            Address::read("postgres://a%40b:p%2Fw@db.example.com/erp?sslmode=verify-full");
        let address = address.unwrap();
        assert_eq!(address.host, Host::parse("db.example.com").unwrap());
        assert_eq!(address.port, 5432);
        assert_eq!(address.config.get_user(), Some("a@b"));
        assert_eq!(address.config.get_password(), Some(&b"p/w"[..]));
        assert_eq!(address.config.get_dbname(), Some("erp"));
        assert_eq!(address.config.get_ssl_mode(), SslMode::Require);
        let address = Address::read("postgresql://a@[::1]:6432/erp?connect_timeout=5").unwrap();
        assert_eq!(address.host, Host::parse("[::1]").unwrap());
        assert_eq!((address.port, address.config.get_ssl_mode()), (6432, SslMode::Prefer));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for wrong in [
            "",
            "hunter2",
            "mysql://a:hunter2@h/d",
            "postgres://h/d",
            "postgres://:hunter2@h/d",
            "postgres://a:hunter2@/d",
            "postgres://a:hunter2@%2Ftmp/d",
            "postgres://a:hunter2@h1,h2/d",
            "postgres://a:hunter2@h:1,h:2/d",
            "postgres://a:hunter2@h/d?host=/tmp",
            "postgres://a:hunter2@h/d?options=-chunter2",
            "postgres://a:hunter2@h/d?sslmode=hunter2",
            "host=h user=a password=hunter2",
        ] {
            let Err(why) = Address::read(wrong) else { panic!("{wrong} is taken") };
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
