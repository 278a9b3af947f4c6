//! Running one role as a process of its own.

use std::process::ExitCode;

use recado_service::config::{Names, ProcessEnv, Settings};
use recado_service::{Context, Process};

use crate::cli::Role;
use crate::client;

/// Runs `main` as `name`.
pub(crate) fn run<S: Settings>(
    name: &'static str,
    options: Role,
    main: impl AsyncFnOnce(Context, S) -> anyhow::Result<()>,
) -> ExitCode {
    Process::new(name, &ProcessEnv).names(names()).ready_file(options.ready_file).run(main)
}

/// The variables of all roles and of the client: one environment serves them all, and a typing
/// error is found by each of them.
pub(crate) fn names() -> Names {
    Process::own_names()
        .and::<recado_ingress::Config>()
        .and::<recado_buffer::Config>()
        .and::<recado_agent_runner::Config>()
        .and::<recado_delivery::Config>()
        .and::<recado_sources::Config>()
        .and::<recado_management::Config>()
        .and::<client::Environment>()
}
