//! Looking for executions: filters, pages, and ids that acknowledgements told.

use recado_types::{ExecutionId, MessageId};
use serde_json::{Value, json};

use crate::executions::{EXECUTION, SESSION, insert_execution};
use crate::server::Server;

/// Execution `n` of a hundred, an hour after each other; every tenth failed, the newest five run.
/// Two triggers take turns, and ten sessions.
async fn a_hundred(server: &Server, triggers: [&str; 2], agent: &str) {
    let ours = server.ours;
    let [first, second] = triggers;
    server
        .execute(&format!(
            "INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq,
                                     message_ids, separator, status, created_at, started_at,
                                     finished_at, normalized_query, agent_response)
             SELECT ('01930000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, '{ours}',
                    CASE n % 2 WHEN 0 THEN '{first}'::uuid ELSE '{second}' END, '{agent}',
                    ('01930000-0000-7000-9000-' || lpad((n % 10)::text, 12, '0'))::uuid, n,
                    '{{}}', '',
                    CASE WHEN n >= 95 THEN 'running' WHEN n % 10 = 0 THEN 'failed'
                         ELSE 'success' END,
                    '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 hour', now(),
                    CASE WHEN n < 95 THEN now() END, 'Where is order ' || n || '?',
                    'It is 50%_on_its_way.'
               FROM generate_series(0, 99) n"
        ))
        .await;
}

/// The places of the executions on all pages of a list.
async fn all_of(server: &Server, path: &str) -> Vec<u64> {
    let number = |item: &Value| {
        let id = item["id"].as_str().unwrap();
        id[24..].parse::<u64>().unwrap()
    };
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("{path}{cursor}")).await;
        found.extend(page.data(200).as_array().unwrap().iter().map(number));
        match page.body["pagination"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn executions_are_found_by_what_is_known_of_them() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let (trigger, other) = (server.trigger(&agent).await, server.trigger(&agent).await);
    a_hundred(&server, [&trigger, &other], &agent).await;
    let newest_first =
        |keep: fn(&u64) -> bool| -> Vec<u64> { (0..100).rev().filter(keep).collect() };

    for (query, expected) in [
        ("", newest_first(|_| true)),
        ("&status=failed", newest_first(|n| n % 10 == 0)),
        ("&status=timeout", vec![]),
        ("&status=running", newest_first(|n| *n >= 95)),
        ("&status=success", newest_first(|n| n % 10 != 0 && *n < 95)),
        ("&session_id=01930000-0000-7000-9000-000000000003", newest_first(|n| n % 10 == 3)),
        ("&text=ORDER%207", newest_first(|n| *n == 7 || n / 10 == 7)),
        ("&text=50%25_on_its", newest_first(|_| true)),
        ("&text=50__on_its", vec![]),
        // Both ends belong to it.
        ("&from=2026-01-01T07:00:00Z&to=2026-01-01T09:00:00Z", vec![9, 8, 7]),
        ("&from=2026-01-01T07:00:00.000001Z&to=2026-01-01T08:59:59Z&text=order", vec![8]),
        ("&session_id=01930000-0000-7000-9000-000000000003&to=2026-01-01T13:30:00Z", vec![13, 3]),
    ] {
        let found = all_of(&server, &format!("/api/executions?limit=7{query}")).await;
        assert_eq!(found, expected, "{query}");
        let of_trigger = format!("/api/triggers/{trigger}/executions?limit=7{query}");
        let expected: Vec<u64> = expected.into_iter().filter(|n| n % 2 == 0).collect();
        assert_eq!(all_of(&server, &of_trigger).await, expected, "{query}");
        let of_trigger = format!("/api/executions?limit=7&trigger_id={trigger}{query}");
        assert_eq!(all_of(&server, &of_trigger).await, expected, "{query}");
    }
    let by_agent = format!("/api/executions?limit=50&agent_id={agent}");
    assert_eq!(all_of(&server, &by_agent).await.len(), 100);
    assert_eq!(
        all_of(&server, "/api/executions?limit=50&agent_id=00000000-0000-0000-0000-000000000000")
            .await,
        [0_u64; 0]
    );

    let too_long = format!("text={}", "x".repeat(201));
    let bad = "status=bad&from=yesterday&to=2026-01-01&text=&agent_id=x&page=1";
    for (query, paths) in [
        (bad, vec!["status", "from", "to", "agent_id", "text", "page"]),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", vec!["to"]),
        (&too_long, vec!["text"]),
    ] {
        assert_eq!(server.get(&format!("/api/executions?{query}")).await.paths(), paths);
    }
}

