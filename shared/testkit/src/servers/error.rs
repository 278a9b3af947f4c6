//! What can go wrong with a private server, told so that the reader knows what to do next.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a private server could not be started, stopped or wiped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The program is not on this machine.
    #[error("{program} was not found: run {script}")]
    NotInstalled {
        /// What was looked for.
        program: &'static str,
        /// What installs it.
        script: &'static str,
    },
    /// The operating system refused something.
    #[error("failed to {action} ({path})", path = path.display())]
    Io {
        /// What was tried, as in "failed to …".
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        #[source]
        /// Why it was refused.
        source: io::Error,
    },
    /// A program that prepares the data directory failed.
    #[error("{program} failed: {output}")]
    Prepare {
        /// Which one.
        program: &'static str,
        /// What it printed.
        output: String,
    },
    /// The server ended before it was ready.
    #[error("{name} ended at once ({status}); the end of its log:\n{log}")]
    Died {
        /// Which server.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote.
        log: String,
    },
    /// The server runs, but did not become ready in time.
    #[error("{name} was not ready within {waited:?}; the end of its log:\n{log}")]
    NotReady {
        /// Which server.
        name: &'static str,
        /// For how long it was given time.
        waited: Duration,
        /// The last lines it wrote.
        log: String,
    },
    /// The server did not end when it was asked to.
    #[error("{name} did not stop within {waited:?}")]
    NotStopped {
        /// Which server.
        name: &'static str,
        /// For how long it was given time.
        waited: Duration,
    },
    /// An administrator's command was refused.
    #[error("{command} failed: {output}")]
    Command {
        /// What was run or asked for.
        command: &'static str,
        /// What came back.
        output: String,
    },
}

impl ServerError {
    /// For `map_err` on calls to the operating system.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
