//! The one binary. Wiring only: what needs a test belongs in a library or a module beside this.

mod bench;
mod cli;
mod client;
mod db_event;
mod dead_letters;
mod demo;
mod dev;
mod exit_code;
mod faults;
mod health;
mod json_file;
mod metrics;
mod migrate;
mod roles;
mod table;
mod tenant;
mod token;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};

fn main() -> ExitCode {
    // Whoever makes a TLS connection without naming a provider gets this one. It can only fail if
    // there is one already, and this is the first line of the program.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Cli::parse().command {
        Command::Ingress(role) => roles::run("ingress", role, async |context, config| {
            recado_ingress::run(context, config).await
        }),
        Command::Buffer(role) => roles::run("buffer", role, async |context, config| {
            recado_buffer::run(context, config).await
        }),
        Command::AgentRunner(role) => roles::run("agent-runner", role, async |context, config| {
            recado_agent_runner::run(context, config).await
        }),
        Command::Delivery(role) => roles::run("delivery", role, async |context, config| {
            recado_delivery::run(context, config).await
        }),
        Command::Sources(role) => roles::run("sources", role, async |context, config| {
            recado_sources::run(context, config).await
        }),
        Command::Management(role) => roles::run("management", role, async |context, config| {
            recado_management::run(context, config).await
        }),
        Command::Dev(options) => dev::main(&options),
        Command::Demo => demo::main(),
        Command::Bench(options) => bench::main(&options),
        Command::Faults(options) => faults::main(&options),
        Command::Migrate => migrate::main(),
        Command::Tenant(options) => tenant::main(&options),
        Command::Health(options) => health::main(&options),
        Command::Token(options) => token::main(&options),
        Command::DeadLetters(command) => dead_letters::main(&command),
        Command::DbEvent(command) => db_event::main(&command),
        Command::Triggers(options) => client::main(&client::Command::Triggers(options)),
        Command::Agents(options) => client::main(&client::Command::Agents(options)),
        Command::Executions(options) => client::main(&client::Command::Executions(options)),
        Command::Sessions(options) => client::main(&client::Command::Sessions(options)),
        Command::Apply(options) => client::main(&client::Command::Apply(options)),
        Command::Topology => {
            say(&format!("{:#}", recado_broker::topology::definitions()));
            ExitCode::SUCCESS
        }
        Command::Metrics => {
            say(metrics::markdown().trim_end());
            ExitCode::SUCCESS
        }
    }
}

/// Prints a line for whoever called; logs go to standard error.
#[expect(clippy::print_stdout, reason = "this is what the command was called for")]
fn say(text: &str) {
    println!("{text}");
}