#[tokio::test]
async fn what_is_rare_is_found_by_going_on() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    let ours = server.ours;
    server
        .execute(&format!(
            "INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq,
                                     message_ids, separator, status, created_at, finished_at)
             SELECT gen_random_uuid(), '{ours}', '{trigger}', '{agent}', gen_random_uuid(), n,
                    '{{}}', '', CASE n WHEN 3 THEN 'cancelled' ELSE 'success' END,
                    '2026-01-01'::timestamptz + n * interval '1 second', now()
               FROM generate_series(1, 5100) n"
        ))
        .await;
    let path = "/api/executions?limit=5&status=cancelled";
    let first = server.get(path).await;
    assert_eq!(first.data(200), &json!([]), "5,000 are looked at");
    let cursor = first.body["pagination"]["next_cursor"].as_str().unwrap();
    let second = server.get(&format!("{path}&cursor={cursor}")).await;
    assert_eq!(second.data(200).as_array().unwrap().len(), 1);
    assert_eq!(second.body["pagination"]["next_cursor"], json!(null));
    let elsewhere = server.get(&format!("/api/executions?limit=5&cursor={cursor}")).await;
    assert_eq!(elsewhere.paths(), ["cursor"]);
}

#[tokio::test]
async fn an_id_that_a_sender_was_told_leads_to_the_execution() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let (trigger, other) = (server.trigger(&agent).await, server.trigger(&agent).await);
    insert_execution(&server, &trigger, &agent).await;
    let told = |message: &str| ExecutionId::of_first(MessageId(message.parse().unwrap()));

    // The second message of the burst was acknowledged with an id of its own.
    let second = told("01930000-0000-7000-8000-00000000c002");
    for path in [
        format!("/api/executions/{second}"),
        format!("/api/executions/{}", second.prefixed()),
        // Of a message that was buffered, its sender is told its own id only.
        "/api/executions/01930000-0000-7000-8000-00000000c002".to_owned(),
        format!("/api/triggers/{trigger}/executions/{second}"),
    ] {
        let shown = server.get(&path).await;
        assert_eq!((shown.status, &shown.body["execution"]["id"]), (200, &json!(EXECUTION)));
    }
    let elsewhere = server.get(&format!("/api/triggers/{other}/executions/{second}")).await;
    assert_eq!((elsewhere.status, elsewhere.code()), (404, "execution_not_found"));

    let waiting = "01930000-0000-7000-8000-00000000c003";
    let ours = server.ours;
    server
        .execute(&format!(
            "INSERT INTO messages (id, tenant_id, trigger_id, session_id, text, context,
                                   accepted_at)
             VALUES ('{waiting}', '{ours}', '{trigger}', '{SESSION}', 'wait', '{{}}',
                     '2026-02-18T14:31:00Z')"
        ))
        .await;
    let by_message = server.get(&format!("/api/executions/{waiting}")).await;
    assert_eq!(by_message.body["details"]["status"], "buffered");
    let path = format!("/api/executions/{}", told(waiting));
    let buffered = server.get(&path).await;
    assert_eq!((buffered.status, buffered.code()), (404, "execution_not_found"));
    let details = json!({
        "status": "buffered", "message_id": waiting, "session_id": SESSION,
        "accepted_at": "2026-02-18T14:31:00Z",
    });
    assert_eq!(buffered.body["details"], details);
    let elsewhere = format!("/api/triggers/{other}/executions/{}", told(waiting));
    assert_eq!(server.get(&elsewhere).await.body.get("details"), None);
    server.execute("UPDATE messages SET requested_at = now() WHERE execution_id IS NULL").await;
    assert_eq!(server.get(&path).await.body["details"]["status"], "requested");

    // It is cancelled by that, too, in either surface's words.
    let refused = server.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!((refused.status, refused.code()), (404, "execution_not_found"));
    assert_eq!(refused.body["details"]["status"], "requested");
    server.execute("UPDATE executions SET status = 'running', finished_at = NULL").await;
    let cancelled = server.post(&format!("/api/executions/{second}/cancel"), &json!({})).await;
    assert_eq!(cancelled.data(202), &json!({"id": EXECUTION, "status": "running"}));
    let objective = format!("/v1/objectives/{}/cancel", second.prefixed());
    assert_eq!(server.post(&objective, &json!({})).await.body["state"], "STATE_RUNNING");
}
