//! Runs a command with a `PostgreSQL` and a `RabbitMQ` to share, and takes them away afterwards.
//!
//! The tests find them by the environment: see [`crate::shared`].
//! Redis is not among them: it starts so quickly that each test gets its own.
//! Whatever happens to this process, the servers, the command and the directory go with it.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::guard::Guard;
use crate::scratch::ScratchDir;
use crate::servers::{Postgres, RabbitMq};
use crate::shared::{ADMIN_VARIABLE, AMQP_VARIABLE, DATABASE_VARIABLE};

/// `$1` is a process, or a process group as a negative number.
const STOP_COMMAND: &str = r#"
kill -s TERM -- "$1"
round=0
while kill -0 -- "$1" && [ "$round" -lt 100 ]; do
    sleep 0.1
    round=$((round + 1))
done
kill -s KILL -- "$1""#;

/// Runs `command` and gives the exit code that a shell would give for it.
pub async fn run(command: &[OsString]) -> anyhow::Result<u8> {
    let [program, arguments @ ..] = command else {
        anyhow::bail!("usage: with-servers COMMAND [ARGUMENT…]");
    };
    // Before anything is started: from here on a signal leads to an orderly end.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;

    let scratch = ScratchDir::new().context("failed to make a directory for the servers")?;
    let starting = async {
        tokio::try_join!(
            Postgres::start_without_fsync(scratch.path().join("postgres")),
            RabbitMq::start(scratch.path().join("rabbitmq")),
        )
    };
    let (postgres, rabbitmq) = tokio::select! {
        started = starting => started?,
        _ = interrupts.recv() => return Ok(130),
        _ = terminations.recv() => return Ok(143),
    };

    let mut prepared = Command::new(program);
    prepared
        .args(arguments)
        .env(DATABASE_VARIABLE, postgres.url())
        .env(AMQP_VARIABLE, rabbitmq.url())
        .env(ADMIN_VARIABLE, rabbitmq.admin_url());
    let mut running =
        Running::start(prepared).with_context(|| format!("failed to run {}", program.display()))?;
    let status = loop {
        tokio::select! {
            status = running.child.wait() => break status?,
            _ = interrupts.recv() => running.forward(Signal::INT),
            _ = terminations.recv() => running.forward(Signal::TERM),
        }
    };
    Ok(shell_code(status))
}

/// The command, and who sees to it that it does not outlive us.
struct Running {
    child: Child,
    pid: Pid,
    /// A terminal speaks to its foreground group, so there the command has to be in ours;
    /// anywhere else a group of its own keeps signals from reaching it twice.
    owns_group: bool,
    _guard: Guard,
}

impl Running {
    fn start(mut command: Command) -> io::Result<Self> {
        let owns_group = !io::stdin().is_terminal();
        if owns_group {
            command.process_group(0);
        }
        let child = command.spawn()?;
        let id = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let pid = id.expect("a child that was not waited for has a process id");
        let sign = if owns_group { "-" } else { "" };
        let guard = Guard::new(STOP_COMMAND, &[format!("{sign}{}", pid.as_raw_nonzero())])?;
        Ok(Self { child, pid, owns_group, _guard: guard })
    }

    fn forward(&self, signal: Signal) {
        // It may have ended; then its status is about to be read.
        let _ = match (self.owns_group, signal) {
            (true, _) => kill_process_group(self.pid, signal),
            // The terminal has sent it to the command as well.
            (false, Signal::INT) => Ok(()),
            (false, _) => kill_process(self.pid, signal),
        };
    }
}

fn shell_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(u8::MAX)
}
