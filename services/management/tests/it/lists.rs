//! Lists: whole, in order, stable while somebody writes, and bounded.

use serde_json::{Value, json};

use crate::server::{Answer, Server, new_trigger};

fn next(page: &Answer) -> Option<String> {
    page.body["pagination"]["next_cursor"].as_str().map(str::to_owned)
}

fn ids(page: &Answer) -> Vec<String> {
    let items = page.data(200).as_array().unwrap().iter();
    items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// Executions of a trigger with these places in its list.
async fn insert_executions(
    server: &Server,
    trigger: &str,
    agent: &str,
    seqs: std::ops::Range<i64>,
) {
    let (ours, from, to) = (server.ours, seqs.start, seqs.end - 1);
    server
        .execute(&format!(
            "INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq,
                                     message_ids, separator, status, created_at)
             SELECT gen_random_uuid(), '{ours}', '{trigger}', '{agent}', gen_random_uuid(), seq,
                    ARRAY[gen_random_uuid()], E'\\n',
                    CASE WHEN seq % 3 = 0 THEN 'failed' ELSE 'success' END, now()
               FROM generate_series({from}, {to}) seq"
        ))
        .await;
}

#[tokio::test]
async fn every_execution_is_on_one_page_however_much_is_written_meanwhile() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_executions(&server, &trigger, &agent, 1..26).await;
    let path = format!("/api/triggers/{trigger}/executions?limit=10");
    let first = server.get(&path).await;
    assert_eq!(first.body["pagination"]["limit"], 10);
    // Newer ones go to the front, which has been read.
    insert_executions(&server, &trigger, &agent, 100..130).await;

    let mut seen = ids(&first);
    let mut cursor = next(&first);
    while let Some(after) = cursor {
        let page = server.get(&format!("{path}&cursor={after}")).await;
        seen.extend(ids(&page));
        cursor = next(&page);
    }
    assert_eq!(seen.len(), 25);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25, "something was shown twice");
}

#[tokio::test]
async fn a_status_selects_and_belongs_to_the_cursor() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_executions(&server, &trigger, &agent, 1..10).await;
    let path = format!("/api/triggers/{trigger}/executions");
    let failed = server.get(&format!("{path}?status=failed&limit=2")).await;
    let statuses = failed.data(200).as_array().unwrap().iter().map(|e| e["status"].clone());
    assert_eq!(statuses.collect::<Vec<Value>>(), [json!("failed"), json!("failed")]);
    let cursor = next(&failed).unwrap();
    let rest = server.get(&format!("{path}?status=failed&cursor={cursor}")).await;
    assert_eq!((ids(&rest).len(), next(&rest)), (1, None));

    let elsewhere = server.get(&format!("{path}?status=success&cursor={cursor}")).await;
    assert_eq!(elsewhere.paths(), ["cursor"]);
    let stats = server.get("/api/triggers/stats").await;
    assert_eq!(stats.data(200)["executions"]["by_status"]["failed"], 3);
    assert_eq!(stats.data(200)["executions"]["by_status"]["success"], 6);
}

#[tokio::test]
async fn cursors_that_were_tampered_with_are_refused() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_executions(&server, &trigger, &agent, 1..4).await;
    let path = format!("/api/triggers/{trigger}/executions");
    let cursor = next(&server.get(&format!("{path}?limit=1")).await).unwrap();
    for place in 0..cursor.len() {
        let changed = if cursor.as_bytes()[place] == b'A' { "B" } else { "A" };
        let mut forged = cursor.clone();
        forged.replace_range(place..=place, changed);
        let answer = server.get(&format!("{path}?cursor={forged}")).await;
        assert_eq!(answer.paths(), ["cursor"], "{forged}");
    }
    for forged in ["", "0", "null", "%00", &"A".repeat(5_000)] {
        assert_eq!(server.get(&format!("{path}?cursor={forged}")).await.paths(), ["cursor"]);
    }
}

#[tokio::test]
async fn parameters_are_read_strictly() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    let path = format!("/api/triggers/{trigger}/executions");
    for (query, paths) in [
        ("limit=0", vec!["limit"]),
        ("limit=101", vec!["limit"]),
        ("limit=ten&status=odd&cursor=x&page=2", vec!["status", "cursor", "limit", "page"]),
        ("limit=1&limit=2", vec!["limit"]),
    ] {
        assert_eq!(server.get(&format!("{path}?{query}")).await.paths(), paths, "{query}");
    }
}

