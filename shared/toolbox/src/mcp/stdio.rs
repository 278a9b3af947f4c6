//! Servers that are processes of ours and speak over their pipes.
//!
//! Such a process sees none of our environment but `PATH`, `HOME` and `LANG`, and what its tool sets
//! is nothing that would make another program of it. It leads a process
//! group of its own, which is killed as a whole when the connection ends, however it ends.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::error::McpError;

/// What a server inherits, if we have it.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// How long a server may take to end by itself when its input has.
const FAREWELL: Duration = Duration::from_secs(1);

/// A program to start.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Program {
    pub(super) command: String,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
}

/// A running server. Dropping it kills it and everything it started.
pub(super) struct Process {
    pipes: AsyncRwTransport<RoleClient, ChildStdout, ChildStdin>,
    /// What it complains about. Never logged: it may repeat what it was sent.
    stderr: Option<ChildStderr>,
    n_stderr_bytes: u64,
    _group: Group,
}

/// A child that leads a process group. It is not waited for before it is killed, so its id is not
/// given to anybody else meanwhile.
struct Group(Child);

impl Process {
    /// Starts `program`. Messages of more than `message_limit` bytes are skipped.
    ///
    /// # Errors
    /// [`McpError::Start`].
    pub(super) fn start(program: &Program, message_limit: usize) -> Result<Self, McpError> {
        let mut child = Command::new(&program.command)
            .args(&program.args)
            .env_clear()
            .envs(inherited())
            .envs(program.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(McpError::Start)?;
        let stdin = child.stdin.take().expect("stdin was asked for as a pipe");
        let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
        let stderr = child.stderr.take();
        let pipes = AsyncRwTransport::new(stdout, stdin).with_max_line_length(message_limit);
        Ok(Self { pipes, stderr, n_stderr_bytes: 0, _group: Group(child) })
    }
}

impl Transport<RoleClient> for Process {
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.pipes.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            let n_complained = tokio::select! {
                message = self.pipes.receive() => return message,
                n_read = read_some(&mut self.stderr) => n_read,
            };
            if n_complained == 0 {
                self.stderr = None;
            }
            self.n_stderr_bytes += n_complained;
        }
    }

    /// Ends the server's input and gives it a moment to end too. The rest is [`Group`]'s.
    async fn close(&mut self) -> Result<(), Self::Error> {
        self.pipes.close().await?;
        let ended = timeout(FAREWELL, async { while self.receive().await.is_some() {} }).await;
        tracing::debug!(
            stderr.bytes = self.n_stderr_bytes,
            ended_by_itself = ended.is_ok(),
            "the process of an MCP server is over"
        );
        Ok(())
    }
}

/// Reads what there is and forgets it: 0 at the end. Never returns if there is nothing to read.
async fn read_some(stderr: &mut Option<ChildStderr>) -> u64 {
    let Some(stderr) = stderr else { return std::future::pending().await };
    let mut forgotten = [0; 4_096];
    stderr.read(&mut forgotten).await.map_or(0, |n_read| n_read as u64)
}

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(leader) = leader {
            // Whoever has ended by themselves need not be killed.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "what a child inherits is no setting of ours")]
fn inherited() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    INHERITED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}
