//! Deliveries: how they are listed and shown, and how one is asked for again.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::executions::{DELIVERY, EXECUTION, SESSION, insert_execution};
use crate::server::{Answer, Server, trigger_with_callback};

const NOBODY: &str = "01930000-0000-7000-8000-000000000000";

/// A server with an execution whose answer was delivered in two chunks.
struct Delivered {
    server: Server,
    trigger: String,
}

async fn delivered() -> Delivered {
    let server = Server::start().await;
    let agent = server.agent().await;
    let trigger = trigger_with_callback(&server, &agent).await;
    insert_execution(&server, &trigger, &agent).await;
    Delivered { server, trigger }
}

/// The same, but the second chunk failed and a third was skipped.
async fn failed() -> Delivered {
    let it = delivered().await;
    it.server
        .execute(&format!(
            "UPDATE deliveries SET status = 'failed', chunk_count = 3, error_code = 'http_500',
                    error_message = 'it broke' WHERE id = '{DELIVERY}';
             UPDATE chunks SET status = 'failed', attempt_count = 3, sent_at = NULL,
                    provider_id = NULL WHERE delivery_id = '{DELIVERY}' AND chunk_index = 1;
             INSERT INTO chunks (delivery_id, chunk_index, body, status)
             VALUES ('{DELIVERY}', 2, '(3/3)', 'skipped')"
        ))
        .await;
    it
}

impl Delivered {
    async fn redeliver(&self, body: &Value) -> Answer {
        self.server.post(&format!("/api/deliveries/{DELIVERY}/redeliver"), body).await
    }

    async fn show(&self) -> Value {
        self.server.get(&format!("/api/deliveries/{DELIVERY}")).await.data(200).clone()
    }

    async fn count(&self, query: &str) -> i64 {
        recado_testkit::sql::count(self.server.database.url(), query).await.unwrap()
    }

    /// How many deliveries the session's lane counts, if the lane may be claimed.
    async fn queued(&self) -> i64 {
        self.count(&format!(
            "SELECT coalesce(sum(queued), 0)::bigint FROM lanes
              WHERE kind = 'delivery' AND session_id = '{SESSION}' AND next_run_at <= now()
                AND trigger_id = '{}' AND lease_token IS NULL",
            self.trigger
        ))
        .await
    }
}

fn column<'a>(list: &'a Value, field: &str) -> Vec<&'a Value> {
    list.as_array().unwrap().iter().map(|item| &item[field]).collect()
}

