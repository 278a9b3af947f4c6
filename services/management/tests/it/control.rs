//! Cancelling, approving, denying, suspending: over HTTP.

use recado_http::auth::Role;
use recado_types::{ExecutionId, ToolCallId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::executions::{EXECUTION, SESSION, insert_execution};
use crate::server::Server;

const CALL: &str = "01930000-0000-7000-8000-00000000b009";

/// An execution that waits with one call, parked.
async fn waiting(server: &Server) {
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_execution(server, &trigger, &agent).await;
    let ours = server.ours;
    server
        .execute(&format!(
            "UPDATE executions SET status = 'waiting', finished_at = NULL, agent_response = NULL;
             INSERT INTO tool_calls (id, tenant_id, execution_id, iteration, call_index,
                                     provider_call_id, tool_name, input, status,
                                     approval_expires_at, created_at)
             VALUES ('{CALL}', '{ours}', '{EXECUTION}', 2, 0, 'call_9', 'pay', '{{\"amount\": 7}}',
                     'waiting_for_approval', '2100-01-01', now());
             INSERT INTO lanes (kind, session_id, tenant_id, queued, next_run_at)
             VALUES ('execution', '{SESSION}', '{ours}', 1, '2100-01-01')"
        ))
        .await;
}

async fn is_woken(server: &Server) -> bool {
    let query = "SELECT count(*) FROM lanes WHERE next_run_at <= now()";
    recado_testkit::sql::count(server.database.url(), query).await.unwrap() == 1
}

fn of_call(word: &str) -> String {
    format!("/api/executions/{EXECUTION}/tool-calls/{CALL}/{word}")
}

async fn put(server: &Server, path: &str, body: &Value) -> crate::server::Answer {
    server.call_as((server.ours, Role::Editor), "PUT", path, Some(body)).await
}

#[tokio::test]
async fn an_approval_is_recorded_with_who_gave_it_and_wakes_the_execution() {
    let server = Server::start().await;
    waiting(&server).await;
    let list = server.get("/api/tool-calls?status=waiting_for_approval").await;
    let found = &list.data(200)[0];
    assert_eq!((&found["id"], &found["tool_name"]), (&json!(CALL), &json!("pay")));
    assert_eq!(found["tool_input"], json!({"amount": 7}));

    let approved = put(&server, &of_call("approve"), &json!({"memo": "fine"})).await;
    let expected = json!({
        "id": CALL, "execution_id": EXECUTION, "status": "approved", "memo": "fine",
    });
    assert_eq!(approved.data(200), &expected);
    assert!(is_woken(&server).await);
    let again = server.post(&of_call("approve"), &json!({})).await;
    assert_eq!(again.data(200), &expected, "the first memo stays");
    let denied = server.post(&of_call("deny"), &json!({"memo": "no"})).await;
    assert_eq!((denied.status, denied.code()), (409, "tool_call_decided"));
    assert_eq!(denied.body["details"], json!({"status": "approved", "memo": "fine"}));

    let shown = server.get(&format!("/api/executions/{EXECUTION}")).await;
    let calls = shown.body["tool_calls"].as_array().unwrap();
    let call = calls.iter().find(|call| call["id"] == CALL).unwrap();
    let decided = ["status", "decided_by", "memo", "success"].map(|field| call[field].clone());
    assert_eq!(decided, [json!("approved"), json!("ana"), json!("fine"), json!(null)]);
    assert_eq!(server.get("/api/tool-calls").await.data(200), &json!([]));
}

#[tokio::test]
async fn what_cannot_be_decided_says_why() {
    let server = Server::start().await;
    waiting(&server).await;
    let made = format!("/api/executions/{EXECUTION}/tool-calls/{}", crate::executions::TOOL_CALL);
    let refused = async |path: &str, body: Value| {
        let answer = server.post(path, &body).await;
        (answer.status, answer.code().to_owned())
    };
    let not_waiting = (409, "tool_call_not_waiting".to_owned());
    assert_eq!(refused(&format!("{made}/approve"), json!({})).await, not_waiting);
    let unknown = of_call("deny").replace(CALL, EXECUTION);
    assert_eq!(refused(&unknown, json!({})).await, (404, "tool_call_not_found".to_owned()));
    let unknown = of_call("deny").replace(EXECUTION, CALL);
    assert_eq!(refused(&unknown, json!({})).await, (404, "execution_not_found".to_owned()));
    for bad in [json!({"memo": "x".repeat(4_001)}), json!({"note": "x"}), json!([])] {
        assert_eq!(refused(&of_call("deny"), bad).await, (400, "invalid_input".to_owned()));
    }
    server.execute("UPDATE tool_calls SET approval_expires_at = now() - interval '1 s'").await;
    let expired = (409, "approval_expired".to_owned());
    assert_eq!(refused(&of_call("approve"), json!({})).await, expired);
    assert!(!is_woken(&server).await);
}

#[tokio::test]
async fn calls_that_wait_are_listed_in_pages() {
    let server = Server::start().await;
    waiting(&server).await;
    server
        .execute(
            "INSERT INTO tool_calls (id, tenant_id, execution_id, iteration, call_index,
                                     provider_call_id, tool_name, input, status, created_at)
             SELECT gen_random_uuid(), tenant_id, execution_id, 2, place, 'call', tool_name,
                    json_build_object('text', repeat('x', 20000)), status, created_at
               FROM tool_calls, generate_series(1, 4) place
              WHERE status = 'waiting_for_approval'",
        )
        .await;
    let path = "/api/tool-calls?limit=3";
    let first = server.get(path).await;
    assert_eq!(first.data(200).as_array().unwrap().len(), 3);
    let cursor = first.body["pagination"]["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("{path}&cursor={cursor}")).await;
    let rest = rest.data(200).as_array().unwrap();
    assert_eq!(rest.len(), 2);
    let too_large = rest.iter().find(|call| call["id"] != CALL).unwrap();
    assert_eq!(too_large["tool_input"], json!(null));
    assert_eq!(server.get("/api/tool-calls?status=success").await.paths(), ["status"]);
}

#[tokio::test]
async fn a_cancellation_is_accepted_as_long_as_there_is_something_to_cancel() {
    let server = Server::start().await;
    waiting(&server).await;
    let path = format!("/api/executions/{EXECUTION}/cancel");
    for _ in 0..2 {
        let accepted = server.post(&path, &json!({})).await;
        assert_eq!(accepted.data(202), &json!({"id": EXECUTION, "status": "waiting"}));
    }
    assert!(is_woken(&server).await);
    let shown = server.get(&format!("/api/executions/{EXECUTION}")).await;
    assert!(shown.body["execution"]["cancel_requested_at"].is_string());
    server.execute("UPDATE executions SET status = 'cancelled', finished_at = now()").await;
    let accepted = server.post(&path, &json!({})).await;
    assert_eq!(accepted.data(202), &json!({"id": EXECUTION, "status": "cancelled"}));
    server.execute("UPDATE executions SET status = 'success'").await;
    let refused = server.post(&path, &json!({})).await;
    assert_eq!((refused.status, refused.code()), (409, "execution_ended"));
    assert_eq!(refused.body["details"], json!({"status": "success"}));
}

#[tokio::test]
async fn a_session_is_suspended_resumed_and_handed_off() {
    let server = Server::start().await;
    waiting(&server).await;
    let path = format!("/api/sessions/{SESSION}");
    let shown = server.get(&path).await;
    let shown = shown.data(200);
    assert_eq!((&shown["status"], &shown["status_reason"]), (&json!("active"), &json!(null)));
    let counts = ["message_count", "execution_count", "unfinished_execution_count"];
    assert_eq!(counts.map(|count| shown[count].as_i64()), [Some(2), Some(1), Some(1)]);

    let change = async |word: &str, body: Value| {
        let changed = server.post(&format!("{path}/{word}"), &body).await;
        let data = changed.data(200);
        (data["status"].clone(), data["status_reason"].clone())
    };
    let suspended = (json!("suspended"), json!("holidays"));
    assert_eq!(change("suspend", json!({"reason": "holidays"})).await, suspended);
    assert_eq!(change("suspend", json!({"reason": "again"})).await, suspended);
    let execution = server.get(&format!("/api/executions/{EXECUTION}")).await;
    assert_eq!(execution.body["session"]["status"], "suspended");
    assert_eq!(execution.body["session"]["status_reason"], "holidays");
    assert_eq!(change("handoff", json!({})).await, (json!("handed_off"), json!(null)));
    assert_eq!(change("resume", json!({})).await, (json!("active"), json!(null)));
    assert!(is_woken(&server).await);
    let refused = server.post(&format!("{path}/suspend"), &json!({"reason": ""})).await;
    assert_eq!(refused.paths(), ["reason"]);
}

#[tokio::test]
async fn an_objective_is_an_execution_in_other_words() {
    let server = Server::start().await;
    waiting(&server).await;
    let execution = ExecutionId(EXECUTION.parse::<Uuid>().unwrap()).prefixed().to_string();
    let call = ToolCallId(CALL.parse::<Uuid>().unwrap()).prefixed().to_string();
    assert!(execution.starts_with("obj_") && call.starts_with("toolcall_"), "{execution} {call}");
    let path = format!("/v1/objectives/{execution}");

    let deny = format!("{path}/tool_calls/{call}/deny");
    let denied = put(&server, &deny, &json!({"memo": "no"})).await;
    let expected = json!({"id": call, "status": "TOOL_CALL_STATUS_DENIED", "memo": "no"});
    assert_eq!((denied.status, &denied.body), (200, &expected));
    // Our own ids are understood, too.
    let again = format!("/v1/objectives/{EXECUTION}/tool_calls/{CALL}/deny");
    assert_eq!(put(&server, &again, &json!({})).await.body, expected);
    let refused = put(&server, &format!("{path}/tool_calls/{call}/approve"), &json!({})).await;
    assert_eq!((refused.status, refused.code()), (409, "tool_call_decided"));
    assert_eq!(refused.body["code"], 10);

    let cancelled = server.post(&format!("{path}/cancel"), &json!({})).await;
    let expected = json!({"id": execution, "state": "STATE_RUNNING"});
    assert_eq!((cancelled.status, &cancelled.body), (200, &expected));
    let nowhere = server.post("/v1/objectives/obj_x/cancel", &json!({})).await;
    assert_eq!((nowhere.status, nowhere.code()), (404, "execution_not_found"));
    assert_eq!(nowhere.body["code"], 5);
}
