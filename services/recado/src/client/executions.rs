//! `recado executions`.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::api::Api;
use super::cli::{Executions, ListExecutions, Output, ShowExecution};
use super::failure::Failure;
use super::follow::Story;
use super::kind::Kind;
use super::print::Column;
use super::standing::{self, Teller};
use super::{Context, lookup, print};

const COLUMNS: [Column; 11] = [
    ("ID", "id"),
    ("STATUS", "status"),
    ("TRIGGER", "trigger_id"),
    ("AGENT", "agent_id"),
    ("SESSION", "session_id"),
    ("MESSAGES", "message_count"),
    ("CREATED", "created_at"),
    ("MS", "execution_time_ms"),
    ("TOKENS", "tokens_used"),
    ("DELIVERY", "delivery_status"),
    ("ERROR", "error_code"),
];

/// How long there is between two looks at an execution that is followed.
const INTERVAL: Duration = Duration::from_millis(700);
/// How long an execution is waited for that nobody has begun yet: a message that was acknowledged
/// is under way to it.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);
/// How long a server is waited for that went away meanwhile.
const RETURNS_WITHIN: Duration = Duration::from_mins(1);
/// How long the answer's delivery is waited for once the execution has ended.
const DELIVERED_WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn run(context: &Context, command: &Executions) -> Result<ExitCode, Failure> {
    let Context { api, output } = context;
    match command {
        Executions::List(options) => list(api, options, *output).await,
        Executions::Show(options) if options.follow => follow(api, options, *output).await,
        Executions::Show(options) => {
            let detail = show(api, &options.id).await?;
            tell(&detail, *output)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(api: &Api, options: &ListExecutions, output: Output) -> Result<ExitCode, Failure> {
    let trigger = id_of(api, Kind::Trigger, options.trigger.as_deref()).await?;
    let agent = id_of(api, Kind::Agent, options.agent.as_deref()).await?;
    let filters = given(&[
        ("trigger_id", trigger.as_deref()),
        ("agent_id", agent.as_deref()),
        ("session_id", options.session.as_deref()),
        ("status", options.status.as_deref()),
        ("from", options.from.as_deref()),
        ("to", options.to.as_deref()),
        ("text", options.text.as_deref()),
    ]);
    let mut listed = api.list(&["api", "executions"], &filters, options.limit.limit.into()).await?;
    lookup::name_ids(api, Kind::Trigger, &mut listed, "trigger_id", output).await;
    lookup::name_ids(api, Kind::Agent, &mut listed, "agent_id", output).await;
    print::list(listed, COLUMNS, output)?;
    Ok(ExitCode::SUCCESS)
}

/// The id of what a filter names, if it is given.
pub(super) async fn id_of(
    api: &Api,
    kind: Kind,
    called: Option<&str>,
) -> Result<Option<String>, Failure> {
    match called {
        Some(called) => lookup::id_of(api, kind, called).await.map(Some),
        None => Ok(None),
    }
}

/// The filters that are given.
pub(super) fn given<'t>(filters: &[(&'t str, Option<&'t str>)]) -> Vec<(&'t str, &'t str)> {
    filters.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect()
}

async fn show(api: &Api, id: &str) -> Result<Value, Failure> {
    Ok(api.get(&["api", "executions", id]).await?.into_data())
}

fn tell(detail: &Value, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => print::json(detail),
        Output::Table => print::out(&Story::default().news(detail).join("\n")),
    }
}

/// Prints what is new until the execution has ended, and its answer's delivery with it; says beside
/// it what is waited for.
async fn follow(api: &Api, options: &ShowExecution, output: Output) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let mut story = Story::of_events();
    let mut teller = Teller::default();
    let mut seen_at = None;
    let mut ended_at = None;
    loop {
        let is_patient = began.elapsed() < Duration::from_secs(options.timeout);
        let detail = match show(api, &options.id).await {
            Ok(detail) => detail,
            Err(failure) => {
                let waits_for = standing::of_message(&failure);
                let patience = if waits_for.is_some() {
                    Duration::MAX
                } else if failure.is_not_found() && seen_at.is_none() {
                    BEGINS_WITHIN
                } else if failure.is_passing() && seen_at.is_some() {
                    RETURNS_WITHIN
                } else {
                    Duration::ZERO
                };
                teller.tell(waits_for);
                if is_patient && seen_at.unwrap_or(began).elapsed() < patience {
                    tokio::time::sleep(INTERVAL).await;
                    continue;
                }
                return Err(failure);
            }
        };
        seen_at = Some(Instant::now());
        teller.tell(standing::of(api, &detail).await);
        if output == Output::Table {
            let news = story.news(&detail);
            if !news.is_empty() {
                print::out(&news.join("\n"))?;
            }
        }
        if has_ended(&detail) {
            let waited = ended_at.get_or_insert_with(Instant::now).elapsed();
            if !is_being_delivered(&detail) || waited > DELIVERED_WITHIN || !is_patient {
                return ended(&detail, output);
            }
        } else if !is_patient {
            let seconds = options.timeout;
            return Err(Failure::failed(format!("it has not ended within {seconds} s")));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn ended(detail: &Value, output: Output) -> Result<ExitCode, Failure> {
    if output == Output::Json {
        print::json(detail)?;
    }
    if is_being_delivered(detail) {
        eprintln!("recado: its answer is still on its way");
    }
    let succeeded = detail["execution"]["status"] == "success";
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn has_ended(detail: &Value) -> bool {
    !detail["execution"]["finished_at"].is_null()
}

fn is_being_delivered(detail: &Value) -> bool {
    let deliveries = detail["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default();
    deliveries.iter().any(|delivery| delivery["status"] == "pending")
}
