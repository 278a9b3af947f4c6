//! `recado triggers`, `executions`, `sessions`, `agents` and `apply`: for people who automate.
//!
//! All of it goes through the REST API, so it may do what its credential may do, from anywhere.

mod agents;
mod api;
mod apply;
pub(crate) mod cli;
mod connection;
mod executions;
mod failure;
mod follow;
mod kind;
mod lookup;
mod print;
mod sessions;
mod standing;
mod triggers;

use std::process::ExitCode;

use recado_service::config::{self, ProcessEnv};

use self::api::Api;
use self::cli::{ApplyHere, Client, Output, Server};
use self::connection::Connection;
pub(crate) use self::connection::Environment;
use self::failure::Failure;
use crate::roles;

/// What was asked for.
pub(crate) enum Command {
    Triggers(Client<cli::Triggers>),
    Agents(Client<cli::Agents>),
    Executions(Client<cli::Executions>),
    Sessions(Client<cli::Sessions>),
    Apply(ApplyHere),
}

/// What a command has to work with.
struct Context {
    api: Api,
    output: Output,
}

/// Ends with one of [`crate::exit_code`].
pub(crate) fn main(command: &Command) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime
        .map_err(|error| Failure::failed(format!("there is no runtime: {error}")))
        .and_then(|runtime| runtime.block_on(run(command)));
    ended.unwrap_or_else(|failure| {
        eprintln!("recado: {failure}");
        failure.exit_code()
    })
}

async fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Triggers(it) => triggers::run(&Context::of(&it.server)?, &it.command).await,
        Command::Agents(it) => agents::run(&Context::of(&it.server)?, &it.command).await,
        Command::Executions(it) => executions::run(&Context::of(&it.server)?, &it.command).await,
        Command::Sessions(it) => sessions::run(&Context::of(&it.server)?, &it.command).await,
        Command::Apply(it) => apply::run(&Context::of(&it.server)?, &it.options, None).await,
    }
}

impl Context {
    fn of(options: &Server) -> Result<Self, Failure> {
        let environment = config::load::<Environment>(&ProcessEnv, &roles::names());
        let environment = environment.map_err(|error| Failure::usage(error.to_string()))?;
        let api = Api::new(Connection::find(options, environment)?)?;
        Ok(Self { api, output: options.output })
    }
}
