//! A private `PostgreSQL`: one cluster, superuser `postgres` without a password, database `recado`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::account::Account;
use super::process::{Launch, Ready, Signals};
use super::{PortLease, Recipe, Server, ServerError, programs};
use crate::sql;

/// A private `PostgreSQL` server.
pub type Postgres = Server<PostgresRecipe>;

/// How a private `PostgreSQL` is set up and run.
#[derive(Debug)]
pub struct PostgresRecipe {
    port: PortLease,
    durable: bool,
}

/// Many of these servers share a machine. In the file, and not among the arguments, so that whoever
/// needs more can say so (`ALTER SYSTEM`).
const SIZES: &[u8] = b"shared_buffers = 64MB\nmax_wal_size = 256MB\n";

impl Postgres {
    /// Starts a server with its data in `dir`; what was committed survives `kill -9` and power cuts.
    pub async fn start(dir: impl AsRef<Path>) -> Result<Self, ServerError> {
        Self::start_with(dir.as_ref(), true).await
    }

    /// The same, except that it never waits for the disk: quick, and for throw-away data only.
    pub async fn start_without_fsync(dir: impl AsRef<Path>) -> Result<Self, ServerError> {
        Self::start_with(dir.as_ref(), false).await
    }

    async fn start_with(dir: &Path, durable: bool) -> Result<Self, ServerError> {
        let port = PortLease::acquire().map_err(ServerError::io("lease a port for", dir))?;
        Self::launch(PostgresRecipe { port, durable }, dir).await
    }

    /// The URL of the database `recado`.
    pub fn url(&self) -> String {
        self.recipe.url("recado")
    }
}

impl PostgresRecipe {
    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port.port())
    }
}

impl Recipe for PostgresRecipe {
    const NAME: &'static str = "PostgreSQL";
    const READY_WITHIN: Duration = Duration::from_mins(1);

    fn prepare(&self, dir: &Path) -> Result<(), ServerError> {
        let data = dir.join("data");
        if data.join("PG_VERSION").exists() {
            return Ok(());
        }
        fs::create_dir_all(&data).map_err(ServerError::io("create", &data))?;
        Account::of_servers()?.own(&data)?;
        let (program, arguments) = Account::of_servers()?.run(
            programs::in_versions("/usr/lib/postgresql", "bin", "initdb")?,
            [
                OsString::from("--username=postgres"),
                "--auth=trust".into(),
                "--encoding=UTF8".into(),
                "--locale=C.UTF-8".into(),
                "--no-sync".into(),
                "--pgdata".into(),
                data.clone().into(),
            ],
        )?;
        let initdb = Command::new(program).args(arguments).current_dir("/").output();
        let initdb = initdb.map_err(ServerError::io("run initdb for", dir))?;
        if !initdb.status.success() {
            let output = String::from_utf8_lossy(&initdb.stderr).into_owned();
            return Err(ServerError::Prepare { program: "initdb", output });
        }
        let configuration = data.join("postgresql.conf");
        let file = File::options().append(true).open(&configuration);
        let written = file.and_then(|mut file| file.write_all(SIZES));
        written.map_err(ServerError::io("write", &configuration))
    }

    fn launches(&self, dir: &Path) -> Result<Vec<Launch>, ServerError> {
        let on_or_off = if self.durable { "on" } else { "off" };
        let settings = [
            format!("port={}", self.port.port()),
            "listen_addresses=127.0.0.1".to_owned(),
            // A path of a socket is limited to 107 bytes; TCP will do.
            "unix_socket_directories=".to_owned(),
            "max_connections=300".to_owned(),
            // Files in the data directory, which go away with it even after SIGKILL.
            "dynamic_shared_memory_type=mmap".to_owned(),
            format!("fsync={on_or_off}"),
            format!("synchronous_commit={on_or_off}"),
            format!("full_page_writes={on_or_off}"),
        ];
        let mut arguments = vec![OsString::from("-D"), dir.join("data").into()];
        arguments.extend(settings.into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
        let postgres = programs::in_versions("/usr/lib/postgresql", "bin", "postgres")?;
        let (program, arguments) = Account::of_servers()?.run(postgres, arguments)?;
        Ok(vec![Launch {
            program,
            arguments,
            environment: Vec::new(),
            log: dir.join("postgres.log"),
            signals: Signals::Postgres,
            ready: Ready::Serving,
        }])
    }

    /// Serving means that `recado` can be queried: the first start creates it.
    async fn is_serving(&self) -> bool {
        if sql::execute(&self.url("recado"), "SELECT 1").await.is_ok() {
            return true;
        }
        // Fails while the server starts and when the database exists: the next poll tells.
        let _ = sql::execute(&self.url("postgres"), "CREATE DATABASE recado").await;
        false
    }
}
