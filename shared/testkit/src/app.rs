//! The whole system as processes: every role a child of the test, on servers of its own or shared.
//!
//! ```no_run
//! # async fn story() -> anyhow::Result<()> {
//! use recado_testkit::app::{Role, TestApp};
//!
//! let mut app = TestApp::builder("target/debug/recado").instances(Role::AgentRunner, 2).start().await?;
//! let agent = app.management().create_agent("echo", "builtin.echo", "").await?;
//! app.kill(Role::AgentRunner, 0)?;
//! app.restart(Role::AgentRunner, 0).await?;
//! app.finish().await
//! # }
//! ```
//!
//! [`TestApp::finish`] is mandatory: it is what notices a role that crashed and work that was left
//! behind. Dropping a `TestApp` without it fails the test.

mod backing;
mod builder;
mod leftovers;
mod management;
mod queues;
mod role;
mod webhooks;

use std::ffi::OsString;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

pub use backing::{Disks, PrivateServers, Proxies};
pub use builder::Builder;
pub use management::{Management, NewEventEndpoint, NewTrigger};
pub use role::{Exit, Role};

use crate::scratch::ScratchDir;
use backing::Backing;
use role::Instance;

/// What the outside world calls us. Nothing listens there: like behind a gateway, what is signed
/// is not what is connected to.
pub const PUBLIC_URL: &str = "https://hooks.recado.test";

/// A running system. To be ended with [`TestApp::finish`].
#[derive(Debug)]
pub struct TestApp {
    // Roles are dropped before the servers they use, servers before their directory.
    instances: Vec<Instance>,
    management: Management,
    backing: Backing,
    proxies: Option<Proxies>,
    disks: Option<Disks>,
    scratch: ScratchDir,
    settle_within: Duration,
    finished: bool,
}

impl TestApp {
    /// Plans a system that runs the binary at `recado`: `env!("CARGO_BIN_EXE_recado")`.
    pub fn builder(recado: &str) -> Builder {
        Builder::new(recado)
    }

    /// The management API, as the owner of the tenant that came with this system.
    pub fn management(&self) -> &Management {
        &self.management
    }

    /// The management API, as the owner of one more tenant.
    pub async fn another_tenant(&self) -> anyhow::Result<Management> {
        self.management.another_tenant(&self.database_url()).await
    }

    /// The servers, if they are this system's own (see [`Builder::private_servers`]).
    ///
    /// # Panics
    /// If they are shared: nobody may kill those.
    pub fn servers(&mut self) -> &mut PrivateServers {
        self.backing.private().expect("only private servers may be interfered with")
    }

    /// The database of this system.
    pub fn database_url(&self) -> String {
        self.backing.database_url()
    }

    /// The virtual host of this system.
    pub fn amqp_url(&self) -> String {
        self.backing.amqp_url()
    }

    /// The Redis of this system, which is its own even if the other servers are shared.
    pub fn redis(&mut self) -> &mut crate::servers::Redis {
        self.backing.redis()
    }

    /// The ways to the servers (see [`Builder::through_proxies`]).
    ///
    /// # Panics
    /// If there are none.
    pub fn proxies(&self) -> &Proxies {
        self.proxies.as_ref().expect("only a system with proxies has them")
    }

    /// The disks of the servers (see [`Builder::small_disks`]).
    ///
    /// # Panics
    /// If there are none.
    pub fn disks(&self) -> &Disks {
        self.disks.as_ref().expect("only a system with small disks has them")
    }

    /// A directory that goes with this system.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// How many instances of a role there are.
    pub fn n_instances(&self, role: Role) -> usize {
        let all = self.instances.len();
        (0..all).filter(|index| self.instance(role, *index).is_ok()).count()
    }

    /// What an instance finds in its environment besides, from its next start on; it replaces what
    /// was added before.
    pub fn add_to_environment(
        &mut self,
        role: Role,
        index: usize,
        more: Vec<(&'static str, OsString)>,
    ) -> anyhow::Result<()> {
        self.instance_mut(role, index)?.add_to_environment(more);
        Ok(())
    }

    /// Work that is left, each kind in words: none if everything has come to rest.
    pub async fn leftovers(&self) -> anyhow::Result<Vec<String>> {
        leftovers::find(&self.backing).await
    }

    /// How many messages wait in each queue.
    pub async fn queue_depths(&self) -> anyhow::Result<Vec<(String, u32)>> {
        leftovers::depths(&self.backing).await
    }

    /// An error if a role has ended by itself.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        self.instances.iter_mut().try_for_each(Instance::check_alive)
    }

