//! What a role is given.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use recado_clock::Clock;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::announcements::Announcements;
use crate::health::{Component, Health};

/// What a role gets from its process. Clones share everything.
#[derive(Debug, Clone)]
pub struct Context {
    /// The time, and fresh ids.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the process has to stop: take on nothing new, finish what was begun.
    pub shutdown: CancellationToken,
    /// What the process waits for before it ends. A panic of a task that is spawned here directly
    /// stays between the task and its handle; see [`Context::spawn`].
    pub tasks: TaskTracker,
    /// Where components say how they are.
    pub health: Health,
    pub(super) announcements: Announcements,
    started: Component,
    failed: Arc<AtomicBool>,
}

impl Context {
    /// A context without a process around it, for tests that run a role.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let health = Health::default();
        Self {
            clock,
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            started: health.component("startup"),
            health,
            announcements: Announcements::default(),
            failed: Arc::default(),
        }
    }

    /// The context of one of several roles in this process: components are named after it, and it
    /// has to call [`Context::started`] for itself.
    #[must_use]
    pub fn for_role(&self, role: &'static str) -> Self {
        let health = self.health.of_role(role);
        Self { started: health.component("startup"), health, ..self.clone() }
    }

    /// Everything is wired up; from here on readiness is what the other components say.
    pub fn started(&self) {
        self.started.ready();
    }

    /// Tells whoever reads the ready file: `key` is `value`. To be called before
    /// [`Context::started`], or it may come too late.
    pub fn announce(&self, key: &'static str, value: impl Serialize) {
        self.announcements.add(key, value);
    }

    /// What was announced as `key`, by this role or another one in the process.
    pub fn announced(&self, key: &str) -> Option<serde_json::Value> {
        self.announcements.get(key)
    }

    /// Spawns a task that the process cannot do without: if it panics, the process drains and
    /// exits with a failing code.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.try_spawn(name, task.map(anyhow::Ok));
    }

    /// Like [`Context::spawn`], and an error counts as a panic does.
    pub fn try_spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let context = self.clone();
        self.tasks.spawn(async move {
            match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => context.fail(name, format_args!("{error:#}")),
                // The panic itself has been logged by the hook.
                Err(_panic) => context.fail(name, "panicked"),
            }
        });
    }

    /// Notes that the process cannot go on, and starts its shutdown.
    pub(super) fn fail(&self, what: &'static str, why: impl Display) {
        tracing::error!(task.name = what, error = %why, "{what} failed; shutting down");
        self.failed.store(true, Ordering::SeqCst);
        self.shutdown.cancel();
    }

    /// Whether a task has failed that the process cannot do without.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }
}
