//! What an operator can set.

use std::time::Duration;

use recado_service::config::{Amqp, Destinations, Postgres, Reader, Settings};
use recado_service::connect::SecretKeys;

/// The settings of the role `agent-runner`.
#[derive(Clone, Debug)]
pub struct Config {
    /// PostgreSQL.
    pub postgres: Postgres,
    /// RabbitMQ.
    pub amqp: Amqp,
    /// What the keys of providers are sealed with.
    pub keys: SecretKeys,
    /// Where providers may be.
    pub destinations: Destinations,
    /// `RECADO_RUNNER_SLOTS`: how many executions run at a time. They wait for models most of
    /// the time, so it is memory that limits them.
    pub slots: usize,
    /// `RECADO_RUNNER_TENANT_SLOTS`: how many executions of one tenant run at a time, in all
    /// instances together. While others wait, nobody gets more than their turn anyway.
    pub tenant_slots: usize,
    /// `RECADO_LEASE_MS`: after how long a lane of a dead instance goes to another one.
    pub lease: Duration,
    /// `RECADO_MCP_STDIO_COMMANDS`: the programs that MCP servers may be, exactly as tools name
    /// them. None by default: a program runs as this process's user, and whoever may define tools
    /// chooses its arguments and environment.
    pub mcp_stdio_commands: Vec<String>,
    /// `RECADO_HOUSEKEEPING_INTERVAL_S`: how often it is counted what tenants use, and looked for
    /// what they do not keep any longer.
    pub housekeeping_interval: Duration,
}

impl Settings for Config {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let postgres = Postgres::read(read);
        let amqp = Amqp::read(read);
        let keys = SecretKeys::read(read);
        let destinations = Destinations::read(read);
        let slots = read.within("RECADO_RUNNER_SLOTS", 256, 1..=10_000);
        let tenant_slots = read.within("RECADO_RUNNER_TENANT_SLOTS", 1_000, 1..=100_000);
        let lease = read.millis_or("RECADO_LEASE_MS", 15_000, 500..=600_000);
        let mcp_stdio_commands = read.list("RECADO_MCP_STDIO_COMMANDS");
        let housekeeping_s = read.within("RECADO_HOUSEKEEPING_INTERVAL_S", 60, 1..=3_600);
        Some(Self {
            postgres: postgres?,
            amqp: amqp?,
            keys: keys?,
            destinations: destinations?,
            slots,
            tenant_slots,
            lease,
            mcp_stdio_commands,
            housekeeping_interval: Duration::from_secs(housekeeping_s),
        })
    }
}
