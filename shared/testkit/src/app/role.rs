//! One role as a process.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::servers::process::{ServerProcess, tail};
use crate::servers::{Launch, PortLease, Ready, Signals};
use crate::{http_client, wait_for};

/// From start to ready, on a machine that is busy compiling.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// From SIGTERM to the end: more than any grace period a test configures.
const END_WITHIN: Duration = Duration::from_mins(1);

/// What a process of the system does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes webhooks.
    Ingress,
    /// Gathers bursts.
    Buffer,
    /// Runs agents.
    AgentRunner,
    /// Calls back.
    Delivery,
    /// Fires triggers that fire by themselves.
    Sources,
    /// Serves the REST API.
    Management,
}

impl Role {
    /// All of them, in the order in which they are started.
    pub const ALL: [Self; 6] = [
        Self::Management,
        Self::Delivery,
        Self::AgentRunner,
        Self::Buffer,
        Self::Sources,
        Self::Ingress,
    ];

    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Buffer => "buffer",
            Self::AgentRunner => "agent-runner",
            Self::Delivery => "delivery",
            Self::Sources => "sources",
            Self::Management => "management",
        }
    }

    /// The variable with the address it listens on, if it serves anybody but operators.
    fn listen_variable(self) -> Option<&'static str> {
        match self {
            Self::Ingress => Some("RECADO_INGRESS_LISTEN"),
            Self::Management => Some("RECADO_MANAGEMENT_LISTEN"),
            Self::Buffer | Self::AgentRunner | Self::Delivery | Self::Sources => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// How long it took, from SIGTERM on.
    pub took: Duration,
}

/// One process of a role, with what is needed to start it again.
#[derive(Debug)]
pub(super) struct Instance {
    role: Role,
    index: usize,
    launch: Launch,
    /// Its environment, but for what a test adds.
    environment: Vec<(&'static str, OsString)>,
    ready_file: PathBuf,
    /// For operators, and the same after each restart.
    metrics: PortLease,
    /// Kept for as long as the instance may come back to it.
    _port: Option<PortLease>,
    process: Option<ServerProcess>,
    /// What the ready file said last.
    facts: Value,
}

impl Instance {
    pub(super) fn new(
        binary: &Path,
        role: Role,
        index: usize,
        directory: &Path,
        mut environment: Vec<(&'static str, OsString)>,
    ) -> anyhow::Result<Self> {
        let name = format!("{role}-{index}");
        let ready_file = directory.join(format!("{name}.json"));
        let port = match role.listen_variable() {
            Some(variable) => {
                let port = PortLease::acquire().context("failed to lease a port")?;
                environment.push((variable, format!("127.0.0.1:{}", port.port()).into()));
                Some(port)
            }
            None => None,
        };
        let metrics = PortLease::acquire().context("failed to lease a port")?;
        let listen = format!("127.0.0.1:{}", metrics.port());
        environment.push(("RECADO_METRICS_LISTEN", listen.into()));
        let launch = Launch {
            program: binary.to_owned(),
            arguments: vec![role.as_str().into(), "--ready-file".into(), (&ready_file).into()],
            environment: environment.clone(),
            log: directory.join(format!("{name}.log")),
            signals: Signals::Usual,
            ready: Ready::Serving,
        };
        Ok(Self {
            role,
            index,
            launch,
            environment,
            ready_file,
            metrics,
            _port: port,
            process: None,
            facts: Value::Null,
        })
    }

    pub(super) fn is(&self, role: Role, index: usize) -> bool {
        (self.role, self.index) == (role, index)
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.role, self.index)
    }

    /// What it finds in its environment besides, from its next start on.
    pub(super) fn add_to_environment(&mut self, more: Vec<(&'static str, OsString)>) {
        self.launch.environment = self.environment.iter().cloned().chain(more).collect();
    }

    pub(super) fn log(&self) -> String {
        tail(&self.launch.log)
    }

    pub(super) fn whole_log(&self) -> anyhow::Result<String> {
        let log = fs::read(&self.launch.log)?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    pub(super) fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.running()?.id())
    }

    pub(super) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub(super) fn url(&self, name: &str) -> anyhow::Result<String> {
        let url = self.facts[name].as_str();
        Ok(url.with_context(|| format!("{} told no {name}", self.name()))?.to_owned())
    }

    /// What it answers operators under `path`: the status and the body.
    pub(super) async fn ask(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let url = format!("http://127.0.0.1:{}{path}", self.metrics.port());
        let response = http_client().get(url).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        self.launch()?;
        self.until_ready().await
    }

    /// Starts it, and kills it first if it runs.
    pub(super) fn launch(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        match fs::remove_file(&self.ready_file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let process = ServerProcess::spawn(&self.launch)
            .with_context(|| format!("failed to run {}", self.launch.program.display()))?;
        self.process = Some(process);
        Ok(())
    }

    /// Waits for its ready file.
    pub(super) async fn until_ready(&mut self) -> anyhow::Result<()> {
        let name = self.name();
        let Some(process) = &mut self.process else { bail!("{name} does not run") };
        let what = format!("{name} to be ready");
        let ready_file = &self.ready_file;
        let facts = wait_for(&what, READY_WITHIN, async || {
            if let Ok(Some(status)) = process.exit_status() {
                return Some(Err(anyhow::anyhow!("it ended at once, {status}")));
            }
            let facts = fs::read(ready_file).ok()?;
            Some(serde_json::from_slice(&facts).context("its ready file is no JSON"))
        });
        let facts = facts.await.and_then(|facts| facts);
        self.facts = facts.with_context(|| format!("{} failed:\n{}", self.name(), self.log()))?;
        Ok(())
    }

    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().with_context(|| format!("failed to kill {}", self.name()))?;
        }
        Ok(())
    }

    pub(super) async fn terminate(&mut self) -> anyhow::Result<Exit> {
        let name = self.name();
        let Some(mut process) = self.process.take() else { bail!("{name} does not run") };
        let started = Instant::now();
        process.terminate().with_context(|| format!("failed to signal {name}"))?;
        let what = format!("the end of {name}");
        let status = wait_for(&what, END_WITHIN, async || process.exit_status().transpose());
        let status = status.await.with_context(|| self.log())??;
        Ok(Exit { code: status.code(), took: started.elapsed() })
    }

    pub(super) fn freeze(&self) -> anyhow::Result<()> {
        Ok(self.running()?.freeze()?)
    }

    pub(super) fn thaw(&self) -> anyhow::Result<()> {
        Ok(self.running()?.thaw()?)
    }

    /// An error if it ended by itself.
    pub(super) fn check_alive(&mut self) -> anyhow::Result<()> {
        let Some(process) = &mut self.process else { return Ok(()) };
        match process.exit_status()? {
            None => Ok(()),
            Some(status) => bail!("{} crashed: {status}", self.name()),
        }
    }

    fn running(&self) -> anyhow::Result<&ServerProcess> {
        self.process.as_ref().with_context(|| format!("{} does not run", self.name()))
    }
}