#[tokio::test]
async fn a_delivery_is_shown_with_its_chunks_and_attempts() {
    let it = delivered().await;
    let shown = it.show().await;
    for (field, value) in [
        ("id", json!(DELIVERY)),
        ("execution_id", json!(EXECUTION)),
        ("session_id", json!(SESSION)),
        ("trigger_id", json!(it.trigger)),
        ("status", json!("delivered")),
        ("chunk_count", json!(2)),
        ("truncated", json!(false)),
        ("error_code", json!(null)),
        ("round", json!(1)),
        ("attempt_count", json!(3)),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert_eq!(column(&shown["chunks"], "text"), [&json!("(1/2)"), &json!("(2/2)")]);
    assert_eq!(shown["chunks"][0]["sms"], json!({"encoding": "gsm7", "segments": 1}));
    assert_eq!(shown["chunks"][1]["provider_id"], "SM2");
    assert_eq!(column(&shown["attempts"], "status_code"), [&json!(201), &json!(201), &json!(503)]);
    let oldest = &shown["attempts"][2];
    assert_eq!(oldest["response_body"], "busy");
    assert_eq!((&oldest["round"], &oldest["attempt"]), (&json!(1), &json!(1)));
    assert_eq!((&oldest["chunk_index"], &oldest["duration_ms"]), (&json!(0), &json!(15)));
    for id in [NOBODY, "x"] {
        let unknown = it.server.get(&format!("/api/deliveries/{id}")).await;
        assert_eq!((unknown.status, unknown.code()), (404, "delivery_not_found"));
    }
}

#[tokio::test]
async fn only_the_newest_attempts_and_answers_are_shown() {
    let it = delivered().await;
    it.server
        .execute(&format!(
            "INSERT INTO attempts (id, tenant_id, delivery_id, chunk_index, round, attempt,
                                   started_at, duration_ms, response_body)
             SELECT gen_random_uuid(), '{}', '{DELIVERY}', 0, 2, n, now() + n * interval '1 s', 1,
                    repeat('x', 20000)
               FROM generate_series(1, 600) n",
            it.server.ours
        ))
        .await;
    let shown = it.show().await;
    assert_eq!(shown["attempt_count"], 603);
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 500);
    assert_eq!(attempts[0]["attempt"], 600, "the newest first");
    assert_eq!(attempts[0]["response_body_omitted"], false);
    let last = &attempts[499];
    assert_eq!(
        (&last["response_body"], &last["response_body_omitted"]),
        (&json!(null), &json!(true))
    );
    let path = format!("/api/executions/{EXECUTION}");
    let execution = it.server.get(&path).await.body;
    let of_first = &execution["deliveries"][0]["chunks"][0]["attempts"];
    assert_eq!(of_first.as_array().unwrap().len(), 500);
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_and_by_what_they_belong_to() {
    let it = delivered().await;
    let (ours, trigger) = (it.server.ours, &it.trigger);
    let other = "01930000-0000-7000-8000-0000000000a2";
    // Ten at the same moment, in another session; every second one failed.
    it.server
        .execute(&format!(
            "INSERT INTO executions (id, tenant_id, trigger_id, agent_id, session_id, seq,
                                     message_ids, separator, status, created_at, finished_at)
             SELECT md5(n::text)::uuid, '{ours}', trigger.id, trigger.agent_id, '{other}', 100 + n,
                    '{{}}', ' ', 'success', now(), now()
               FROM triggers trigger, generate_series(1, 10) n WHERE trigger.id = '{trigger}';
             INSERT INTO deliveries (id, tenant_id, execution_id, trigger_id, session_id, seq,
                                     status, created_at, requested_at, finished_at)
             SELECT gen_random_uuid(), '{ours}', md5(n::text)::uuid, '{trigger}', '{other}', 100 + n,
                    CASE WHEN n % 2 = 0 THEN 'failed' ELSE 'delivered' END,
                    '2026-03-01T00:00:00.123456Z', now(), now()
               FROM generate_series(1, 10) n"
        ))
        .await;
    let all = it.server.get("/api/deliveries").await;
    assert_eq!(all.data(200).as_array().unwrap().len(), 11);
    assert_eq!(all.data(200)[10]["id"], DELIVERY, "the oldest");

    let mut seen = Vec::new();
    let mut path = "/api/deliveries?limit=3".to_owned();
    loop {
        let page = it.server.get(&path).await;
        seen.extend(column(page.data(200), "id").into_iter().cloned());
        let Some(cursor) = page.body["pagination"]["next_cursor"].as_str() else { break };
        path = format!("/api/deliveries?limit=3&cursor={cursor}");
    }
    assert_eq!(json!(seen), json!(column(all.data(200), "id")));

    let execution = all.data(200)[0]["execution_id"].as_str().unwrap();
    for (query, expected) in [
        ("status=failed".to_owned(), 5),
        ("status=delivered".to_owned(), 6),
        ("status=pending".to_owned(), 0),
        (format!("trigger_id={trigger}"), 11),
        (format!("trigger_id={NOBODY}"), 0),
        (format!("session_id={SESSION}"), 1),
        (format!("session_id={other}&status=failed"), 5),
        (format!("execution_id={execution}"), 1),
        (format!("execution_id={execution}&session_id={SESSION}"), 0),
    ] {
        let found = it.server.get(&format!("/api/deliveries?{query}")).await;
        assert_eq!(found.data(200).as_array().unwrap().len(), expected, "{query}");
    }
    for (query, paths) in [
        (
            "status=lost&trigger_id=x&session_id=&execution_id=7",
            "status trigger_id session_id execution_id",
        ),
        ("state=failed", "state"),
        ("cursor=x", "cursor"),
    ] {
        let refused = it.server.get(&format!("/api/deliveries?{query}")).await;
        assert_eq!(refused.paths().join(" "), paths);
    }
    let page = it.server.get("/api/deliveries?limit=1&status=failed").await;
    let cursor = page.body["pagination"]["next_cursor"].as_str().unwrap();
    let elsewhere = it.server.get(&format!("/api/deliveries?cursor={cursor}")).await;
    assert_eq!(elsewhere.paths(), ["cursor"]);
}

