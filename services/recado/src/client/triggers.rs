//! `recado triggers`.

use std::process::ExitCode;

use serde_json::Value;

use super::cli::{Output, Triggers};
use super::failure::Failure;
use super::kind::Kind;
use super::print::Column;
use super::{Context, apply, lookup, print};

const COLUMNS: [Column; 6] = [
    ("ID", "id"),
    ("NAME", "name"),
    ("EXTERNAL ID", "external_id"),
    ("AGENT", "agent_id"),
    ("ENABLED", "enabled"),
    ("UPDATED", "updated_at"),
];

pub(super) async fn run(context: &Context, command: &Triggers) -> Result<ExitCode, Failure> {
    let Context { api, output } = context;
    match command {
        Triggers::List(options) => {
            let mut listed = api.list(&["api", "triggers"], &[], options.limit.into()).await?;
            lookup::name_ids(api, Kind::Agent, &mut listed, "agent_id", *output).await;
            print::list(listed, COLUMNS, *output)?;
        }
        Triggers::Get(options) => {
            let found = lookup::find(api, Kind::Trigger, &options.id).await?;
            print::one(&found.into_data(), *output)?;
        }
        Triggers::Create(file) => {
            let made = apply::create(api, file, Kind::Trigger).await;
            tell(&made.made, *output)?;
            made.ended?;
        }
        Triggers::Apply(options) => {
            return apply::run(context, options, Some(Kind::Trigger)).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was made, with the secrets that no other answer will have.
fn tell(made: &[Value], output: Output) -> Result<(), Failure> {
    match (output, made) {
        (_, []) => Ok(()),
        (Output::Json, several) => print::json(&Value::Array(several.to_vec())),
        (Output::Table, several) => {
            let told: Vec<String> = several.iter().map(print::fields).collect();
            print::out(&told.join("\n\n"))
        }
    }
}
