//! Sessions: finding them, what was said in them, and saying something in the agent's place.

use recado_http::auth::Role;
use serde_json::{Value, json};

use crate::executions::{EXECUTION, SESSION, insert_execution};
use crate::server::{Server, trigger_with_callback};

/// A message that waits for the session's window to close.
async fn insert_open(server: &Server, trigger: &str, id: &str, text: &str) {
    let ours = server.ours;
    server
        .execute(&format!(
            "INSERT INTO messages (id, tenant_id, trigger_id, session_id, text, context,
                                   accepted_at, recorded_at)
             VALUES ('{id}', '{ours}', '{trigger}', '{SESSION}', '{text}',
                     '{{\"_waId\": \"56\", \"token\": \"t0ken\"}}',
                     '2026-02-18T14:31:00Z', '2026-02-18T14:31:00Z')"
        ))
        .await;
}

/// All that was said, page by page: who, and what.
async fn transcript(server: &Server, limit: usize) -> Vec<(String, String)> {
    let path = format!("/api/sessions/{SESSION}/transcript?limit={limit}");
    let word = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    let (mut said, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("{path}{cursor}")).await;
        let items = page.data(200).as_array().unwrap();
        assert!(items.len() <= limit && !page.text.contains("t0ken"));
        said.extend(items.iter().map(|item| (word(item, "role"), word(item, "text"))));
        match page.body["pagination"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return said,
        }
    }
}

#[tokio::test]
async fn a_person_says_something_in_the_agents_place() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = trigger_with_callback(&server, &agent).await;
    insert_execution(&server, &trigger, &agent).await;
    server.post(&format!("/api/sessions/{SESSION}/handoff"), &json!({})).await.data(200);
    insert_open(&server, &trigger, "01930000-0000-7000-8000-00000000c003", "Anybody?").await;

    let path = format!("/api/sessions/{SESSION}/messages");
    let editor = (server.ours, Role::Editor);
    let first = server.call_as(editor, "POST", &path, Some(&json!({"text": "I am here."}))).await;
    let first = first.data(202);
    assert_eq!((&first["author"], &first["delivery_status"]), (&json!("ana"), &json!("pending")));
    server.post(&path, &json!({"text": "One moment."})).await.data(202);

    // It is delivered behind everything else, each after the one before.
    let due = "SELECT count(*) FROM lanes WHERE kind = 'delivery' AND next_run_at <= now()
                AND queued = 2";
    assert_eq!(recado_testkit::sql::count(server.database.url(), due).await.unwrap(), 1);
    let delivery = format!("/api/deliveries/{}", first["delivery_id"].as_str().unwrap());
    assert_eq!(server.get(&delivery).await.data(200)["status"], "pending");
    let order = "SELECT count(*) FROM deliveries a JOIN deliveries b ON a.seq < b.seq
                  WHERE a.status = 'delivered' AND b.status = 'pending'";
    assert_eq!(recado_testkit::sql::count(server.database.url(), order).await.unwrap(), 2);

    let execution = first["execution_id"].as_str().unwrap();
    let shown = server.get(&format!("/api/executions/{execution}")).await.body;
    let shown = &shown["execution"];
    let told = ["status", "author", "response_channel", "agent_response"];
    let expected = ["success", "ana", "manual", "I am here."];
    assert_eq!(told.map(|field| shown[field].as_str().unwrap()), expected);
    assert_eq!(shown["webhook_context"], json!({"_waId": "56", "token": "[redacted]"}));

    let said = [
        ("person", "One moment."),
        ("person", "I am here."),
        ("user", "Anybody?"),
        ("assistant", "Found 5 active contracts..."),
        ("user", "contracts"),
        ("user", "List active"),
    ];
    let said = said.map(|(role, text)| (role.to_owned(), text.to_owned()));
    for limit in [1, 2, 3, 6, 50] {
        assert_eq!(transcript(&server, limit).await, said, "{limit} at a time");
    }
    let entries = server.get(&format!("/api/sessions/{SESSION}/transcript")).await;
    let entries = entries.data(200);
    assert_eq!(entries[3]["delivery_status"], "delivered");
    assert_eq!(
        (&entries[3]["execution_id"], &entries[2]["execution_id"]),
        (&json!(EXECUTION), &json!(null))
    );

    for bad in [json!({}), json!({"text": ""}), json!({"text": "x".repeat(20_001)})] {
        assert_eq!(server.post(&path, &bad).await.paths(), ["text"]);
    }
    let nowhere = format!("/api/sessions/{EXECUTION}/messages");
    let answer = server.post(&nowhere, &json!({"text": "Hello?"})).await;
    assert_eq!((answer.status, answer.code()), (404, "session_not_found"));
}

