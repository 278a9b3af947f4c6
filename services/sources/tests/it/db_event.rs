//! Databases of tenants: each row once, whoever reads it.

use chrono::TimeDelta;
use recado_testkit::{sql, wait_for};
use serde_json::json;

use crate::running::{SOON, System};

#[tokio::test]
async fn each_row_becomes_one_message_over_a_missing_secret_and_a_kill() {
    let system = System::at("2026-11-22T09:00:00Z").await;
    let insert = "INSERT INTO outbox SELECT FROM generate_series(1, 250)";
    let table = "CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                                      txid xid8 DEFAULT pg_current_xact_id())";
    sql::execute(system.database_url(), &format!("{table}; {insert}")).await.unwrap();
    let config = json!({
        "db_event": {"secret_ref": "ERP", "outbox": {
            "table": "public.outbox", "transaction": "txid", "poll_ms": 100,
        }},
        "query_extraction": {"mode": "template", "template": "{{row.id}}"},
        "session_strategy": {"mode": "shared"},
    });
    let trigger = system.trigger(config).await;
    let first = system.start();
    let failed = async || system.source(trigger).await.error_code;
    let code = wait_for("a failure", SOON, failed).await.unwrap();
    assert_eq!(code, "secret_missing");
    system.add_secret("ERP", system.database_url()).await;
    system.clock.advance(TimeDelta::minutes(10));
    system.wait_for(trigger, 250).await;

    let second = system.start();
    sql::execute(system.database_url(), insert).await.unwrap();
    first.kill();
    let messages = system.wait_for(trigger, 500).await;
    let texts: Vec<&str> = messages.iter().map(|message| message.text.as_str()).collect();
    let expected: Vec<String> = (1..=500).map(|id| id.to_string()).collect();
    assert_eq!(texts, expected);
    let settled = async || (system.source(trigger).await.error_code.is_none()).then_some(());
    wait_for("a source that works", SOON, settled).await.unwrap();
    second.stop().await;
}
