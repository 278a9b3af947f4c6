//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use recado_broker::topology::{self, Queue};
use recado_types::DeadLetterId;
use recado_types::trigger::db_event::{Identifier, TableName};
use uuid::Uuid;

use crate::client::cli as client;

/// Recado turns any webhook into a conversation with an AI agent, and carries the answer back.
#[derive(Parser)]
#[command(
    name = "recado",
    version,
    propagate_version = true,
    after_help = "Start here:\n  \
        recado demo                     watch one conversation, from webhook to callback\n  \
        recado dev --data-dir .recado   run everything on this machine\n\n\
        Roles take their settings from the environment (RECADO_*); docs/configuration.md lists them."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Take webhooks: validate, acknowledge, publish
    Ingress(Role),
    /// Gather a sender's burst of messages into one execution
    Buffer(Role),
    /// Run agents
    AgentRunner(Role),
    /// Carry answers back: transform, split, call back
    Delivery(Role),
    /// Fire triggers that fire by themselves: schedules, databases, mailboxes
    Sources(Role),
    /// Serve the REST API
    Management(Role),
    /// Run all roles in one process, with private servers where none are given
    Dev(Dev),
    /// Show one conversation from webhook to callback, then stop
    Demo,
    /// Measure what a message costs, on private servers, then stop
    Bench(Bench),
    /// Break what Recado stands on, under load, on private servers; judge what came of it, then stop
    Faults(Faults),
    /// Bring the database's schema up to date
    Migrate,
    /// Make a tenant with its first project, and print their ids
    Tenant(Tenant),
    /// Issue a token for the REST API
    Token(Token),
    /// Ask a role on this machine whether it is ready: exit code 0 or 1
    Health(Health),
    /// List, show, redrive or discard messages that nobody could handle
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Help with triggers that watch a database
    #[command(subcommand)]
    DbEvent(DbEvent),
    /// List, make and change triggers, over the REST API
    Triggers(client::Client<client::Triggers>),
    /// Look agents up, over the REST API
    Agents(client::Client<client::Agents>),
    /// Look up what happened, or follow it, over the REST API
    Executions(client::Client<client::Executions>),
    /// Look up what was said, over the REST API
    Sessions(client::Client<client::Sessions>),
    /// Make agents, tools, triggers and more as files say, over the REST API
    #[command(after_help = "Exit code 3 with --dry-run --exit-code, if something would change.")]
    Apply(client::ApplyHere),
    /// Print exchanges, queues and bindings as RabbitMQ definitions
    Topology,
    /// Print what Prometheus is told, as a Markdown page
    Metrics,
}