#[tokio::test]
async fn configuration_is_listed_in_pages_too() {
    let server = Server::start().await;
    for n in 0..3 {
        let secret = json!({"name": format!("S{n}"), "value": "v"});
        server.post("/api/secrets", &secret).await.data(201);
        server.agent().await;
        server.post("/api/api-keys", &json!({"name": format!("k{n}")})).await.data(201);
        server.post("/api/apps", &json!({"name": format!("a{n}")})).await.data(201);
        let member = json!({"name": format!("m{n}"), "external_id": format!("e{n}")});
        server.post("/api/members", &member).await.data(201);
        let provider = json!({
            "name": format!("p{n}"), "kind": "openai_compatible",
            "base_url": "https://api.example.com",
        });
        server.post("/api/providers", &provider).await.data(201);
        let config = json!({"url": "https://api.example.com"});
        let tool = json!({"name": format!("t{n}"), "kind": "http", "config": config});
        server.post("/api/tools", &tool).await.data(201);
        let endpoint = json!({"name": format!("e{n}"), "url": "https://api.example.com"});
        server.post("/api/event-endpoints", &endpoint).await.data(201);
    }
    for list in [
        "secrets",
        "agents",
        "api-keys",
        "providers",
        "members",
        "apps",
        "tools",
        "event-endpoints",
    ] {
        let first = server.get(&format!("/api/{list}?limit=2")).await;
        assert_eq!(first.data(200).as_array().unwrap().len(), 2, "{list}");
        let cursor = next(&first).unwrap();
        let rest = server.get(&format!("/api/{list}?limit=2&cursor={cursor}")).await;
        assert_eq!(rest.data(200).as_array().unwrap().len(), 1, "{list}");
        assert_eq!(next(&rest), None, "{list}");
    }
}

#[tokio::test]
async fn triggers_are_chosen_by_agent_state_and_name() {
    let server = Server::start().await;
    let [sales, support] = [server.agent().await, server.agent().await];
    let mut ids = Vec::new();
    for (n, agent) in [&sales, &support, &sales, &support, &sales].into_iter().enumerate() {
        let mut trigger = new_trigger(agent);
        trigger["name"] = json!(format!("t{}", n % 2));
        trigger["enabled"] = json!(n != 2);
        if n == 3 {
            // Its id derives from this, and is in no order with the others.
            trigger["external_id"] = json!("push");
        }
        ids.push(server.post("/api/triggers", &trigger).await.id());
    }
    let newest_first = |numbers: &[usize]| -> Vec<String> {
        numbers.iter().rev().map(|n| ids[*n].clone()).collect()
    };
    for (query, expected) in [
        (String::new(), vec![0, 1, 2, 3, 4]),
        (format!("agent_id={sales}"), vec![0, 2, 4]),
        (format!("agent_id={support}&name=t1"), vec![1, 3]),
        (format!("agent_id={sales}&enabled=false"), vec![2]),
        ("enabled=false".to_owned(), vec![2]),
        ("enabled=true".to_owned(), vec![0, 1, 3, 4]),
        ("name=t0".to_owned(), vec![0, 2, 4]),
        ("name=t0&enabled=true".to_owned(), vec![0, 4]),
        ("name=t".to_owned(), vec![]),
    ] {
        // However small the pages are, the list is the same.
        for limit in [1, 100] {
            let mut found = Vec::new();
            let mut cursor = String::new();
            loop {
                let page = format!("/api/triggers?limit={limit}&{query}{cursor}");
                let page = server.get(&page).await;
                let items = page.data(200).as_array().unwrap();
                found.extend(items.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
                let Some(next) = page.body["pagination"]["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(found, newest_first(&expected), "{query} by {limit}");
        }
    }
    let first = server.get("/api/triggers?limit=1&enabled=true").await;
    let cursor = first.body["pagination"]["next_cursor"].as_str().unwrap();
    let elsewhere = format!("/api/triggers?limit=1&enabled=false&cursor={cursor}");
    assert_eq!(server.get(&elsewhere).await.paths(), ["cursor"]);
    for query in ["enabled=1", "agent_id=sales", "name=%00", "trigger_type=webhook"] {
        assert_eq!(server.get(&format!("/api/triggers?{query}")).await.paths().len(), 1, "{query}");
    }
}
