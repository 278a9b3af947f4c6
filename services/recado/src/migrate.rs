//! `recado migrate`.

use std::process::ExitCode;

use anyhow::Context as _;
use recado_service::Process;
use recado_service::config::{Postgres, ProcessEnv};

use crate::roles;

/// Brings the schema of `RECADO_DATABASE_URL` up to date. May be run by several at once.
pub(crate) fn main() -> ExitCode {
    Process::new("migrate", &ProcessEnv).names(roles::names()).without_listener().run(
        async |_context, postgres: Postgres| {
            let url = postgres.url.expose().as_str();
            recado_store::migrate(url).await.context("the database was not migrated")?;
            let version = recado_store::SCHEMA_VERSION;
            tracing::info!(schema.version = version, "the schema is at version {version}");
            Ok(())
        },
    )
}
