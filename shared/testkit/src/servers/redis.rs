//! A private Redis that keeps what it was told across `kill -9` and refuses writes when full.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::process::{Launch, Ready, Signals};
use super::{PortLease, Recipe, Server, ServerError, programs};

/// A private Redis server.
pub type Redis = Server<RedisRecipe>;

/// How a private Redis is set up and run.
#[derive(Debug)]
pub struct RedisRecipe {
    port: PortLease,
}

impl Redis {
    /// Starts a server with its append-only file in `dir`.
    pub async fn start(dir: impl AsRef<Path>) -> Result<Self, ServerError> {
        let dir = dir.as_ref();
        let port = PortLease::acquire().map_err(ServerError::io("lease a port for", dir))?;
        Self::launch(RedisRecipe { port }, dir).await
    }

    /// The URL of database 0.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.recipe.port.port())
    }

    /// Sends one command of plain words, such as `FLUSHALL`; the answer is the protocol's first
    /// line, such as `+OK`.
    pub async fn command(&self, words: &str) -> Result<String, ServerError> {
        let failed = |output| ServerError::Command { command: "a Redis command", output };
        match self.recipe.command(words).await {
            Some(answer) if !answer.starts_with('-') => Ok(answer),
            Some(refusal) => Err(failed(refusal)),
            None => Err(failed("no answer".to_owned())),
        }
    }
}

impl RedisRecipe {
    async fn command(&self, words: &str) -> Option<String> {
        const LIMIT: Duration = Duration::from_secs(5);
        timeout(LIMIT, self.exchange(words)).await.ok()?
    }

    async fn exchange(&self, words: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port.port())).await.ok()?;
        stream.write_all(format!("{words}\r\n").as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            if stream.read_buf(&mut answer).await.ok()? == 0 {
                return None;
            }
        }
        Some(String::from_utf8_lossy(&answer).lines().next()?.to_owned())
    }
}

impl Recipe for RedisRecipe {
    const NAME: &'static str = "Redis";
    const READY_WITHIN: Duration = Duration::from_secs(30);

    fn prepare(&self, _dir: &Path) -> Result<(), ServerError> {
        Ok(())
    }

    fn launches(&self, dir: &Path) -> Result<Vec<Launch>, ServerError> {
        let port = self.port.port().to_string();
        let settings: [(&str, OsString); 8] = [
            ("--port", port.into()),
            ("--bind", "127.0.0.1".into()),
            ("--dir", dir.into()),
            ("--daemonize", "no".into()),
            ("--appendonly", "yes".into()),
            ("--appendfsync", "everysec".into()),
            ("--save", "".into()),
            // What is in the windows must not be evicted: writers are to be told instead.
            ("--maxmemory-policy", "noeviction".into()),
        ];
        Ok(vec![Launch {
            program: programs::on_path("redis-server")?,
            arguments: settings
                .into_iter()
                .flat_map(|(name, value)| [name.into(), value])
                .collect(),
            environment: Vec::new(),
            log: dir.join("redis.log"),
            signals: Signals::Usual,
            ready: Ready::Serving,
        }])
    }

    /// `-LOADING` while the append-only file is read.
    async fn is_serving(&self) -> bool {
        self.command("PING").await.as_deref() == Some("+PONG")
    }
}
