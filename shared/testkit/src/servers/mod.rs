//! Private servers: a `PostgreSQL`, a Redis, a `RabbitMQ` and mail servers of one's own, on free
//! loopback ports.
//!
//! They are children of this process and die with it, even if it is killed.
//! Their data lives under a directory that the caller names, and is found again by the next start.
//! Each can be killed, restarted on its port, frozen and wiped: what fault tests need.
//!
//! The servers listen on 127.0.0.1 only and ask for no secret worth the name.
//! They are for development and tests, never for production.

mod account;
mod error;
mod left_running;
mod mail;
mod port;
mod postgres;
pub(crate) mod process;
mod programs;
mod rabbitmq;
mod redis;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

pub use error::ServerError;
pub use left_running::processes_of;
pub use mail::{Mail, MailRecipe, PASSWORD as MAIL_PASSWORD};
pub use port::PortLease;
pub use postgres::{Postgres, PostgresRecipe};
pub use process::{Launch, Ready, ServerProcess, Signals};
pub use rabbitmq::{RabbitMq, RabbitMqRecipe};
pub use redis::{Redis, RedisRecipe};

use process::tail;

/// How long a server may take to finish its work when it is asked to stop.
const SHUTDOWN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// What is particular about one kind of server.
pub trait Recipe {
    /// The server's name, for messages.
    const NAME: &'static str;
    /// How long it may take from launch to ready, on a machine that is busy compiling.
    const READY_WITHIN: Duration;

    /// Makes what the server needs in `dir`; leaves what is there already.
    fn prepare(&self, dir: &Path) -> Result<(), ServerError>;

    /// What to run, in order. The last is the server itself, those before are its helpers.
    fn launches(&self, dir: &Path) -> Result<Vec<Launch>, ServerError>;

    /// Whether the server does its work by now.
    fn is_serving(&self) -> impl Future<Output = bool> + Send;
}

/// A running private server. Dropping it ends it at once; its data stays.
#[derive(Debug)]
pub struct Server<R: Recipe> {
    recipe: R,
    dir: PathBuf,
    /// Helpers first; empty while it is down. Dropped in reverse by [`Server::kill`].
    processes: Vec<ServerProcess>,
}

impl<R: Recipe> Server<R> {
    async fn launch(recipe: R, dir: &Path) -> Result<Self, ServerError> {
        fs::create_dir_all(dir).map_err(ServerError::io("create the data directory", dir))?;
        let dir = fs::canonicalize(dir).map_err(ServerError::io("resolve the directory", dir))?;
        let mut server = Self { recipe, dir, processes: Vec::new() };
        server.restart().await?;
        Ok(server)
    }

    /// The process id of the server; `None` while it is down.
    pub fn pid(&self) -> Option<u32> {
        self.processes.last().map(ServerProcess::id)
    }

    /// Whether it was started and has ended by itself.
    pub fn has_ended(&mut self) -> Result<bool, ServerError> {
        let Some(process) = self.processes.last_mut() else { return Ok(false) };
        let status = process.exit_status().map_err(ServerError::io("watch", &self.dir))?;
        Ok(status.is_some())
    }

    /// The directory that holds its data.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Kills the server and all its processes with SIGKILL, and returns when they are gone.
    pub fn kill(&mut self) -> Result<(), ServerError> {
        while let Some(mut process) = self.processes.pop() {
            process.kill().map_err(ServerError::io("kill the server of", &self.dir))?;
        }
        Ok(())
    }

    /// Starts the server again, on the same port and data; kills it first if it is up.
    pub async fn restart(&mut self) -> Result<(), ServerError> {
        self.kill()?;
        self.recipe.prepare(&self.dir)?;
        for launch in self.recipe.launches(&self.dir)? {
            let process = ServerProcess::spawn(&launch)
                .map_err(ServerError::io("start", launch.program.clone()))?;
            self.processes.push(process);
            self.wait_until_ready(&launch).await?;
        }
        Ok(())
    }

    /// Freezes the server (SIGSTOP): its connections stay open and nothing answers.
    pub fn stop(&self) -> Result<(), ServerError> {
        self.each(ServerProcess::freeze)
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn cont(&self) -> Result<(), ServerError> {
        self.each(ServerProcess::thaw)
    }

    /// Kills the server, deletes its data and starts it again, empty, on the same port.
    pub async fn wipe(&mut self) -> Result<(), ServerError> {
        // Dropping ends it in the way that gives shared memory back: its data will not be missed.
        while let Some(process) = self.processes.pop() {
            drop(process);
        }
        fs::remove_dir_all(&self.dir).map_err(ServerError::io("delete the data", &self.dir))?;
        fs::create_dir_all(&self.dir).map_err(ServerError::io("recreate", &self.dir))?;
        self.restart().await
    }

    /// Stops the server in good order; an error if it does not end within 30 s.
    pub async fn shutdown(mut self) -> Result<(), ServerError> {
        while let Some(mut process) = self.processes.pop() {
            process.terminate().map_err(ServerError::io("stop the server of", &self.dir))?;
            let deadline = Instant::now() + SHUTDOWN;
            while process.exit_status().map_err(ServerError::io("watch", &self.dir))?.is_none() {
                if Instant::now() >= deadline {
                    return Err(ServerError::NotStopped { name: R::NAME, waited: SHUTDOWN });
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    async fn wait_until_ready(&mut self, launch: &Launch) -> Result<(), ServerError> {
        let deadline = Instant::now() + R::READY_WITHIN;
        while !self.is_ready(launch.ready).await {
            let process = self.processes.last_mut().expect("it was pushed by the caller");
            let status = process.exit_status();
            if let Some(status) = status.map_err(ServerError::io("watch", &self.dir))? {
                return Err(ServerError::Died { name: R::NAME, status, log: tail(&launch.log) });
            }
            if Instant::now() >= deadline {
                let log = tail(&launch.log);
                return Err(ServerError::NotReady { name: R::NAME, waited: R::READY_WITHIN, log });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn is_ready(&self, ready: Ready) -> bool {
        match ready {
            Ready::Serving => self.recipe.is_serving().await,
            Ready::Listening(port) => TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok(),
        }
    }

    fn each(&self, action: impl Fn(&ServerProcess) -> io::Result<()>) -> Result<(), ServerError> {
        let done = self.processes.iter().try_for_each(action);
        done.map_err(ServerError::io("signal the server of", &self.dir))
    }
}
