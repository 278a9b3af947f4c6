//! Requests to stop: SIGTERM comes from Kubernetes and systemd, SIGINT from a terminal.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where requests to stop come from.
pub(super) trait Signals {
    /// Returns at the next request, with its name. Nothing is lost if it is dropped before.
    fn next(&mut self) -> impl Future<Output = &'static str>;
}

/// The signals of the operating system.
pub(super) struct OsSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl OsSignals {
    /// From now on these signals do not kill the process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

impl Signals for OsSignals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
