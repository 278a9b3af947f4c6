//! The command line of those who speak the REST API.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What every command of the client may be told of the server, beside the command.
#[derive(Args)]
pub(crate) struct Client<C: Subcommand> {
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(subcommand)]
    pub(crate) command: C,
}

/// Where the API is, who asks, and in which form the answer is printed.
#[derive(Args)]
pub(crate) struct Server {
    /// Where the API is; `RECADO_API_URL` or <http://127.0.0.1:8081> unless given
    #[arg(long, value_name = "URL", global = true, help_heading = "Connection")]
    pub(crate) url: Option<String>,
    /// Holds the token or the API key; otherwise `RECADO_TOKEN` or `RECADO_API_KEY` does
    #[arg(long, value_name = "PATH", global = true, help_heading = "Connection")]
    pub(crate) token_file: Option<PathBuf>,
    /// Where `recado dev` keeps its data: its address and its token are used (`RECADO_DEV_DIR`)
    #[arg(long, value_name = "DIR", global = true, help_heading = "Connection")]
    pub(crate) dev: Option<PathBuf>,
    /// Send the credential unencrypted, where the API is at http:// and not on this machine
    #[arg(long, global = true, help_heading = "Connection")]
    pub(crate) insecure_http: bool,
    /// How the answer is printed
    #[arg(short, long, value_enum, default_value_t = Output::Table, global = true)]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs: the `data` of the API's answer
    Json,
}

#[derive(Subcommand)]
pub(crate) enum Triggers {
    /// List them, the newest first
    List(Limit),
    /// Tell everything about one
    Get(Named),
    /// Make those of a file, and print their webhook secrets, which are shown only once
    Create(File),
    /// As `recado apply`, of a file that has nothing but triggers
    Apply(Apply),
}

#[derive(Subcommand)]
pub(crate) enum Agents {
    /// List them, the newest first
    List(Limit),
    /// Tell everything about one
    Get(Named),
}

#[derive(Subcommand)]
pub(crate) enum Executions {
    /// List them, the newest first
    List(ListExecutions),
    /// Tell what happened in one
    Show(ShowExecution),
}

#[derive(Subcommand)]
pub(crate) enum Sessions {
    /// List them, the newest first
    List(ListSessions),
    /// Tell about one, with what was said in it
    Show(ShowSession),
}

/// `recado apply`, which has no command below it.
#[derive(Args)]
pub(crate) struct ApplyHere {
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) options: Apply,
}

#[derive(Args)]
pub(crate) struct Limit {
    /// How many, at the most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) limit: u16,
}

#[derive(Args)]
pub(crate) struct Named {
    /// Its id, its external id or its name
    #[arg(value_name = "ID|NAME")]
    pub(crate) id: String,
}

#[derive(Args)]
pub(crate) struct File {
    /// YAML or JSON; `-` is the standard input
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) file: File,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --dry-run: exit code 3 if something would change
    #[arg(long, requires = "dry_run")]
    pub(crate) exit_code: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Add what is shown only once (webhook secrets) to this file, a line of JSON each
    #[arg(long, value_name = "PATH")]
    pub(crate) save_secrets: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ListExecutions {
    /// Only those of this trigger
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) trigger: Option<String>,
    /// Only those of this agent
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) agent: Option<String>,
    /// Only those of this session
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Only those that stand so: queued, running, waiting, success, failed, timeout, cancelled
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Only those made then or later (2026-11-20T00:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Only those made before
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Only those in which this was asked or answered
    #[arg(long)]
    pub(crate) text: Option<String>,
    #[command(flatten)]
    pub(crate) limit: Limit,
}

#[derive(Args)]
#[command(after_help = "With --follow, exit code 1 if it ends in any way but `success`.")]
pub(crate) struct ShowExecution {
    /// As `list` or an acknowledgement has it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Wait for its end, and print what happens meanwhile
    #[arg(long)]
    pub(crate) follow: bool,
    /// How long to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, requires = "follow", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
}

#[derive(Args)]
pub(crate) struct ListSessions {
    /// Only those of this trigger
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) trigger: Option<String>,
    /// Only those of this agent
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) agent: Option<String>,
    /// Only those that stand so: active, suspended, `handed_off`
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Only those made then or later (2026-11-20T00:00:00Z)
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Only those made before
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) limit: Limit,
}

#[derive(Args)]
pub(crate) struct ShowSession {
    /// As `list` has it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// How many of the newest entries of what was said, at the most
    #[command(flatten)]
    pub(crate) limit: Limit,
}
