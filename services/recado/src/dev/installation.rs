//! What an installation on this machine keeps between runs, beside its servers' data.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recado_http::auth::ApiKey;
use recado_service::config::{Env as _, MapEnv};
use serde::{Deserialize, Serialize};

/// What tells where everything is, once it is ready.
const READY_FILE: &str = "dev.json";

/// The secrets of the installation: made once, kept for the data that is sealed with them.
#[derive(Serialize, Deserialize)]
struct Kept {
    secret_keys: String,
    jwt_secret: String,
    api_key: String,
}

/// A directory with an installation, which is ours alone for as long as this lives.
pub(super) struct Installation {
    dir: PathBuf,
    kept: Kept,
    _lock: File,
}

impl Installation {
    /// Opens the installation in `dir`, or makes one. Fails if another process has it open: two
    /// servers on the same files destroy them.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let lock = lock(dir)?;
        // What another run left, if it was killed, tells of nothing that is there.
        remove_if_there(&dir.join(READY_FILE))?;
        let path = dir.join("secrets.json");
        let kept = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} was changed by somebody", path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Kept::make(&path)?,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        Ok(Self { dir: dir.to_owned(), kept, _lock: lock })
    }

    /// Where to write what runs here.
    pub(super) fn ready_file(&self) -> PathBuf {
        self.dir.join(READY_FILE)
    }

    /// The demo tenant's API key.
    pub(super) fn api_key(&self) -> anyhow::Result<ApiKey> {
        self.kept.api_key.parse().context("the API key in secrets.json is no API key")
    }

    /// Sets what a person did not set.
    pub(super) fn complete(&self, env: &mut MapEnv) -> anyhow::Result<()> {
        default(env, "RECADO_SECRET_KEYS", &self.kept.secret_keys);
        default(env, "RECADO_JWT_SECRET", &self.kept.jwt_secret);
        // Callbacks to something that is being tried out on the same machine.
        default(env, "RECADO_ALLOW_PRIVATE_DESTINATIONS", "127.0.0.0/8,::1/128");
        default(env, "RECADO_INGRESS_LISTEN", "127.0.0.1:8080");
        // A signature over the public URL has to know the port before anybody listens on it. An
        // address that does not parse is for ingress to complain about.
        if let Some(address) = env.var("RECADO_INGRESS_LISTEN").and_then(|text| text.parse().ok()) {
            let address = with_port(address)?;
            env.set("RECADO_INGRESS_LISTEN", address.to_string());
            default(env, "RECADO_PUBLIC_URL", &format!("http://{address}"));
        }
        Ok(())
    }
}

impl Kept {
    fn make(path: &Path) -> anyhow::Result<Self> {
        let random = || BASE64.encode(rand::random::<[u8; 32]>());
        let kept = Self {
            secret_keys: format!("dev:{}", random()),
            jwt_secret: random(),
            api_key: ApiKey::from_random(&rand::random()).expose().to_owned(),
        };
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        file.write_all(&serde_json::to_vec_pretty(&kept)?)?;
        Ok(kept)
    }
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("{} is in use by another `recado dev`", dir.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Sets `name`, unless it is set to something.
fn default(env: &mut MapEnv, name: &str, value: &str) {
    if env.var(name).is_none_or(|value| value.trim().is_empty()) {
        env.set(name, value);
    }
}

/// Port 0 becomes a free one. Another process might take it before ingress does; then ingress
/// says so.
fn with_port(address: SocketAddr) -> anyhow::Result<SocketAddr> {
    if address.port() != 0 {
        return Ok(address);
    }
    let listener = TcpListener::bind(address).context("there is no free port for ingress")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use recado_testkit::scratch::ScratchDir;

    use super::*;

    #[test]
    fn an_installation_is_open_once_and_keeps_its_secrets() {
        let scratch = ScratchDir::new().unwrap();
        let first = Installation::open(scratch.path()).unwrap();
        let error = Installation::open(scratch.path()).err().expect("somebody else has it open");
        assert!(error.to_string().contains("is in use"), "{error}");
        let key = first.api_key().unwrap().expose().to_owned();
        drop(first);
        let again = Installation::open(scratch.path()).unwrap();
        assert_eq!(again.api_key().unwrap().expose(), key);
    }

    #[test]
    fn what_a_killed_run_left_is_not_believed() {
        let scratch = ScratchDir::new().unwrap();
        fs::write(scratch.path().join(READY_FILE), "{}").unwrap();
        let installation = Installation::open(scratch.path()).unwrap();
        assert!(!installation.ready_file().exists());
    }
}