    /// Where an instance of a role can be reached, by the name in its ready file
    /// (`ingress_url`, `management_url`, `metrics_url`).
    pub fn url(&self, role: Role, index: usize, name: &str) -> anyhow::Result<String> {
        self.instance(role, index)?.url(name)
    }

    /// The process id of an instance that runs.
    pub fn pid(&self, role: Role, index: usize) -> anyhow::Result<u32> {
        self.instance(role, index)?.pid()
    }

    /// Kills an instance with SIGKILL.
    pub fn kill(&mut self, role: Role, index: usize) -> anyhow::Result<()> {
        self.instance_mut(role, index)?.kill()
    }

    /// Starts an instance again, on the addresses it had; kills it first if it runs.
    pub async fn restart(&mut self, role: Role, index: usize) -> anyhow::Result<()> {
        self.instance_mut(role, index)?.restart().await
    }

    /// Like [`TestApp::restart`], but returns at once: for what an instance does while it cannot
    /// be ready.
    pub fn launch(&mut self, role: Role, index: usize) -> anyhow::Result<()> {
        self.instance_mut(role, index)?.launch()
    }

    /// Returns when an instance that was launched is ready.
    pub async fn until_ready(&mut self, role: Role, index: usize) -> anyhow::Result<()> {
        self.instance_mut(role, index)?.until_ready().await
    }

    /// Sends SIGTERM to an instance and waits for its end.
    pub async fn terminate(&mut self, role: Role, index: usize) -> anyhow::Result<Exit> {
        self.instance_mut(role, index)?.terminate().await
    }

    /// Freezes an instance (SIGSTOP): to the others it looks dead, until it goes on.
    pub fn stop(&self, role: Role, index: usize) -> anyhow::Result<()> {
        self.instance(role, index)?.freeze()
    }

    /// Lets a frozen instance go on (SIGCONT).
    pub fn cont(&self, role: Role, index: usize) -> anyhow::Result<()> {
        self.instance(role, index)?.thaw()
    }

    /// The end of an instance's log.
    pub fn log(&self, role: Role, index: usize) -> anyhow::Result<String> {
        Ok(self.instance(role, index)?.log())
    }

    /// Everything that an instance has logged so far, in all its lives.
    pub fn whole_log(&self, role: Role, index: usize) -> anyhow::Result<String> {
        self.instance(role, index)?.whole_log()
    }

    /// Asks an instance's port for operators for `path`, such as `/health/ready` or `/metrics`;
    /// answers status and body.
    pub async fn ask(&self, role: Role, index: usize, path: &str) -> anyhow::Result<(u16, String)> {
        self.instance(role, index)?.ask(path).await
    }

    /// Ends the system, and the test with an error if anything is not as it should be: a role
    /// that crashed or does not end in good order, a message that is left in any queue or is in no
    /// execution, a lane that still waits.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        let ended = self.end().await;
        if ended.is_err() {
            self.print_logs();
        }
        self.finished = true;
        ended
    }

    /// Ends everything at once, and judges nothing: for whoever was interrupted.
    pub fn abandon(mut self) {
        self.finished = true;
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        self.check_alive()?;
        leftovers::wait_until_none(&self.backing, self.settle_within).await?;
        for instance in &mut self.instances {
            if !instance.is_running() {
                continue;
            }
            let exit = instance.terminate().await?;
            if exit.code != Some(0) {
                bail!("{} ended with {:?} on SIGTERM", instance.name(), exit.code);
            }
        }
        // Once more: what consumers held unacknowledged is back in its queue now.
        let left = leftovers::find(&self.backing).await.context("failed to look for leftovers")?;
        if !left.is_empty() {
            bail!("left behind after all roles have ended: {}", left.join(", "));
        }
        Ok(())
    }

    fn instance(&self, role: Role, index: usize) -> anyhow::Result<&Instance> {
        let mut instances = self.instances.iter();
        let found = instances.find(|instance| instance.is(role, index));
        found.with_context(|| format!("this system has no {role} {index}"))
    }

    fn instance_mut(&mut self, role: Role, index: usize) -> anyhow::Result<&mut Instance> {
        let mut instances = self.instances.iter_mut();
        let found = instances.find(|instance| instance.is(role, index));
        found.with_context(|| format!("this system has no {role} {index}"))
    }

    fn print_logs(&self) {
        for instance in &self.instances {
            eprintln!("--- the end of the log of {}:\n{}", instance.name(), instance.log());
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.print_logs();
        assert!(thread::panicking(), "a TestApp was dropped without finish()");
    }
}
