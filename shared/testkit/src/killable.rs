//! A role in the test's own process, which can be killed there.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long it may take to end in good order, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A role on a runtime of its own: what it has open ends with that. It is killed when this is
/// dropped.
#[derive(Debug)]
pub struct Killable {
    runtime: Option<Runtime>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Killable {
    /// Starts `role` as one of its own `tasks`. They end when `shutdown` is cancelled.
    pub fn start<R>(role: R, tasks: TaskTracker, shutdown: CancellationToken) -> io::Result<Self>
    where
        R: Future<Output: Send> + Send + 'static,
    {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        tasks.spawn_on(role, runtime.handle());
        Ok(Self { runtime: Some(runtime), tasks, shutdown })
    }

    /// Ends it as SIGKILL would: nothing is finished, nothing is given back.
    pub fn kill(self) {
        drop(self);
    }

    /// Ends it in good order, as SIGTERM would.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(PATIENCE, self.tasks.wait()).await;
        assert!(ended.is_ok(), "it ends in time");
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        // A runtime must not be dropped where it would be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
