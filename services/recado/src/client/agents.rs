//! `recado agents`.

use std::process::ExitCode;

use super::cli::Agents;
use super::failure::Failure;
use super::kind::Kind;
use super::print::Column;
use super::{Context, lookup, print};

const COLUMNS: [Column; 6] = [
    ("ID", "id"),
    ("NAME", "name"),
    ("EXTERNAL ID", "external_id"),
    ("MODEL", "model"),
    ("TOOLS", "tools"),
    ("UPDATED", "updated_at"),
];

pub(super) async fn run(context: &Context, command: &Agents) -> Result<ExitCode, Failure> {
    let Context { api, output } = context;
    match command {
        Agents::List(options) => {
            let listed = api.list(&["api", "agents"], &[], options.limit.into()).await?;
            print::list(listed, COLUMNS, *output)?;
        }
        Agents::Get(options) => {
            let found = lookup::find(api, Kind::Agent, &options.id).await?;
            print::one(&found.into_data(), *output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
