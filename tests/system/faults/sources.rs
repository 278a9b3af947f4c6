//! Triggers that fire by themselves, while whoever fires them is killed, and everything behind.

use std::process::Command;
use std::time::Duration;

use recado_testkit::app::{Role, TestApp};
use recado_testkit::{database, sql, wait_for};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{AWAY, wait};
use crate::support::{RECADO, SOON, Story, echo, system};

/// How many rows are inserted, by how many at a time, and how many in one transaction.
const ROWS: usize = 10_000;
const WRITERS: usize = 4;
const AT_ONCE: usize = 50;
/// How many conversations they are part of.
const CUSTOMERS: usize = 12;
/// How long all that is left may take, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

async fn trigger(app: &TestApp, trigger_type: &str, config: Value) -> anyhow::Result<String> {
    let trigger = json!({
        "agent_id": echo(app).await?, "name": "Source", "trigger_type": trigger_type,
        "trigger_config": config,
    });
    let made = app.management().post("/api/triggers", &trigger).await?;
    Ok(made["data"]["id"].as_str().unwrap_or_default().to_owned())
}

/// Waits until so many of the trigger's messages are in executions that went well.
async fn executed(app: &TestApp, trigger: &str, n: usize) -> anyhow::Result<()> {
    let count = format!(
        "SELECT count(*) FROM messages m JOIN executions e ON e.id = m.execution_id
          WHERE m.trigger_id = '{trigger}' AND e.status = 'success'"
    );
    let executed = async || {
        let found = sql::count(&app.database_url(), &count).await.ok()?;
        (usize::try_from(found).ok()? >= n).then_some(())
    };
    wait_for("executions of what the source told", PATIENCE, executed).await?;
    Ok(())
}

#[tokio::test]
async fn each_second_fires_once_whatever_is_killed() -> Story {
    let mut app = system().private_servers().instances(Role::Sources, 2).start().await?;
    let each_second = json!({
        "schedule": {"cron": "* * * * * *", "catch_up": "all", "payload": "{{scheduled_at}}"},
        "session_strategy": {"mode": "shared"},
        "execution": {"message_buffer": {"enabled": true, "window_ms": 200}},
    });
    let trigger = trigger(&app, "schedule", each_second).await?;
    executed(&app, &trigger, 2).await?;
    app.kill(Role::Sources, 0)?;
    executed(&app, &trigger, 3).await?;
    app.restart(Role::Sources, 0).await?;
    app.kill(Role::Sources, 1)?;
    app.servers().rabbitmq.kill()?;
    wait(AWAY).await;
    app.servers().rabbitmq.restart().await?;
    app.restart(Role::Sources, 1).await?;
    executed(&app, &trigger, 6).await?;
    app.servers().postgres.kill()?;
    wait(AWAY).await;
    app.servers().postgres.restart().await?;
    app.kill(Role::AgentRunner, 0)?;
    app.restart(Role::AgentRunner, 0).await?;
    executed(&app, &trigger, 14).await?;

    app.management().post(&format!("/api/triggers/{trigger}/disable"), &json!({})).await?;
    let open = format!(
        "SELECT count(*) FROM messages m LEFT JOIN executions e ON e.id = m.execution_id
          WHERE m.trigger_id = '{trigger}' AND e.finished_at IS NULL"
    );
    let url = app.database_url();
    let settled = async || matches!(sql::count(&url, &open).await, Ok(0)).then_some(());
    wait_for("the last executions", SOON, settled).await?;
    // From the first to the last, each second is there, and none twice; and so they were asked.
    let seconds = sql::texts(
        &url,
        &format!("SELECT text FROM messages WHERE trigger_id = '{trigger}' ORDER BY text"),
    )
    .await?;
    let parsed = seconds.iter().map(|text| text.parse::<chrono::DateTime<chrono::Utc>>());
    let parsed: Vec<_> = parsed.collect::<Result<_, _>>()?;
    assert!(parsed.len() >= 14, "{seconds:?}");
    for pair in parsed.windows(2) {
        assert_eq!((pair[1] - pair[0]).num_seconds(), 1, "{seconds:?}");
    }
    let asked = format!(
        "SELECT string_agg(normalized_query, E'\\n' ORDER BY seq) FROM executions
          WHERE trigger_id = '{trigger}'"
    );
    let asked = sql::texts(&url, &asked).await?;
    let asked: Vec<&str> = asked[0].lines().collect();
    assert_eq!(asked, seconds, "each in one execution, in order");
    Ok(app.finish().await?)
}

