//! What kind of system a test wants.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::backing::{Backing, Disks, Proxies};
use super::management::{self, JWT_SECRET, Management};
use super::role::{Instance, Role};
use super::{PUBLIC_URL, TestApp};
use crate::scratch::ScratchDir;

/// Any 32 bytes: nothing in a test is secret.
const SECRET_KEYS: &str = "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Short, so that a test need not wait for long until the work of a killed process is taken over.
const LEASE: Duration = Duration::from_secs(2);

/// A system that is about to be started: one instance of each role, on shared servers.
#[derive(Debug)]
pub struct Builder {
    binary: PathBuf,
    instances: BTreeMap<&'static str, usize>,
    private_servers: bool,
    small_disks: Option<u32>,
    proxies: bool,
    environment: Vec<(&'static str, OsString)>,
    settle_within: Duration,
}

/// The longest that work may still be under way when a test finishes.
const SETTLE_WITHIN: Duration = Duration::from_secs(30);

impl Builder {
    pub(super) fn new(binary: &str) -> Self {
        Self {
            binary: binary.into(),
            instances: BTreeMap::new(),
            private_servers: false,
            small_disks: None,
            proxies: false,
            environment: Vec::new(),
            settle_within: SETTLE_WITHIN,
        }
    }

    /// Runs `n` processes of a role instead of one; 0 leaves it out.
    #[must_use]
    pub fn instances(mut self, role: Role, n: usize) -> Self {
        self.instances.insert(role.as_str(), n);
        self
    }

    /// Starts servers for this system alone, which may be killed and wiped (see
    /// [`TestApp::servers`]). Takes seconds.
    #[must_use]
    pub fn private_servers(mut self) -> Self {
        self.private_servers = true;
        self
    }

    /// Starts private servers whose data is on disks of so many MiB (see [`TestApp::disks`]), which
    /// takes the right to mount them.
    #[must_use]
    pub fn small_disks(mut self, mib: u32) -> Self {
        self.small_disks = Some(mib);
        self.private_servers()
    }

    /// Lets the roles reach their servers by way of proxies only (see [`TestApp::proxies`]).
    #[must_use]
    pub fn through_proxies(mut self) -> Self {
        self.proxies = true;
        self
    }

    /// Sets a variable for all roles, in place of what it would be.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Sets how long [`TestApp::finish`] waits for work that is under way.
    #[must_use]
    pub fn settle_within(mut self, limit: Duration) -> Self {
        self.settle_within = limit;
        self
    }

    /// Starts everything; returns when every role is ready.
    pub async fn start(self) -> anyhow::Result<TestApp> {
        let scratch = ScratchDir::new()?;
        let disks = match self.small_disks {
            Some(mib) => Some(Disks::mount(scratch.path(), mib).context("failed to mount a disk")?),
            None => None,
        };
        let backing = if self.private_servers {
            Backing::start_private(scratch.path()).await?
        } else {
            Backing::shared().await
        };
        let proxies = if self.proxies { Some(Proxies::before(&backing).await?) } else { None };
        let environment = self.environment_of(&backing, proxies.as_ref());
        let mut instances = self.plan_instances(&environment, scratch.path())?;
        for instance in &mut instances {
            instance.restart().await?;
        }
        let tenant = management::create_tenant(&backing.database_url()).await?;
        let management = match instances.iter().find(|instance| instance.is(Role::Management, 0)) {
            Some(instance) => Management::new(&instance.url("management_url")?, tenant),
            None => Management::new("http://127.0.0.1:9", tenant),
        };
        Ok(TestApp {
            instances,
            management,
            backing,
            proxies,
            disks,
            scratch,
            settle_within: self.settle_within,
            finished: false,
        })
    }

    fn plan_instances(
        &self,
        environment: &[(&'static str, OsString)],
        directory: &Path,
    ) -> anyhow::Result<Vec<Instance>> {
        let mut instances = Vec::new();
        for role in Role::ALL {
            let n = self.instances.get(role.as_str()).copied().unwrap_or(1);
            for index in 0..n {
                let environment = environment.to_vec();
                instances.push(Instance::new(&self.binary, role, index, directory, environment)?);
            }
        }
        Ok(instances)
    }

    /// What is set later wins.
    fn environment_of(
        &self,
        backing: &Backing,
        proxies: Option<&Proxies>,
    ) -> Vec<(&'static str, OsString)> {
        let mut environment: Vec<(&'static str, OsString)> = vec![
            ("RECADO_DATABASE_URL", backing.database_url().into()),
            ("RECADO_AMQP_URL", backing.amqp_url().into()),
            ("RECADO_REDIS_URL", backing.redis_url().into()),
            ("RECADO_SECRET_KEYS", SECRET_KEYS.into()),
            ("RECADO_JWT_SECRET", JWT_SECRET.into()),
            ("RECADO_PUBLIC_URL", PUBLIC_URL.into()),
            ("RECADO_ALLOW_PRIVATE_DESTINATIONS", "127.0.0.0/8".into()),
            ("RECADO_LEASE_MS", LEASE.as_millis().to_string().into()),
            ("RECADO_LOG", "info".into()),
            ("RUST_BACKTRACE", "1".into()),
        ];
        if let Some(Proxies { postgres, rabbitmq, redis }) = proxies {
            environment.extend([
                ("RECADO_DATABASE_URL", postgres.url().into()),
                ("RECADO_AMQP_URL", rabbitmq.url().into()),
                ("RECADO_REDIS_URL", redis.url().into()),
            ]);
        }
        environment.extend(self.environment.iter().cloned());
        environment
    }
}
