//! `recado sessions`.

use std::process::ExitCode;

use serde_json::Value;

use super::cli::{ListSessions, Output, Sessions, ShowSession};
use super::executions::{given, id_of};
use super::failure::Failure;
use super::kind::Kind;
use super::print::{Column, indented, moment};
use super::{Context, print};
use crate::table::{one_line, several_lines};

const COLUMNS: [Column; 6] = [
    ("ID", "session_id"),
    ("STATUS", "status"),
    ("AGENT", "agent_name"),
    ("TRIGGER", "trigger_name"),
    ("CREATED", "created_at"),
    ("UPDATED", "updated_at"),
];

pub(super) async fn run(context: &Context, command: &Sessions) -> Result<ExitCode, Failure> {
    match command {
        Sessions::List(options) => list(context, options).await?,
        Sessions::Show(options) => show(context, options).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(context: &Context, options: &ListSessions) -> Result<(), Failure> {
    let Context { api, output } = context;
    let trigger = id_of(api, Kind::Trigger, options.trigger.as_deref()).await?;
    let agent = id_of(api, Kind::Agent, options.agent.as_deref()).await?;
    let filters = given(&[
        ("trigger_id", trigger.as_deref()),
        ("agent_id", agent.as_deref()),
        ("status", options.status.as_deref()),
        ("from", options.from.as_deref()),
        ("to", options.to.as_deref()),
    ]);
    let listed = api.list(&["api", "sessions"], &filters, options.limit.limit.into()).await?;
    print::list(listed, COLUMNS, *output)
}

async fn show(context: &Context, options: &ShowSession) -> Result<(), Failure> {
    let Context { api, output } = context;
    let ShowSession { id, limit } = options;
    let mut session = api.get(&["api", "sessions", id]).await?.into_data();
    let said = api.list(&["api", "sessions", id, "transcript"], &[], limit.limit.into()).await?;
    match output {
        Output::Json => {
            session["transcript"] = Value::Array(said.entries);
            print::json(&session)?;
        }
        Output::Table => {
            print::one(&session, *output)?;
            // They come newest first, and are read in the order in which they were said.
            for entry in said.entries.iter().rev() {
                print::out(&told(entry))?;
            }
        }
    }
    if said.more {
        eprintln!("recado: more was said; --limit shows it");
    }
    Ok(())
}

/// When, who, and what.
fn told(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let (at, who) = (moment(&one_line(text("said_at"))), one_line(text("role")));
    let author = entry["author"].as_str().map(|name| format!(" ({})", one_line(name)));
    let ellipsis = if entry["truncated"] == true { "…" } else { "" };
    let what = indented(&(several_lines(text("text")) + ellipsis));
    format!("\n{at}  {who}{}\n{what}", author.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_said_is_told_line_by_line() {
        let entry =
            json!({"role": "user", "text": "a\nb\u{1b}", "said_at": "2026-11-20T10:00:00Z"});
        assert_eq!(told(&entry), "\n2026-11-20 10:00:00  user\n  a\n  b ");
        let entry = json!({"role": "person", "author": "Ana", "text": "a", "truncated": true});
        assert_eq!(told(&entry), "\n  person (Ana)\n  a…");
    }
}
