//! Databases of tenants that are away, and schedules that nobody can claim.

use recado_testkit::receiver::refusing_url;
use recado_testkit::sql;
use serde_json::{Value, json};

use super::Watched;
use crate::support::{Story, echo, system};

/// More than ten sources fail, more than twenty ticks are late.
const DATABASES: usize = 12;
const SCHEDULES: usize = 25;

async fn source(watched: &Watched, agent: &str, kind: &str, config: Value) -> anyhow::Result<()> {
    let trigger = json!({
        "agent_id": agent, "name": "Source", "trigger_type": kind, "trigger_config": config,
    });
    watched.management().post("/api/triggers", &trigger).await.map(drop)
}

#[tokio::test]
async fn sources_that_fail_and_schedules_that_are_late_are_told() -> Story {
    let watched = Watched::start("sources", system()).await?;
    let agent = echo(&watched).await?;
    let each_second = json!({
        "schedule": {"cron": "* * * * * *", "catch_up": "all", "payload": "{{scheduled_at}}"},
    });
    for _ in 0..SCHEDULES {
        source(&watched, &agent, "schedule", each_second.clone()).await?;
    }
    watched.sees("sum(recado_sources_published_total{kind='schedule'}) > 25").await?;
    watched.is_quiet().await?;

    let nowhere = refusing_url().replacen("http://", "postgres://recado@", 1);
    watched.management().create_secret("ERP_DATABASE", &nowhere).await?;
    let away = json!({
        "db_event": {"secret_ref": "ERP_DATABASE",
                     "outbox": {"table": "public.recado_outbox", "transaction": "txid"}},
    });
    for _ in 0..DATABASES {
        source(&watched, &agent, "db_event", away.clone()).await?;
    }

    // As while somebody makes an index: everybody reads, nobody claims.
    let url = watched.database_url();
    sql::connected(&url, async |client| {
        client.batch_execute("BEGIN; LOCK TABLE sources IN SHARE MODE").await?;
        watched.fires("RecadoSourcesLate", &[("severity", "page")]).await?;
        Ok::<_, anyhow::Error>(client.batch_execute("COMMIT").await?)
    })
    .await?;
    watched.fires("RecadoSourcesLate", &[("severity", "ticket")]).await?;
    watched.resolves("RecadoSourcesLate", &[("severity", "page")]).await?;
    watched.fires("RecadoSourcesFailing", &[("kind", "db_event")]).await?;
    Ok(watched.end()?)
}
