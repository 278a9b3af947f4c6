//! `recado tenant`: the first thing that a new installation needs.

use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use recado_service::config::{Postgres, ProcessEnv};
use recado_service::connect::{self, SecretKeys};
use recado_service::{Context, Process};
use recado_store::tenants::{self, EnsureTenant};
use recado_types::shape::judge_name;
use recado_types::{ProjectId, TenantId};
use serde_json::json;

use crate::{cli, roles, say};

/// As many characters as any name may have.
const MAX_NAME: usize = 255;

/// Makes a tenant and prints its ids as JSON.
pub(crate) fn main(options: &cli::Tenant) -> ExitCode {
    Process::new("tenant", &ProcessEnv).names(roles::names()).without_listener().run(
        async |context: Context, (postgres, keys): (Postgres, SecretKeys)| {
            let name = options.name.trim();
            let length = name.chars().count();
            ensure!(
                (1..=MAX_NAME).contains(&length),
                "--name must have 1 to {MAX_NAME} characters"
            );
            if let Err(reason) = judge_name(name) {
                bail!("--name {reason}");
            }
            let store = connect::open_store("tenant", &postgres, &keys)?;
            let id = TenantId(context.clock.fresh_id());
            let project_id = ProjectId(context.clock.fresh_id());
            let tenant = EnsureTenant { id, project_id, name };
            let made = tenants::ensure(&store, &tenant, context.clock.now()).await;
            made.context("the tenant was not made")?;
            say(&json!({"tenant_id": id, "project_id": project_id}).to_string());
            Ok(())
        },
    )
}