#[tokio::test]
async fn without_a_callback_nobody_hears_it() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_execution(&server, &trigger, &agent).await;
    let path = format!("/api/sessions/{SESSION}/messages");
    let answer = server.post(&path, &json!({"text": "Hello?"})).await;
    assert_eq!((answer.status, answer.code()), (409, "no_callback"));
    server.delete(&format!("/api/triggers/{trigger}")).await.data(200);
    let answer = server.post(&path, &json!({"text": "Hello?"})).await;
    assert_eq!((answer.status, answer.code()), (409, "trigger_deleted"));
    assert_eq!(transcript(&server, 50).await.len(), 3);
}

#[tokio::test]
async fn sessions_and_open_windows_are_found() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = trigger_with_callback(&server, &agent).await;
    insert_execution(&server, &trigger, &agent).await;
    let other = server.trigger(&agent).await;
    let (ours, sub) = (server.ours, "01930000-0000-7000-8000-00000000a009");
    server
        .execute(&format!(
            "INSERT INTO sessions (id, tenant_id, trigger_id, agent_id, created_at)
             SELECT gen_random_uuid(), '{ours}', '{other}', '{agent}',
                    '2026-02-19'::timestamptz + n * interval '1 minute'
               FROM generate_series(1, 30) n;
             INSERT INTO sessions (id, tenant_id, trigger_id, agent_id, created_at)
             VALUES ('{sub}', '{ours}', '{trigger}', '{agent}', now());
             INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id,
                                     parent_execution_id, seq, message_ids, separator, status,
                                     created_at)
             VALUES (gen_random_uuid(), '{ours}', '{trigger}', '{agent}', '{sub}', '{EXECUTION}',
                     1, '{{}}', '', 'queued', now())"
        ))
        .await;
    let n_found = async |query: &str| {
        let (mut n_found, mut cursor) = (0, String::new());
        loop {
            let page = server.get(&format!("/api/sessions?limit=20{query}{cursor}")).await;
            n_found += page.data(200).as_array().unwrap().len();
            let Some(next) = page.body["pagination"]["next_cursor"].as_str() else {
                return n_found;
            };
            cursor = format!("&cursor={next}");
        }
    };
    assert_eq!(n_found("").await, 31, "those of sub-agents are not listed");
    assert_eq!(n_found(&format!("&trigger_id={other}&agent_id={agent}")).await, 30);
    assert_eq!(n_found("&status=suspended").await, 0);
    assert_eq!(n_found("&from=2026-02-19T00:02:00Z&to=2026-02-19T00:05:00Z").await, 4);
    let one = server.get(&format!("/api/sessions?trigger_id={trigger}")).await;
    let one = &one.data(200)[0];
    let told = ["session_id", "agent_name", "status", "created_at", "updated_at"];
    let expected = [SESSION, "Echo", "active", "2026-02-18T14:00:00Z", "2026-02-18T14:30:12.340Z"];
    assert_eq!(told.map(|field| one[field].as_str().unwrap()), expected);
    let to_a_sub_agent = format!("/api/sessions/{sub}/messages");
    let answer = server.post(&to_a_sub_agent, &json!({"text": "Hello?"})).await;
    assert_eq!(answer.code(), "no_callback");

    assert_eq!(server.get("/api/windows").await.data(200), &json!([]));
    insert_open(&server, &trigger, "01930000-0000-7000-8000-00000000c003", "a").await;
    let window = |expected_at: &str, n: u32, status: &str| {
        json!([{
            "session_id": SESSION, "trigger_id": trigger, "agent_id": agent, "status": status,
            "trigger_name": "ERP Chat Integration", "message_count": n,
            "first_accepted_at": "2026-02-18T14:31:00Z",
            "last_accepted_at": "2026-02-18T14:31:00Z", "expected_at": expected_at,
        }])
    };
    let open = server.get("/api/windows").await;
    assert_eq!(open.data(200), &window("2026-02-18T14:31:03Z", 1, "buffered"));
    insert_open(&server, &trigger, "01930000-0000-7000-8000-00000000c004", "b").await;
    server.execute("UPDATE messages SET requested_at = now() WHERE execution_id IS NULL").await;
    let open = server.get("/api/windows").await;
    assert_eq!(open.data(200), &window("2026-02-18T14:31:00Z", 2, "requested"), "it is full");
}