#[derive(Args)]
pub(crate) struct Role {
    /// Write what was announced (addresses, pid) here, as JSON, once everything is ready
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Dev {
    /// Where servers keep their data, and where dev.json is written
    #[arg(long, value_name = "DIR", default_value = ".recado")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Args)]
pub(crate) struct Tenant {
    /// What people call it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Args)]
pub(crate) struct Health {
    /// Where the role answers; `RECADO_METRICS_LISTEN` or 127.0.0.1:9090 unless given
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Args)]
pub(crate) struct Bench {
    /// How long each phase lasts
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
    /// Measure one part only
    #[arg(long, value_enum, value_name = "PART")]
    pub(crate) only: Option<BenchPart>,
    /// How long ingress is kept under load to see whether its memory grows; 0 for not at all
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub(crate) soak: u64,
    /// Where to write the figures as JSON, besides printing them
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args)]
#[command(
    after_help = "Exit code 1 if something was lost, repeated, reordered or refused for good."
)]
pub(crate) struct Faults {
    /// How long each fault goes on, from its first strike; some take longer by themselves
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// Decides the moments at which faults strike; a random one is taken, and told, unless given
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Try these only, as --list names them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Show which faults there are, and try none
    #[arg(long)]
    pub(crate) list: bool,
    /// Where to write what came of them as JSON, besides printing it
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchPart {
    /// The whole way, from webhook to callback, beside the bare publisher
    Pipeline,
    /// A hundred thousand open windows, and how late they are flushed
    Windows,
    /// Ingress with the other roles frozen, beside the bare publisher
    Ingress,
    /// What ingress holds in memory
    Memory,
    /// What an execution costs, a thousand that wait, and a long session
    Agents,
    /// Callbacks beside a bare client, and ten thousand deliveries that wait
    Deliveries,
    /// Lists and details among a million executions, and webhooks beside those who ask for them
    Management,
    /// A hundred thousand schedules, ten thousand of them due at once
    Sources,
    /// How fast answers are cut and taken out of their marks, without any server: seconds
    Text,
}

/// Of all tenants, straight from the broker (`RECADO_AMQP_URL`).
#[derive(Subcommand)]
pub(crate) enum DeadLetters {
    /// List the oldest ones
    List(ListDeadLetters),
    /// Tell everything about one
    Show(ShowDeadLetter),
    /// Send them to work again, to the end of their queue
    #[command(after_help = "Exit code 1 if one of them is not found, or cannot be sent.")]
    Redrive(ChosenDeadLetters),
    /// Throw them away: nothing of them is left
    #[command(after_help = "Exit code 1 if one of them is not found.")]
    Discard(ChosenDeadLetters),
}

#[derive(Args)]
pub(crate) struct ListDeadLetters {
    /// Only those of this queue, for example buffer.inbound
    #[arg(long, value_name = "QUEUE", value_parser = work_queue)]
    pub(crate) queue: Option<&'static Queue>,
    /// How many, at the most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) limit: u16,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ShowDeadLetter {
    /// As `list` prints it
    #[arg(value_name = "ID")]
    pub(crate) id: DeadLetterId,
    /// Print the message's body, byte for byte, and nothing else
    #[arg(long)]
    pub(crate) body: bool,
}

#[derive(Args)]
pub(crate) struct ChosenDeadLetters {
    /// As `list` prints them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) ids: Vec<DeadLetterId>,
    /// All that are there when it begins
    #[arg(long)]
    pub(crate) all: bool,
    /// Only those of this queue
    #[arg(long, value_name = "QUEUE", value_parser = work_queue)]
    pub(crate) queue: Option<&'static Queue>,
}

fn work_queue(name: &str) -> Result<&'static Queue, String> {
    topology::queue(name).ok_or_else(|| {
        let names: Vec<_> = topology::QUEUES.iter().map(|queue| queue.name).collect();
        format!("there are {}", names.join(", "))
    })
}

#[derive(Subcommand)]
pub(crate) enum DbEvent {
    /// Print the SQL that makes an outbox of a table, for a database trigger; run nothing
    InstallSql(InstallSql),
}

#[derive(Args)]
pub(crate) struct InstallSql {
    /// The table to watch
    #[arg(long, value_name = "SCHEMA.TABLE")]
    pub(crate) table: TableName,
    /// What to note of it
    #[arg(
        long,
        value_enum,
        value_name = "EVENTS",
        value_delimiter = ',',
        default_value = "insert,update,delete"
    )]
    pub(crate) events: Vec<TableEvent>,
    /// Where to note it; several tables may share an outbox
    #[arg(long, value_name = "SCHEMA.TABLE", default_value = "public.recado_outbox")]
    pub(crate) outbox: TableName,
    /// What to note of its rows; everything unless given
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) columns: Vec<Identifier>,
    /// Have every transaction that noted something say so on this channel
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) notify: Option<Identifier>,
    /// Let this role read the outbox
    #[arg(long, value_name = "ROLE")]
    pub(crate) reader: Option<Identifier>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableEvent {
    Insert,
    Update,
    Delete,
}

#[derive(Args)]
pub(crate) struct Token {
    /// The tenant that the token speaks for; required, but for operators, who have none
    #[arg(long, value_name = "UUID")]
    pub(crate) tenant: Option<Uuid>,
    /// Whom the token identifies, for the audit log
    #[arg(long, value_name = "NAME", default_value = "cli")]
    pub(crate) subject: String,
    /// What its bearer may do
    #[arg(long, value_enum, default_value_t = TokenRole::Admin)]
    pub(crate) role: TokenRole,
    /// How many hours it is good for
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=8_760))]
    pub(crate) hours: u16,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum TokenRole {
    /// Decides which tenants there are
    Operator,
    Owner,
    Admin,
    Editor,
    Viewer,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