#[tokio::test]
async fn each_row_is_told_once_whatever_is_killed() -> Story {
    let mut app = system().private_servers().instances(Role::Sources, 2).start().await?;
    let theirs = database().await;
    let table = "CREATE TABLE public.orders (id bigserial PRIMARY KEY, n integer NOT NULL,
                                               customer integer NOT NULL)";
    sql::execute(theirs.url(), table).await?;
    let printed = Command::new(RECADO)
        .args(["db-event", "install-sql", "--table", "public.orders"])
        .output()?;
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    sql::execute(theirs.url(), &String::from_utf8(printed.stdout)?).await?;
    app.management().create_secret("ERP_DATABASE", theirs.url()).await?;
    let rows = json!({
        "db_event": {"secret_ref": "ERP_DATABASE",
                     "outbox": {"table": "public.recado_outbox", "transaction": "txid",
                                "poll_ms": 100, "batch": 500}},
        "query_extraction": {"mode": "template", "template": "{{row.row.n}}"},
        "session_strategy": {"mode": "derive", "fields": ["row.row.customer"]},
        "execution": {"message_buffer": {"enabled": true, "window_ms": 300, "max_messages": 100}},
    });
    let trigger = trigger(&app, "db_event", rows).await?;
    let mut writing = JoinSet::new();
    writing.spawn(insert(theirs.url().to_owned()));
    for n in 1..=4 {
        executed(&app, &trigger, n * 1_000).await?;
        match n {
            1 => app.kill(Role::Sources, 0)?,
            2 => {
                app.restart(Role::Sources, 0).await?;
                app.kill(Role::Sources, 1)?;
                app.servers().rabbitmq.kill()?;
                wait(AWAY).await;
                app.servers().rabbitmq.restart().await?;
            }
            3 => {
                app.restart(Role::Sources, 1).await?;
                app.kill(Role::AgentRunner, 0)?;
                app.kill(Role::Buffer, 0)?;
                app.restart(Role::Buffer, 0).await?;
                app.restart(Role::AgentRunner, 0).await?;
            }
            _ => {
                app.servers().postgres.kill()?;
                wait(AWAY).await;
                app.servers().postgres.restart().await?;
            }
        }
    }
    writing.join_all().await.into_iter().collect::<anyhow::Result<()>>()?;
    executed(&app, &trigger, ROWS).await?;
    let told = format!(
        "SELECT count(*) FROM (SELECT text FROM messages WHERE trigger_id = '{trigger}'
                                GROUP BY text HAVING count(*) = 1) once"
    );
    assert_eq!(sql::count(&app.database_url(), &told).await?, i64::try_from(ROWS)?);
    let all = format!("SELECT count(*) FROM messages WHERE trigger_id = '{trigger}'");
    assert_eq!(sql::count(&app.database_url(), &all).await?, i64::try_from(ROWS)?, "none twice");
    Ok(app.finish().await?)
}

/// Inserts rows by several connections, whose transactions overlap.
async fn insert(url: String) -> anyhow::Result<()> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let url = url.clone();
        writers.spawn(async move {
            for first in (writer * AT_ONCE..ROWS).step_by(WRITERS * AT_ONCE) {
                let last = (first + AT_ONCE).min(ROWS) - 1;
                let rows = format!(
                    "INSERT INTO public.orders (n, customer)
                     SELECT n, n % {CUSTOMERS} FROM generate_series({first}, {last}) AS n"
                );
                sql::execute(&url, &rows).await?;
            }
            anyhow::Ok(())
        });
    }
    writers.join_all().await.into_iter().collect()
}
