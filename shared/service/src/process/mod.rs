//! A process, from `main` to its exit code.
//!
//! The order is the same for every role: settings (all mistakes at once) → telemetry → signals →
//! health listener → the role → drain → flush. Mistakes in the settings are told on standard
//! error, one a line, for whoever started it by hand; everything after that is in the log.

mod announcements;
mod context;
mod signals;
mod supervise;
#[cfg(test)]
mod tests;

pub use context::Context;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use recado_clock::SystemClock;
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;

use crate::config::{self, ConfigError, Env, Names, Reader, Settings};
use crate::health::Listener;
use crate::telemetry::Telemetry;
use signals::OsSignals;
use supervise::supervise;

/// How long blocking work may hold up the end of a process once nobody waits for its result.
const ABANDON_AFTER: Duration = Duration::from_millis(500);

/// How long the health listener may take to stop.
const STOP_LISTENER_WITHIN: Duration = Duration::from_secs(2);

/// What a process logs that nobody probes.
const QUIET_LOG: &str = "warn";

/// With which a process ends whose settings are of no use: `EX_CONFIG` of sysexits.h.
pub const EX_CONFIG: u8 = 78;

/// A process to be run. See [`Process::run`].
pub struct Process<'a> {
    role: &'static str,
    env: &'a dyn Env,
    names: Names,
    ready_file: Option<PathBuf>,
    is_probed: bool,
}

/// What a process needs to know before it has a role.
struct ProcessSettings {
    telemetry: config::Telemetry,
    metrics_listen: SocketAddr,
    grace: Duration,
}

impl Settings for ProcessSettings {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let telemetry = config::Telemetry::read(read);
        let localhost = SocketAddr::from(([127, 0, 0, 1], 9090));
        let metrics_listen = read.or("RECADO_METRICS_LISTEN", localhost);
        let grace = read.millis_or("RECADO_GRACE_MS", 30_000, 0..=3_600_000);
        Some(Self { telemetry: telemetry?, metrics_listen, grace })
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Everything was finished.
    Done,
    /// Something failed, or was not finished in time.
    Failed,
    /// The settings are of no use.
    Misconfigured,
}

impl Outcome {
    fn of_error(error: &anyhow::Error) -> Self {
        if error.is::<ConfigError>() { Self::Misconfigured } else { Self::Failed }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Failed => Self::FAILURE,
            Outcome::Misconfigured => Self::from(EX_CONFIG),
        }
    }
}

impl<'a> Process<'a> {
    /// A process for `role`, which reads its settings from `env`.
    pub fn new(role: &'static str, env: &'a dyn Env) -> Self {
        Self { role, env, names: Names::default(), ready_file: None, is_probed: true }
    }

    /// Nobody probes it: it does one thing and ends, so there is no health listener. Otherwise
    /// it could not run beside a role that has the address already. Whoever called it waits for
    /// what it prints, so its log has warnings and errors only, unless `RECADO_LOG` says otherwise.
    #[must_use]
    pub fn without_listener(mut self) -> Self {
        self.is_probed = false;
        self
    }

    /// The variables that every process reads, whatever its role.
    pub fn own_names() -> Names {
        Names::of::<ProcessSettings>()
    }

    /// The variables of all roles: whatever else begins with our prefix is a mistake.
    #[must_use]
    pub fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Where to write what was announced, once everything is ready for the first time: a JSON
    /// object with at least `pid` and `metrics_url`. It appears complete or not at all.
    #[must_use]
    pub fn ready_file(mut self, path: Option<PathBuf>) -> Self {
        self.ready_file = path;
        self
    }

    /// Runs `main` until it returns, or until SIGTERM or SIGINT; then drains.
    ///
    /// Draining: the process is not ready, `shutdown` is cancelled, `main` and the tasks of the
    /// context have the grace period (`RECADO_GRACE_MS`) to end. A second signal ends it at once.
    /// An error of `main` or a failing task starts the draining too.
    ///
    /// Exit codes: 0 when all ended in time and nothing failed; 78 for mistakes in the settings,
    /// those that `main` returns as a [`ConfigError`] among them; 1 for the rest.
    pub fn run<S: Settings>(
        self,
        main: impl AsyncFnOnce(Context, S) -> anyhow::Result<()>,
    ) -> ExitCode {
        match self.try_run(main) {
            Ok(outcome) => outcome.into(),
            Err(error) => {
                eprintln!("recado: {error:#}");
                Outcome::of_error(&error).into()
            }
        }
    }

    /// Fails only as long as there is no log to write to.
    fn try_run<S: Settings>(
        self,
        main: impl AsyncFnOnce(Context, S) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let (mut process, settings) = config::load::<(ProcessSettings, S)>(self.env, &self.names)?;
        if !self.is_probed && self.env.var("RECADO_LOG").is_none() {
            QUIET_LOG.clone_into(&mut process.telemetry.log);
        }
        let telemetry = Telemetry::install(self.role, &process.telemetry)?;
        let runtime = Runtime::new().context("failed to start the runtime")?;
        let served = runtime.block_on(self.serve(&process, settings, main));
        let outcome = served.unwrap_or_else(|error| {
            tracing::error!(error = format!("{error:#}"), "failed");
            Outcome::of_error(&error)
        });
        runtime.shutdown_timeout(ABANDON_AFTER);
        telemetry.flush();
        Ok(outcome)
    }

    async fn serve<S>(
        self,
        process: &ProcessSettings,
        settings: S,
        main: impl AsyncFnOnce(Context, S) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let signals = OsSignals::listen().context("failed to listen for signals")?;
        let context = Context::with_clock(Arc::new(SystemClock::default()));
        // Not among the tasks of the context: it has to outlive them.
        let listener_tasks = TaskTracker::new();
        let health = context.health.clone();
        let mut listener = None;
        if self.is_probed {
            crate::register_metrics();
            let address = process.metrics_listen;
            let started = Listener::start(self.role, address, health, &listener_tasks)
                .with_context(|| format!("failed to listen on {address}"))?;
            context.announce("metrics_url", format!("http://{}/metrics", started.address()));
            tracing::info!(role = self.role, listener.address = %started.address(), "started");
            listener = Some(started);
        }
        if let Some(path) = self.ready_file {
            announcements::write_when_ready(&context, path)?;
        }

        let main = Box::pin(main(context.clone(), settings));
        let outcome = supervise(&context, main, signals, process.grace).await;

        if let Some(listener) = listener {
            listener.stop().await;
        }
        listener_tasks.close();
        // It has nothing to lose: a scrape that hangs must not fail the process.
        let _ = tokio::time::timeout(STOP_LISTENER_WITHIN, listener_tasks.wait()).await;
        outcome
    }
}
