//! Triggers that fire by themselves, as admins see them.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::server::{Answer, Server};

fn schedule(agent: &str, schedule: &Value) -> Value {
    json!({
        "agent_id": agent, "name": "Report", "trigger_type": "schedule",
        "trigger_config": {"schedule": schedule},
    })
}

fn times(answer: &Answer, status: u16) -> Vec<DateTime<Utc>> {
    let runs = answer.data(status)["next_runs"].as_array().unwrap();
    runs.iter().map(|run| run.as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn a_schedule_shows_when_it_fires_and_how_it_is_doing() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let daily = json!({"cron": "30 9 * * *", "time_zone": "America/Sao_Paulo",
                       "payload": {"chatInput": "Report of {{date}}"}});
    let created = server.post("/api/triggers", &schedule(&agent, &daily)).await;
    let runs = times(&created, 201);
    assert_eq!(runs.len(), 5);
    assert!(runs.iter().all(|run| run.format("%H:%M:%S").to_string() == "12:30:00"), "{runs:?}");
    assert!(runs.is_sorted());
    assert_eq!(created.body.get("webhook_url"), None);
    assert_eq!(created.data(201).get("webhook_secret"), None);

    let path = format!("/api/triggers/{}", created.id());
    assert_eq!(times(&server.get(&path).await, 200), runs);
    let source = server.get(&format!("{path}/source")).await;
    assert_eq!(source.data(200)["kind"], "schedule");
    assert_eq!(source.data(200)["state"], "waiting");

    let rotated = server.post(&format!("{path}/rotate-secret"), &json!({})).await;
    assert_eq!((rotated.status, rotated.code()), (409, "no_webhook_secret"));

    // Tried, it shows what the next tick would do.
    let extraction = json!({"trigger_config": {"query_extraction":
        {"mode": "field", "field": "chatInput"}}});
    server.patch(&path, &extraction).await.data(200);
    let tried = server.post(&format!("{path}/test"), &json!({})).await;
    assert_eq!(tried.data(200)["would_execute"], true);
    let steps = tried.data(200)["steps"].as_array().unwrap();
    let step = |name: &str| steps.iter().find(|step| step["step"] == name).unwrap();
    let text = step("extraction")["text"].as_str().unwrap();
    assert_eq!(text, format!("Report of {}", runs[0].format("%Y-%m-%d")));
    assert_eq!(step("acknowledgement")["status"], "skipped");
    let bytes = server.post(&format!("{path}/test"), &json!({"body": "{}"})).await;
    assert_eq!((bytes.status, bytes.code()), (400, "invalid_input"));

    server.post(&format!("{path}/disable"), &json!({})).await.data(200);
    assert!(times(&server.get(&path).await, 200).is_empty());
    let source = server.get(&format!("{path}/source")).await;
    assert_eq!(source.data(200)["state"], "disabled");
    server.post(&format!("{path}/enable"), &json!({})).await.data(200);
    let source = server.get(&format!("{path}/source")).await;
    assert_eq!(source.data(200)["state"], "waiting");
    let seconds = json!({"trigger_config": {"schedule": {"cron": null, "interval_seconds": 90}}});
    let patched = server.patch(&path, &seconds).await;
    let runs = times(&patched, 200);
    assert_eq!((runs[1] - runs[0]).num_seconds(), 90);
    server.delete(&path).await.data(200);
    assert_eq!(server.get(&format!("{path}/source")).await.code(), "trigger_not_found");
}

#[tokio::test]
async fn each_type_is_described_and_its_mistakes_are_named() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let types = server.get("/api/triggers/types").await;
    let types = types.data(200).as_array().unwrap();
    let names: Vec<&Value> = types.iter().map(|kind| &kind["type"]).collect();
    assert_eq!(names, ["webhook", "schedule", "db_event", "email"]);
    for kind in types {
        let examples = kind["examples"].as_array().unwrap();
        assert!(kind["config_schema"]["type"] == "object" && !examples.is_empty(), "{kind}");
    }
    let wrong = json!({"cron": "61 * * * *", "time_zone": "Mars", "jitter_seconds": -1});
    let refused = server.post("/api/triggers", &schedule(&agent, &wrong)).await;
    assert_eq!((refused.status, refused.code()), (400, "invalid_input"));
    for path in ["cron", "time_zone", "jitter_seconds"] {
        assert!(refused.text.contains(&format!("trigger_config.schedule.{path}")), "{path}");
    }
    let past = schedule(&agent, &json!({"at": "2001-01-01T00:00:00Z"}));
    assert_eq!(server.post("/api/triggers", &past).await.status, 400);

    // A webhook waits for requests; what it is cannot be changed.
    let webhook = server.post("/api/triggers", &crate::server::new_trigger(&agent)).await;
    let path = format!("/api/triggers/{}", webhook.id());
    let source = server.get(&format!("{path}/source")).await;
    assert_eq!(source.data(200)["state"], "on_request");
    let other = json!({"trigger_config": {"schedule": {"interval_seconds": 60}}});
    assert_eq!(server.patch(&path, &other).await.status, 400);
}
