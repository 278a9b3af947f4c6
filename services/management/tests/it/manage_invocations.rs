//! What came of requests, in the words of seed 001.

use std::fmt::Write as _;

use recado_types::{ExecutionId, MessageId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::server::Server;

const N_EXECUTIONS: u64 = 14;

fn message(n: u64) -> MessageId {
    MessageId(Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 + u128::from(n)))
}

fn invocation(n: u64) -> ExecutionId {
    ExecutionId::of_first(message(n))
}

/// Execution `n` of `N_EXECUTIONS` was made in minute `n`; its status follows from `n`.
fn status(n: u64) -> (&'static str, &'static str) {
    match n {
        1 => ("queued", "pending"),
        2 => ("running", "pending"),
        3 => ("waiting", "pending"),
        4 => ("failed", "failed"),
        5 => ("timeout", "failed"),
        6 => ("cancelled", "failed"),
        _ => ("success", "success"),
    }
}

/// Executions of one message each; two messages more joined the last one, and one waits.
async fn fill(server: &Server, agent: &str, trigger: &str) {
    let ours = server.ours;
    let session = Uuid::from_u128(7);
    let mut statements = String::new();
    for n in 1..=N_EXECUTIONS + 3 {
        let (message, at) = (message(n), format!("2026-02-18T14:{n:02}:00Z"));
        let execution = match n {
            n if n <= N_EXECUTIONS => format!("'{}'", invocation(n)),
            n if n <= N_EXECUTIONS + 2 => format!("'{}'", invocation(N_EXECUTIONS)),
            _ => "NULL".to_owned(),
        };
        let payload = json!({"request": {"n": n, "token": "t0ken-canary",
                                         "url": "https://u:p4ss-canary@example.com/?k=q-canary"},
                             "transformed": {"n": n}});
        let payload = if n == 2 { json!({"request": {"n": 2}}) } else { payload };
        let payload = if n == 3 { "NULL".to_owned() } else { format!("'{payload}'") };
        write!(
            statements,
            "INSERT INTO messages (id, tenant_id, trigger_id, session_id, execution_id, text,
                                   context, payload, accepted_at)
             VALUES ('{message}', '{ours}', '{trigger}', '{session}', {execution}, 'x', '{{}}',
                     {payload}, '{at}');"
        )
        .unwrap();
        if n <= N_EXECUTIONS {
            let (status, _) = status(n);
            let finished = if matches!(n, 1..=3) { "NULL".to_owned() } else { format!("'{at}'") };
            write!(
                statements,
                "INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq,
                                         message_ids, separator, status, created_at, finished_at,
                                         error_message)
                 VALUES ('{}', '{ours}', '{trigger}', '{agent}', '{session}', {n},
                         ARRAY['{message}']::uuid[], '', '{status}', '{at}', {finished},
                         CASE WHEN '{status}' = 'failed' THEN 'no answer' END);",
                invocation(n)
            )
            .unwrap();
        }
    }
    // And what a person said, which nobody has asked for.
    write!(
        statements,
        "INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq, message_ids,
                                 separator, status, created_at, finished_at, author)
         VALUES (gen_random_uuid(), '{ours}', '{trigger}', '{agent}', '{session}', 99, '{{}}', '',
                 'success', '2026-02-18T15:00:00Z', '2026-02-18T15:00:00Z', 'ana');"
    )
    .unwrap();
    server.execute(&statements).await;
}

