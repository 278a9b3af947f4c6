//! Where the API is, and who asks.
//!
//! A credential is never on the command line, where every other process can read it.

use std::fs;
use std::path::Path;

use recado_service::config::{Reader, SecretString, Settings};
use serde_json::Value;
use url::Url;

use super::cli::Server;
use super::failure::Failure;

const DEFAULT_URL: &str = "http://127.0.0.1:8081";
/// A token has some hundred bytes.
const MAX_TOKEN_FILE: u64 = 64 * 1024;

/// What the environment says.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    api_url: Option<String>,
    token: Option<SecretString>,
    api_key: Option<SecretString>,
    dev_dir: Option<String>,
}

impl Settings for Environment {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            api_url: read.optional("RECADO_API_URL"),
            token: read.optional_secret("RECADO_TOKEN"),
            api_key: read.optional_secret("RECADO_API_KEY"),
            dev_dir: read.optional("RECADO_DEV_DIR"),
        })
    }
}

/// Where to go, and what to show there.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) base: Url,
    /// A token or an API key: the API takes either as the bearer.
    pub(super) credential: SecretString,
}

impl Connection {
    /// What the command line says counts before the environment.
    pub(super) fn find(options: &Server, environment: Environment) -> Result<Self, Failure> {
        let Environment { api_url, token, api_key, dev_dir } = environment;
        let dev = options.dev.as_deref().map(Dev::read).transpose()?;
        // What runs on this machine is asked for only where nothing else says it.
        let fallback = |is_wanted: bool| match dev_dir.as_deref() {
            Some(dir) if is_wanted && dev.is_none() => Dev::read(Path::new(dir)).map(Some),
            _ => Ok(None),
        };
        let url = options.url.clone().or_else(|| dev.as_ref().map(|dev| dev.url.clone()));
        let url = url.or(api_url);
        let credential = options.token_file.as_deref().map(read_token).transpose()?;
        let credential = credential.or_else(|| dev.as_ref().map(|dev| dev.token.clone()));
        let credential = credential.or(token).or(api_key);
        let fallback = fallback(url.is_none() || credential.is_none())?;
        let url = url.or_else(|| fallback.as_ref().map(|dev| dev.url.clone()));
        let credential = credential.or_else(|| fallback.as_ref().map(|dev| dev.token.clone()));
        let credential = credential.ok_or_else(|| {
            Failure::usage(
                "there is no credential: set RECADO_TOKEN or RECADO_API_KEY, or give --token-file, \
                 or --dev with the directory of a `recado dev` that runs",
            )
        })?;
        let found = Self { base: base_url(url.as_deref().unwrap_or(DEFAULT_URL))?, credential };
        if found.is_private() || options.insecure_http {
            Ok(found)
        } else {
            Err(Failure::usage(
                "the URL of the API is http:// and not of this machine: whoever is on the way \
                 could read the credential; use https://, or say --insecure-http where the network \
                 is trusted",
            ))
        }
    }

    /// Whether nobody on the way can read the credential.
    fn is_private(&self) -> bool {
        self.base.scheme() == "https" || self.is_here()
    }

    /// Whether it is this machine.
    pub(super) fn is_here(&self) -> bool {
        match self.base.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
}

/// What `recado dev` says of itself while it runs.
struct Dev {
    url: String,
    token: SecretString,
}

impl Dev {
    fn read(dir: &Path) -> Result<Self, Failure> {
        let path = dir.join("dev.json");
        let facts = fs::read(&path).map_err(|error| {
            let what = "is `recado dev` running there?";
            Failure::usage(format!("cannot read {}: {error}; {what}", path.display()))
        })?;
        let facts: Value = serde_json::from_slice(&facts).unwrap_or_default();
        let fact = |name: &str| {
            let fact = facts[name].as_str().map(str::to_owned);
            fact.ok_or_else(|| Failure::usage(format!("{} has no {name}", path.display())))
        };
        Ok(Self { url: fact("management_url")?, token: SecretString::new(fact("jwt")?) })
    }
}

fn read_token(path: &Path) -> Result<SecretString, Failure> {
    let refused = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let length = fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if length > MAX_TOKEN_FILE {
        return Err(refused("is too long to hold a token".into()));
    }
    let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() || token.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(refused("holds no token".into()));
    }
    Ok(SecretString::new(token.to_owned()))
}

