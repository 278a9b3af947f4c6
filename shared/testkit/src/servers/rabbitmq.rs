//! A private `RabbitMQ` node with its own epmd, home, cookie and management API.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::process::{Launch, Ready, Signals};
use super::{PortLease, Recipe, Server, ServerError, programs};
use crate::rabbit_admin::RabbitAdmin;

/// A private `RabbitMQ` server.
pub type RabbitMq = Server<RabbitMqRecipe>;

/// The node's data is found by its name, which is therefore the same on each start;
/// each node has an epmd of its own, so that equal names do not meet.
const NODE: &str = "recado@localhost";

/// How a private `RabbitMQ` is set up and run.
#[derive(Debug)]
pub struct RabbitMqRecipe {
    amqp: PortLease,
    management: PortLease,
    distribution: PortLease,
    epmd: PortLease,
}

impl RabbitMq {
    /// Starts a node with its data in `dir`.
    pub async fn start(dir: impl AsRef<Path>) -> Result<Self, ServerError> {
        let dir = dir.as_ref();
        let lease = || PortLease::acquire().map_err(ServerError::io("lease a port for", dir));
        let recipe = RabbitMqRecipe {
            amqp: lease()?,
            management: lease()?,
            distribution: lease()?,
            epmd: lease()?,
        };
        Self::launch(recipe, dir).await
    }

    /// The URL of the default virtual host.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.recipe.amqp.port())
    }

    /// The URL of the management API, with its credentials and without `/api`.
    pub fn admin_url(&self) -> String {
        format!("http://guest:guest@127.0.0.1:{}", self.recipe.management.port())
    }

    /// Raises the disk alarm by demanding `free` bytes (use a huge number), or clears it
    /// (use 0): while it is up, publishing connections are blocked.
    pub async fn set_disk_free_limit(&self, free: u64) -> Result<(), ServerError> {
        self.ctl(&["set_disk_free_limit", &free.to_string()]).await.map(drop)
    }

    /// Runs `rabbitmqctl` against this node and returns what it printed.
    pub async fn ctl(&self, arguments: &[&str]) -> Result<String, ServerError> {
        let program = rabbitmq_program("rabbitmqctl")?;
        let ran = Command::new(&program)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .envs(self.recipe.environment(&self.dir))
            .kill_on_drop(true)
            .output()
            .await
            .map_err(ServerError::io("run", program))?;
        if ran.status.success() {
            return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
        }
        let output = String::from_utf8_lossy(&ran.stderr).into_owned();
        Err(ServerError::Command { command: "rabbitmqctl", output })
    }
}

impl RabbitMqRecipe {
    fn environment(&self, dir: &Path) -> Vec<(&'static str, OsString)> {
        vec![
            // Holds the cookie.
            ("HOME", dir.join("home").into()),
            ("ERL_EPMD_PORT", self.epmd.port().to_string().into()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("RABBITMQ_NODENAME", NODE.into()),
            ("RABBITMQ_DIST_PORT", self.distribution.port().to_string().into()),
            ("RABBITMQ_MNESIA_BASE", dir.join("mnesia").into()),
            ("RABBITMQ_LOG_BASE", dir.join("log").into()),
            ("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf").into()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins").into()),
            // /etc/rabbitmq is about the machine's own node.
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                // Without an epmd of ours it must fail rather than leave a daemon behind.
                "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false".into(),
            ),
            // Makes the script `exec` the VM, so that the process we started is the server.
            ("detached", "yes".into()),
        ]
    }

    fn configuration(&self) -> String {
        let amqp = self.amqp.port();
        let management = self.management.port();
        format!(
            "listeners.tcp.local = 127.0.0.1:{amqp}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n\
             management_agent.disable_metrics_collector = true\n\
             disk_free_limit.absolute = 64MB\n\
             vm_memory_high_watermark.absolute = 1GB\n\
             raft.wal_max_size_bytes = 32000000\n\
             log.file = false\n\
             log.console = true\n\
             log.console.level = info\n"
        )
    }
}

impl Recipe for RabbitMqRecipe {
    const NAME: &'static str = "RabbitMQ";
    const READY_WITHIN: Duration = Duration::from_mins(2);

    fn prepare(&self, dir: &Path) -> Result<(), ServerError> {
        for name in ["home", "mnesia", "log"] {
            let directory = dir.join(name);
            fs::create_dir_all(&directory).map_err(ServerError::io("create", directory))?;
        }
        let files = [
            ("rabbitmq.conf", self.configuration()),
            ("enabled_plugins", "[rabbitmq_management].\n".to_owned()),
        ];
        for (name, content) in files {
            let path = dir.join(name);
            fs::write(&path, content).map_err(ServerError::io("write", path))?;
        }
        Ok(())
    }

    fn launches(&self, dir: &Path) -> Result<Vec<Launch>, ServerError> {
        let port = self.epmd.port();
        let epmd = Launch {
            program: programs::on_path("epmd")?,
            arguments: ["-port", &port.to_string(), "-address", "127.0.0.1"].map(Into::into).into(),
            environment: Vec::new(),
            log: dir.join("epmd.log"),
            signals: Signals::Usual,
            ready: Ready::Listening(port),
        };
        let node = Launch {
            program: rabbitmq_program("rabbitmq-server")?,
            arguments: Vec::new(),
            environment: self.environment(dir),
            log: dir.join("rabbitmq.log"),
            signals: Signals::Usual,
            ready: Ready::Serving,
        };
        Ok(vec![epmd, node])
    }

    async fn is_serving(&self) -> bool {
        let url = format!("http://guest:guest@127.0.0.1:{}", self.management.port());
        match RabbitAdmin::new(&url) {
            Ok(admin) => admin.is_listening(self.amqp.port()).await,
            Err(_) => false,
        }
    }
}

/// Not the wrapper in /usr/sbin, which switches to the account of the machine's own node.
fn rabbitmq_program(program: &'static str) -> Result<PathBuf, ServerError> {
    programs::in_versions("/usr/lib/rabbitmq/lib", "sbin", program)
}
