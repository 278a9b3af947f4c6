//! Destinations: what is told of those that do not answer, and trying one at once.

use serde_json::{Value, json};

use crate::server::Server;

const NOBODY: &str = "01930000-0000-7000-8000-000000000000";

/// A destination that has not answered and may be tried in ten minutes.
async fn open(server: &Server, trigger: &str) {
    let ours = server.ours;
    server
        .execute(&format!(
            "INSERT INTO destinations (trigger_id, tenant_id, failure_count, error_code,
                                       error_message, probe_count, probe_at, opened_at, updated_at)
             VALUES ('{trigger}', '{ours}', 7, 'timeout', 'no answer', 2,
                     now() + interval '10 min', '2026-02-18T14:30:00Z', now())"
        ))
        .await;
}

/// Sessions with one delivery each, whose lanes run this much later (`-1 s`).
async fn insert_lanes(server: &Server, trigger: &str, n_lanes: u32, later: &str, leased: bool) {
    let (ours, token) = (server.ours, if leased { "gen_random_uuid()" } else { "NULL" });
    server
        .execute(&format!(
            "INSERT INTO lanes (kind, session_id, tenant_id, trigger_id, queued, next_run_at,
                                lease_token)
             SELECT 'delivery', gen_random_uuid(), '{ours}', '{trigger}', 2,
                    now() + interval '{later}', {token}
               FROM generate_series(1, {n_lanes})"
        ))
        .await;
}

async fn show(server: &Server, trigger: &str) -> Value {
    server.get(&format!("/api/destinations/{trigger}")).await.data(200).clone()
}

#[tokio::test]
async fn a_destination_that_answers_is_closed_and_not_listed() {
    let server = Server::start().await;
    let trigger = server.trigger(&server.agent().await).await;
    insert_lanes(&server, &trigger, 3, "-1 s", false).await;
    let shown = show(&server, &trigger).await;
    assert_eq!((&shown["state"], &shown["failure_count"]), (&json!("closed"), &json!(0)));
    assert_eq!((&shown["opened_at"], &shown["probe_at"]), (&json!(null), &json!(null)));
    assert_eq!(shown["deliveries_waiting"], 6);
    assert_eq!(server.get("/api/destinations").await.data(200), &json!([]));
    for id in [NOBODY, "x"] {
        let unknown = server.get(&format!("/api/destinations/{id}")).await;
        assert_eq!((unknown.status, unknown.code()), (404, "trigger_not_found"));
    }
}

#[tokio::test]
async fn a_destination_that_does_not_answer_says_why_and_what_waits() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let (dead, alive) = (server.trigger(&agent).await, server.trigger(&agent).await);
    open(&server, &dead).await;
    insert_lanes(&server, &dead, 2, "-1 s", false).await;
    // What waits for something else does not wait for the destination.
    insert_lanes(&server, &dead, 5, "1 h", false).await;
    insert_lanes(&server, &alive, 7, "-1 s", false).await;
    let shown = show(&server, &dead).await;
    for (field, value) in [
        ("trigger_id", json!(dead)),
        ("trigger_name", json!("ERP Chat Integration")),
        ("state", json!("open")),
        ("failure_count", json!(7)),
        ("probe_count", json!(2)),
        ("error_code", json!("timeout")),
        ("error_message", json!("no answer")),
        ("opened_at", json!("2026-02-18T14:30:00Z")),
        ("deliveries_waiting", json!(4)),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    let listed = server.get("/api/destinations").await;
    assert_eq!(listed.data(200), &json!([shown]));
    assert_eq!(server.get("/api/destinations?state=open").await.paths(), ["state"]);
}

#[tokio::test]
async fn a_destination_is_half_open_while_it_may_be_or_is_tried() {
    let server = Server::start().await;
    let trigger = server.trigger(&server.agent().await).await;
    open(&server, &trigger).await;
    insert_lanes(&server, &trigger, 1, "30 s", true).await;
    assert_eq!(show(&server, &trigger).await["state"], "half_open");
    let probe = format!("/api/destinations/{trigger}/probe");
    let before = show(&server, &trigger).await["probe_at"].clone();
    let probed = server.post(&probe, &json!({})).await;
    assert_eq!(probed.data(200)["probe_at"], before, "it is being tried");

    server.execute("DELETE FROM lanes").await;
    assert_eq!(show(&server, &trigger).await["state"], "open");
    let probed = server.post(&probe, &json!({})).await;
    assert_eq!(probed.data(200)["state"], "half_open");
    let due = "SELECT count(*) FROM destinations WHERE probe_at <= now()";
    assert_eq!(recado_testkit::sql::count(server.database.url(), due).await.unwrap(), 1);
}

#[tokio::test]
async fn trying_what_answers_changes_nothing() {
    let server = Server::start().await;
    let trigger = server.trigger(&server.agent().await).await;
    let probed = server.post(&format!("/api/destinations/{trigger}/probe"), &json!({})).await;
    assert_eq!(probed.data(200)["state"], "closed");
    let unknown = server.post(&format!("/api/destinations/{NOBODY}/probe"), &json!({})).await;
    assert_eq!((unknown.status, unknown.code()), (404, "trigger_not_found"));
}