/// The refusal does not repeat the text, which may hold a password.
fn base_url(text: &str) -> Result<Url, Failure> {
    let refused = |why: &str| Failure::usage(format!("the URL of the API {why}"));
    let mut url = Url::parse(text).map_err(|_not_shown| refused("is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("must not hold a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("must have no query and no fragment"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use recado_testkit::scratch::ScratchDir;

    use super::*;
    use crate::client::cli::Output;

    fn options() -> Server {
        Server {
            url: None,
            token_file: None,
            dev: None,
            insecure_http: false,
            output: Output::Table,
        }
    }

    fn secret(text: &str) -> SecretString {
        SecretString::new(text.to_owned())
    }

    fn found(options: &Server, environment: Environment) -> Result<(String, String), String> {
        let found = Connection::find(options, environment).map_err(|error| error.to_string())?;
        assert!(!format!("{found:?}").contains(found.credential.expose()));
        Ok((found.base.to_string(), found.credential.expose().clone()))
    }

    #[test]
    fn what_is_said_counts_before_what_is_around() {
        let scratch = ScratchDir::new().unwrap();
        let (dir, file) = (scratch.path().to_owned(), scratch.path().join("token"));
        let facts = r#"{"management_url": "http://127.0.0.1:1", "jwt": "dev-token"}"#;
        fs::write(dir.join("dev.json"), facts).unwrap();
        fs::write(&file, " file-token\n").unwrap();
        let around = || Environment {
            api_url: Some("https://api.example.com/recado/".into()),
            token: Some(secret("env-token")),
            api_key: Some(secret("env-key")),
            dev_dir: Some("/nowhere".into()),
        };
        let pair = |url: &str, token: &str| Ok((url.to_owned(), token.to_owned()));

        let api = "https://api.example.com/recado";
        assert_eq!(found(&options(), around()), pair(api, "env-token"));
        let with_key = Environment { token: None, ..around() };
        assert_eq!(found(&options(), with_key), pair(api, "env-key"));
        let dev = Server { dev: Some(dir.clone()), ..options() };
        assert_eq!(found(&dev, around()), pair("http://127.0.0.1:1/", "dev-token"));
        let all = Server { url: Some("https://x:2".into()), token_file: Some(file), ..dev };
        assert_eq!(found(&all, around()), pair("https://x:2/", "file-token"));
        let dir = dir.to_string_lossy().into_owned();
        let only_dir = Environment { dev_dir: Some(dir), ..Environment::default() };
        assert_eq!(found(&options(), only_dir), pair("http://127.0.0.1:1/", "dev-token"));
        let key = Environment { api_key: Some(secret("k")), ..Environment::default() };
        assert_eq!(found(&options(), key), pair("http://127.0.0.1:8081/", "k"));
    }

    #[test]
    fn a_credential_goes_unencrypted_nowhere_else_unless_that_is_wanted() {
        let ask = |url: &str, insecure_http| {
            let key = Environment { api_key: Some(secret("hunter2")), ..Environment::default() };
            let options = Server { url: Some(url.into()), insecure_http, ..options() };
            found(&options, key)
        };
        for fine in ["http://127.0.0.9:1", "http://[::1]:1", "http://localhost", "https://x"] {
            assert!(ask(fine, false).is_ok(), "{fine}");
        }
        let names = ["http://x", "http://10.0.0.1:8081", "http://localhost.x", "http://[fe80::1]"];
        for elsewhere in names {
            let refused = ask(elsewhere, false).unwrap_err();
            assert!(refused.contains("--insecure-http"), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
            assert!(ask(elsewhere, true).is_ok(), "{elsewhere}");
        }
        // Wherever the address comes from.
        let around = Environment {
            api_url: Some("http://x".into()),
            token: Some(secret("t")),
            ..Environment::default()
        };
        assert!(found(&options(), around).is_err());
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_being_shown() {
        let nothing = found(&options(), Environment::default()).unwrap_err();
        assert!(nothing.contains("RECADO_TOKEN"), "{nothing}");
        for bad in ["nowhere", "ftp://x", "http://ana:hunter2@x", "http://x?token=hunter2"] {
            let options = Server { url: Some(bad.into()), ..options() };
            let key = Environment { api_key: Some(secret("k")), ..Environment::default() };
            let refused = found(&options, key).unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        let options = Server { dev: Some(PathBuf::from("/nowhere")), ..options() };
        assert!(found(&options, Environment::default()).is_err());
    }
}