#[tokio::test]
async fn what_came_of_requests_is_listed_filtered_and_shown_by_what_their_senders_were_told() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let home = server.home_of(&agent).await;
    let triggers = format!("/manage/tenants/{{tenantId}}/projects/{home}/agents/{agent}/triggers");
    let push = server.post(&triggers, &json!({"id": "push", "name": "Push"})).await;
    assert_eq!(push.status, 201, "{push:?}");
    let native = server.get("/api/triggers").await;
    let trigger = native.data(200)[0]["id"].as_str().unwrap();
    fill(&server, &agent, trigger).await;
    let path = format!("{triggers}/push/invocations");
    let ids = |answer: &Value| -> Vec<String> {
        let data = answer["data"].as_array().unwrap();
        data.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    let newest_first = |numbers: &[u64]| -> Vec<String> {
        numbers.iter().rev().map(|n| invocation(*n).to_string()).collect()
    };

    let first = server.get(&path).await;
    assert_eq!(first.body["pagination"], json!({"page": 1, "limit": 10, "total": 14, "pages": 2}));
    assert_eq!(ids(&first.body), newest_first(&(5..=14).collect::<Vec<_>>()));
    let second = server.get(&format!("{path}?page=2")).await;
    assert_eq!(ids(&second.body), newest_first(&[1, 2, 3, 4]));
    for listed in first.body["data"].as_array().into_iter().chain(second.body["data"].as_array()) {
        for shown in listed {
            assert_eq!(shown["triggerId"], "push");
            assert_eq!(shown["conversationId"], Uuid::from_u128(7).to_string());
        }
    }
    let everything = [first.text.as_str(), second.text.as_str()].concat();
    assert!(!everything.contains("canary"), "{everything}");

    for (query, expected) in [
        ("status=pending", vec![1, 2, 3]),
        ("status=failed", vec![4, 5, 6]),
        ("status=success&limit=100", (7..=14).collect()),
        ("from=2026-02-18T14:12:00Z", vec![12, 13, 14]),
        ("to=2026-02-18T14:02:00Z", vec![1, 2]),
        ("from=2026-02-18T15:05:00%2B01:00&to=2026-02-18T14:07:00Z&status=failed", vec![5, 6]),
        ("from=2027-01-01T00:00:00Z", vec![]),
    ] {
        let found = server.get(&format!("{path}?{query}")).await;
        assert_eq!(ids(&found.body), newest_first(&expected), "{query}");
        assert_eq!(found.body["pagination"]["total"], expected.len(), "{query}");
    }
    let (backwards, space) =
        ("from=2026-02-18T14:00:01Z&to=2026-02-18T14:00:00Z", "from=2026-02-18T15:05:00+01:00");
    for query in ["status=queued", "from=yesterday", "to=2026-02-18", "text=x", backwards, space] {
        let refused = server.get(&format!("{path}?{query}")).await;
        assert_eq!(refused.paths().len(), 1, "{query}");
        let told = |text: &str| assert!(refused.text.contains(text), "{query}: {refused:?}");
        match query {
            _ if query == backwards => told("to: must not be before `from`"),
            _ if query == space => told("(a `+` in it is written %2B)"),
            _ => {}
        }
    }

    for n in 1..=N_EXECUTIONS {
        let shown = server.get(&format!("{path}/{}", invocation(n))).await;
        assert_eq!(shown.body["data"]["status"], status(n).1, "{shown:?}");
    }
    let shown = server.get(&format!("{path}/{}", invocation(4))).await.body;
    let expected = json!({"data": {
        "id": invocation(4), "triggerId": "push", "conversationId": Uuid::from_u128(7),
        "status": "failed", "errorMessage": "no answer", "createdAt": "2026-02-18T14:04:00Z",
        "requestPayload":
            {"n": 4, "token": "[redacted]", "url": "https://example.com/?[redacted]"},
        "transformedPayload": {"n": 4},
    }});
    assert_eq!(shown, expected);
    // Without a transformation, what came is what was looked at; and some keep nothing.
    let plain = server.get(&format!("{path}/{}", invocation(2))).await.body;
    let payloads = (&plain["data"]["requestPayload"], &plain["data"]["transformedPayload"]);
    assert_eq!(payloads, (&json!({"n": 2}), &json!({"n": 2})));
    let gone = server.get(&format!("{path}/{}", invocation(3))).await.body;
    assert_eq!(gone["data"]["requestPayload"], Value::Null);

    // Those that joined another's execution, and the one that waits, by what they were told.
    for (n, status) in [(15, "success"), (16, "success"), (17, "pending")] {
        let shown = server.get(&format!("{path}/{}", invocation(n))).await;
        let data = &shown.body["data"];
        assert_eq!(
            (data["id"].as_str(), data["status"].as_str()),
            (Some(&*invocation(n).to_string()), Some(status)),
            "{shown:?}"
        );
        assert_eq!(data["transformedPayload"], json!({"n": n}));
    }

    // Nowhere else.
    let other = server.post(&triggers, &json!({"id": "pull", "name": "Pull"})).await;
    assert_eq!(other.status, 201);
    let elsewhere = server.get(&format!("{triggers}/pull/invocations/{}", invocation(4))).await;
    assert_eq!((elsewhere.status, elsewhere.code()), (404, "execution_not_found"));
    for nobody in ["nobody", &invocation(99).to_string(), trigger] {
        let answer = server.get(&format!("{path}/{nobody}")).await;
        assert_eq!(answer.code(), "execution_not_found", "{nobody}");
    }
    let unknown = server.get(&format!("{triggers}/nobody/invocations")).await;
    assert_eq!(unknown.code(), "trigger_not_found");
}