#[tokio::test]
async fn what_failed_is_sent_again_from_the_first_failed_chunk() {
    let it = failed().await;
    let again = it.redeliver(&json!({})).await;
    let shown = again.data(202);
    assert_eq!((&shown["status"], &shown["round"]), (&json!("pending"), &json!(2)));
    assert_eq!((&shown["error_code"], &shown["finished_at"]), (&json!(null), &json!(null)));
    assert!(shown["requested_at"].as_str() > shown["created_at"].as_str());
    let statuses = column(&shown["chunks"], "status");
    assert_eq!(statuses, [&json!("sent"), &json!("pending"), &json!("pending")]);
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 3, "what was attempted stays");
    assert_eq!(it.queued().await, 1);
    let fresh = format!(
        "SELECT count(*) FROM deliveries d JOIN chunks c ON c.delivery_id = d.id
          WHERE d.id = '{DELIVERY}' AND d.whole_round = 1 AND c.status = 'pending'
            AND c.attempt_count = 0"
    );
    assert_eq!(it.count(&fresh).await, 2, "the chunks keep their idempotency keys");
}

#[tokio::test]
async fn what_arrived_is_sent_again_only_as_a_whole() {
    let it = delivered().await;
    let refused = it.redeliver(&json!({"from": "first_failed"})).await;
    assert_eq!((refused.status, refused.code()), (409, "nothing_to_redeliver"));
    assert_eq!((it.show().await["round"].clone(), it.queued().await), (json!(1), 0));

    let again = it.redeliver(&json!({"from": "start"})).await;
    let shown = again.data(202);
    assert_eq!((&shown["status"], &shown["round"]), (&json!("pending"), &json!(2)));
    assert_eq!((&shown["chunks"], &shown["chunk_count"]), (&json!([]), &json!(null)));
    assert_eq!(it.queued().await, 1);
    let whole = format!("SELECT whole_round::bigint FROM deliveries WHERE id = '{DELIVERY}'");
    assert_eq!(it.count(&whole).await, 2);
}

#[tokio::test]
async fn of_several_who_ask_at_once_one_is_heard() {
    let it = failed().await;
    let body = json!({"from": "start"});
    let answers = join_all((0..8).map(|_| it.redeliver(&body))).await;
    let heard = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(heard, 1);
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        assert_eq!((answer.status, answer.code()), (409, "delivery_in_progress"));
    }
    assert_eq!((it.show().await["round"].clone(), it.queued().await), (json!(2), 1));
}

#[tokio::test]
async fn a_lane_that_is_leased_or_waits_counts_one_more_and_keeps_its_time() {
    let it = failed().await;
    it.server
        .execute(&format!(
            "INSERT INTO lanes (kind, session_id, tenant_id, trigger_id, queued, next_run_at,
                                lease_token)
             VALUES ('delivery', '{SESSION}', '{}', '{}', 1, now() + interval '1 h',
                     gen_random_uuid())",
            it.server.ours, it.trigger
        ))
        .await;
    it.redeliver(&json!({})).await.data(202);
    let kept = format!(
        "SELECT count(*) FROM lanes
          WHERE session_id = '{SESSION}' AND queued = 2 AND lease_token IS NOT NULL
            AND next_run_at > now()"
    );
    assert_eq!(it.count(&kept).await, 1);
}

#[tokio::test]
async fn an_answer_of_a_deleted_trigger_can_be_sent_again() {
    let it = failed().await;
    it.server.delete(&format!("/api/triggers/{}", it.trigger)).await.data(200);
    it.redeliver(&json!({})).await.data(202);
    assert_eq!(it.queued().await, 1);
}

#[tokio::test]
async fn what_has_nowhere_to_go_any_more_stays_as_it_is() {
    let it = delivered().await;
    let without = json!({"trigger_config": {"execution": {"callback": null}}});
    it.server.patch(&format!("/api/triggers/{}", it.trigger), &without).await.data(200);
    let refused = it.redeliver(&json!({"from": "start"})).await;
    assert_eq!((refused.status, refused.code()), (409, "no_callback"));
    let shown = it.show().await;
    assert_eq!((&shown["status"], &shown["round"]), (&json!("delivered"), &json!(1)));
    assert_eq!(column(&shown["chunks"], "status"), [&json!("sent"), &json!("sent")]);
    assert_eq!(it.queued().await, 0);
}

#[tokio::test]
async fn what_cannot_be_understood_is_not_sent_again() {
    let it = failed().await;
    assert_eq!(it.redeliver(&json!({"from": "end"})).await.paths(), ["from"]);
    assert_eq!(it.redeliver(&json!({"chunk": 1})).await.paths(), ["chunk"]);
    for id in [NOBODY, "x"] {
        let path = format!("/api/deliveries/{id}/redeliver");
        assert_eq!(it.server.post(&path, &json!({})).await.code(), "delivery_not_found");
    }
    assert_eq!((it.show().await["round"].clone(), it.queued().await), (json!(1), 0));
}
