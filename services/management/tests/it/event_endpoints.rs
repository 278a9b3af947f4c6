//! Event endpoints, and the deliveries of events: shown, sent again, recovered.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use recado_clock::{Clock, SystemClock};
use recado_http::auth::Role;
use recado_types::EventId;
use recado_types::event_type::EVENT_TYPES;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

const NOBODY: &str = "01930000-0000-7000-8000-000000000000";
const GIVEN_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn audit() -> Value {
    json!({"name": "audit", "url": "https://hooks.example.com/recado"})
}

async fn endpoint(server: &Server) -> String {
    server.post("/api/event-endpoints", &audit()).await.id()
}

/// Events of an endpoint that failed, one a second, the newest this long ago.
async fn insert_failed(server: &Server, endpoint: &str, n_events: u32, ago: &str) {
    let ours = server.ours;
    server
        .execute(&format!(
            "INSERT INTO event_deliveries (id, tenant_id, endpoint_id, event_id, event_type,
                                           agent_id, session_id, execution_id, payload, status,
                                           attempt_count, error_code, occurred_at, created_at,
                                           finished_at)
             SELECT gen_random_uuid(), '{ours}', '{endpoint}', gen_random_uuid(), 'error',
                    gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), '{{}}', 'failed', 8,
                    'http_500', at, at, at
               FROM (SELECT now() - interval '{ago}' - n * interval '1 s' AS at
                       FROM generate_series({n_events} - 1, 0, -1) n) times"
        ))
        .await;
}

async fn pending(server: &Server) -> i64 {
    let pending = "SELECT count(*) FROM event_deliveries
                    WHERE status = 'pending' AND round = 2 AND attempt_count = 0
                      AND next_attempt_at <= now() AND finished_at IS NULL";
    recado_testkit::sql::count(server.database.url(), pending).await.unwrap()
}

fn now() -> DateTime<Utc> {
    SystemClock::default().now()
}

fn since(ago: TimeDelta) -> Value {
    json!({"since": now() - ago})
}

/// The deliveries of an endpoint.
async fn deliveries(server: &Server, endpoint: &str) -> Answer {
    server.get(&format!("/api/event-endpoints/{endpoint}/deliveries")).await
}

#[tokio::test]
async fn an_endpoint_lives_from_post_to_delete() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let said = json!({
        "name": "audit", "url": "https://hooks.example.com/recado", "agent_id": agent,
        "event_types": ["tool_called", "error"], "enabled": true, "secret": GIVEN_SECRET,
    });
    let created = server.post("/api/event-endpoints", &said).await;
    let path = format!("/api/event-endpoints/{}", created.id());
    assert_eq!(created.headers["location"], path.as_str());
    for (field, value) in said.as_object().unwrap() {
        assert_eq!(&created.data(201)[field], value, "{field}");
    }
    let shown = server.get(&path).await;
    assert_eq!(shown.data(200).get("secret"), None);
    assert_eq!(shown.data(200)["event_types"], said["event_types"]);
    assert_eq!(shown.data(200)["disabled_code"], json!(null));
    let listed = server.get("/api/event-endpoints").await;
    assert_eq!(listed.data(200), &json!([shown.data(200)]));

    let taken = server.post("/api/event-endpoints", &audit()).await;
    assert_eq!((taken.status, taken.code()), (409, "already_exists"));
    assert_eq!(taken.body["details"]["fields"][0]["path"], "name");
    let unseen = json!({"name": "a\u{1b}[2Jb", "url": audit()["url"]});
    let refused = server.post("/api/event-endpoints", &unseen).await;
    assert_eq!((refused.status, refused.code()), (400, "invalid_input"));
    assert_eq!(refused.body["details"]["fields"][0]["path"], "name");
    let renamed = json!({"name": "log", "agent_id": null, "event_types": null});
    let patched = server.patch(&path, &renamed).await;
    let data = patched.data(200);
    assert_eq!((&data["name"], &data["agent_id"]), (&json!("log"), &json!(null)));
    assert_eq!((&data["event_types"], &data["url"]), (&json!([]), &said["url"]));

    assert_eq!(server.delete(&path).await.body, json!({"success": true}));
    for gone in [server.get(&path).await, server.delete(&path).await] {
        assert_eq!((gone.status, gone.code()), (404, "event_endpoint_not_found"));
    }
    assert_eq!(server.get("/api/event-endpoints").await.data(200), &json!([]));
    // Its name is free.
    let again = json!({"name": "log", "url": "https://hooks.example.com/"});
    server.post("/api/event-endpoints", &again).await.data(201);
}

#[tokio::test]
async fn every_mistake_of_an_endpoint_is_named() {
    let server = Server::start().await;
    for (body, mut paths) in [
        (json!({}), vec!["name", "url"]),
        (
            json!({"name": "", "url": "ftp://x.example.com", "agent_id": "x", "enabled": 1,
                   "event_types": ["tool_called", "no_such"], "secret": "x", "id": 1, "y": 1}),
            vec!["name", "url", "agent_id", "enabled", "event_types[1]", "secret", "id", "y"],
        ),
        (
            json!({"name": "a", "url": "https://x.example.com", "agent_id": NOBODY}),
            vec!["agent_id"],
        ),
    ] {
        let refused = server.post("/api/event-endpoints", &body).await;
        let mut found = refused.paths();
        found.sort_unstable();
        paths.sort_unstable();
        assert_eq!(found, paths, "{body}");
    }
    let path = format!("/api/event-endpoints/{}", endpoint(&server).await);
    for (patch, field) in [
        (json!({"name": null}), "name"),
        (json!({"secret": GIVEN_SECRET}), "secret"),
        (json!({"failing_since": null}), "failing_since"),
        (json!({"agent_id": NOBODY}), "agent_id"),
    ] {
        assert_eq!(server.patch(&path, &patch).await.paths(), [field], "{patch}");
    }
    let all = json!({"event_types": EVENT_TYPES});
    assert_eq!(server.patch(&path, &all).await.data(200)["event_types"], json!(EVENT_TYPES));
}

#[tokio::test]
async fn there_are_a_hundred_endpoints_at_most_however_many_are_made_at_once() {
    let server = Server::start().await;
    let ours = server.ours;
    server
        .execute(&format!(
            "INSERT INTO event_endpoints (id, tenant_id, name, url, secret_key_id, secret_sealed,
                                          created_at, updated_at)
             SELECT gen_random_uuid(), '{ours}', 'e' || n, 'https://x.example.com', 'k1', '',
                    now(), now()
               FROM generate_series(1, 97) n"
        ))
        .await;
    let bodies: Vec<Value> =
        (0..8).map(|n| json!({"name": format!("n{n}"), "url": "https://x.example.com"})).collect();
    let made = join_all(bodies.iter().map(|body| server.post("/api/event-endpoints", body))).await;
    assert_eq!(made.iter().filter(|answer| answer.status == 201).count(), 3);
    let refused: HashSet<&str> =
        made.iter().filter(|answer| answer.status == 409).map(Answer::code).collect();
    assert_eq!(refused, HashSet::from(["limit_reached"]));
}

#[tokio::test]
async fn who_enables_an_endpoint_forgets_its_troubles_and_nobody_else_does() {
    let server = Server::start().await;
    let id = endpoint(&server).await;
    let path = format!("/api/event-endpoints/{id}");
    server
        .execute(&format!(
            "UPDATE event_endpoints SET enabled = false, disabled_code = 'gone',
                    disabled_message = 'it answered 410', disabled_at = now(), failing_since = now()
              WHERE id = '{id}'"
        ))
        .await;
    for patch in [json!({"name": "other"}), json!({"enabled": false})] {
        let patched = server.patch(&path, &patch).await;
        let data = patched.data(200);
        assert_eq!((&data["enabled"], &data["disabled_code"]), (&json!(false), &json!("gone")));
        assert!(data["failing_since"].is_string() && data["disabled_at"].is_string());
    }
    for path in [format!("{path}/test"), format!("{path}/recover")] {
        let refused = server.post(&path, &since(TimeDelta::hours(1))).await;
        assert_eq!((refused.status, refused.code()), (409, "endpoint_disabled"), "{path}");
    }
    let enabled = server.patch(&path, &json!({"enabled": true})).await;
    for field in ["disabled_code", "disabled_message", "disabled_at", "failing_since"] {
        assert_eq!(enabled.data(200)[field], json!(null), "{field}");
    }
    let disabled = server.patch(&path, &json!({"enabled": false})).await;
    assert_eq!(disabled.data(200)["disabled_code"], json!(null), "a person did it");
    assert!(disabled.data(200)["disabled_at"].is_string());
}

#[tokio::test]
async fn concurrent_changes_of_an_endpoint_are_all_made() {
    let server = Server::start().await;
    let path = format!("/api/event-endpoints/{}", endpoint(&server).await);
    let patches =
        [json!({"name": "n"}), json!({"url": "https://y.example.com"}), json!({"enabled": false})];
    for answer in join_all(patches.iter().map(|patch| server.patch(&path, patch))).await {
        answer.data(200);
    }
    let shown = server.get(&path).await;
    let shown = shown.data(200);
    assert_eq!((&shown["name"], &shown["enabled"]), (&json!("n"), &json!(false)));
    assert_eq!(shown["url"], "https://y.example.com");
}

#[tokio::test]
async fn a_rotation_shows_the_new_secret_once_and_says_when_the_old_one_ends() {
    let server = Server::start().await;
    let created = server.post("/api/event-endpoints", &audit()).await;
    let first = created.data(201)["secret"].as_str().unwrap().to_owned();
    let path = format!("/api/event-endpoints/{}/rotate-secret", created.id());
    let rotated = server.post(&path, &json!({"expires_in_s": 60})).await;
    let second = rotated.data(200)["secret"].as_str().unwrap();
    assert!(second.starts_with("whsec_") && second != first);
    let expires_at = rotated.data(200)["previous_secret_expires_at"].as_str().unwrap();
    let left = expires_at.parse::<DateTime<Utc>>().unwrap() - now();
    assert!(left > TimeDelta::seconds(30) && left <= TimeDelta::seconds(60), "{left}");

    let given = json!({"expires_in_s": 0, "secret": GIVEN_SECRET});
    let rotated = server.post(&path, &given).await;
    assert_eq!(rotated.data(200)["secret"], GIVEN_SECRET);
    assert_eq!(rotated.data(200)["previous_secret_expires_at"], json!(null));
    let without_body = server.send("POST", &path, &[], None).await;
    assert_eq!(without_body.status, 401);
    assert_eq!(
        server.post(&path, &json!({"expires_in_s": 604_801})).await.paths(),
        ["expires_in_s"]
    );
}

#[tokio::test]
async fn only_what_was_seen_is_rotated_and_enabled() {
    let server = Server::start().await;
    let created = server.post("/api/event-endpoints", &audit()).await;
    let path = format!("/api/event-endpoints/{}", created.id());
    let rotate = format!("{path}/rotate-secret");
    let bearer = format!("Bearer {}", server.token(server.ours, Role::Editor));
    let matching = async |method, path: &str, tag: &str, body: Value| {
        let headers = [("authorization", bearer.as_str()), ("if-match", tag)];
        server.send(method, path, &headers, Some(&body)).await
    };
    let tag = |answer: &Answer| answer.headers["etag"].to_str().unwrap().to_owned();

    let first = tag(&created);
    let rotated = matching("POST", &rotate, &first, json!({})).await;
    rotated.data(200);
    let second = tag(&rotated);
    assert_ne!(second, first);
    let late = matching("POST", &rotate, &first, json!({"expires_in_s": 0})).await;
    assert_eq!((late.status, late.code()), (412, "precondition_failed"));
    let shown = server.get(&path).await;
    assert_eq!(tag(&shown), second);
    assert_eq!(
        shown.data(200)["previous_secret_expires_at"],
        rotated.data(200)["previous_secret_expires_at"]
    );

    let off = matching("PATCH", &path, &second, json!({"enabled": false})).await;
    assert_eq!(off.data(200)["enabled"], false);
    let late = matching("PATCH", &path, &second, json!({"enabled": true})).await;
    assert_eq!((late.status, late.code()), (412, "precondition_failed"));
    // That it fails is nothing that anybody has set.
    server.execute("UPDATE event_endpoints SET failing_since = now()").await;
    let on = matching("PATCH", &path, &tag(&off), json!({"enabled": true})).await;
    assert_eq!(
        (&on.data(200)["enabled"], &on.data(200)["failing_since"]),
        (&json!(true), &json!(null))
    );
}

#[tokio::test]
async fn an_agent_that_has_an_endpoint_is_kept_until_it_has_none() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let mut body = audit();
    body["agent_id"] = json!(agent);
    let id = server.post("/api/event-endpoints", &body).await.id();
    let kept = server.delete(&format!("/api/agents/{agent}")).await;
    assert_eq!((kept.status, kept.code()), (409, "conflict"));
    let user = json!([{"type": "event_endpoint", "id": id, "name": "audit"}]);
    assert_eq!(kept.body["details"]["used_by"], user);
    server.delete(&format!("/api/event-endpoints/{id}")).await.data(200);
    server.delete(&format!("/api/agents/{agent}")).await.data(200);
}

#[tokio::test]
async fn an_example_is_a_delivery_like_any_other() {
    let server = Server::start().await;
    let id = endpoint(&server).await;
    let sent = server.post(&format!("/api/event-endpoints/{id}/test"), &json!({})).await;
    let data = sent.data(202);
    assert_eq!((&data["event_type"], &data["status"]), (&json!("test"), &json!("pending")));
    assert_eq!((&data["execution_id"], &data["session_id"]), (&json!(null), &json!(null)));
    assert_eq!(data["payload"]["type"], "recado.test");
    assert_eq!(data["payload"]["data"], json!({"endpoint_id": id}));
    let at: DateTime<Utc> = data["payload"]["timestamp"].as_str().unwrap().parse().unwrap();
    assert!(now() - at < TimeDelta::minutes(1));
    let event = data["event_id"].as_str().unwrap();
    assert!(event.starts_with("objevt_") && event.parse::<EventId>().is_ok(), "{event}");

    let listed = deliveries(&server, &id).await;
    assert_eq!(listed.data(200)[0]["id"], data["id"]);
    let path = format!("/api/event-deliveries/{}", data["id"].as_str().unwrap());
    assert_eq!(server.get(&path).await.data(200), data);
    let unknown = server.post(&format!("/api/event-endpoints/{NOBODY}/test"), &json!({})).await;
    assert_eq!(unknown.code(), "event_endpoint_not_found");
}

#[tokio::test]
async fn deliveries_of_events_are_listed_and_shown_with_their_attempts() {
    let server = Server::start().await;
    let id = endpoint(&server).await;
    insert_failed(&server, &id, 5, "1 h").await;
    server.post(&format!("/api/event-endpoints/{id}/test"), &json!({})).await.data(202);
    server
        .execute(&format!(
            "INSERT INTO event_attempts (id, tenant_id, event_delivery_id, round, attempt,
                                         started_at, duration_ms, status_code, error_code,
                                         response_headers, response_body)
             SELECT gen_random_uuid(), tenant_id, id, r, a,
                    '2026-02-18T14:30:00Z'::timestamptz + a * interval '1 h',
                    100 + a, 500, 'http_500', '[[\"retry-after\", \"7\"]]', 'no'
               FROM event_deliveries, generate_series(1, 2) r, generate_series(1, 8) a
              WHERE status = 'failed' AND endpoint_id = '{id}'"
        ))
        .await;
    let path = format!("/api/event-endpoints/{id}/deliveries");
    let all = server.get(&path).await;
    let statuses = all.data(200).as_array().unwrap().iter().map(|one| one["status"].as_str());
    assert_eq!(statuses.flatten().collect::<Vec<_>>()[..2], ["pending", "failed"], "newest first");
    let first = server.get(&format!("{path}?status=failed&limit=3")).await;
    let cursor = first.body["pagination"]["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("{path}?status=failed&limit=3&cursor={cursor}")).await;
    assert_eq!(rest.data(200).as_array().unwrap().len(), 2);
    let elsewhere = server.get(&format!("{path}?cursor={cursor}")).await;
    assert_eq!(elsewhere.paths(), ["cursor"]);
    assert_eq!(server.get(&format!("{path}?status=lost&x=1")).await.paths(), ["status", "x"]);

    let one = &first.data(200)[0];
    assert_eq!((&one["attempt_count"], &one["error_code"]), (&json!(8), &json!("http_500")));
    let last = &one["last_attempt"];
    assert_eq!((&last["status_code"], &last["duration_ms"]), (&json!(500), &json!(108)));
    let path = format!("/api/event-deliveries/{}", one["id"].as_str().unwrap());
    let shown = server.get(&path).await;
    let attempts = shown.data(200)["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 16);
    assert_eq!((&attempts[0]["round"], &attempts[0]["attempt"]), (&json!(2), &json!(8)));
    assert_eq!(attempts[0]["response_headers"], json!([["retry-after", "7"]]));
    assert_eq!(attempts[0]["response_body"], "no");
    for id in [NOBODY, "x"] {
        let unknown = server.get(&format!("/api/event-deliveries/{id}")).await;
        assert_eq!(unknown.code(), "event_delivery_not_found");
        let unknown = deliveries(&server, id).await;
        assert_eq!(unknown.code(), "event_endpoint_not_found");
    }
}

#[tokio::test]
async fn an_event_is_sent_again_once_whoever_asks() {
    let server = Server::start().await;
    let id = endpoint(&server).await;
    insert_failed(&server, &id, 1, "1 h").await;
    let delivery = deliveries(&server, &id).await.data(200)[0]["id"].clone();
    let path = format!("/api/event-deliveries/{}/send-again", delivery.as_str().unwrap());
    let body = json!({});
    let answers = join_all((0..6).map(|_| server.post(&path, &body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 1);
    for answer in &answers {
        if answer.status == 202 {
            let data = answer.data(202);
            assert_eq!((&data["round"], &data["attempt_count"]), (&json!(2), &json!(0)));
            assert_eq!((&data["status"], &data["error_code"]), (&json!("pending"), &json!(null)));
        } else {
            assert_eq!((answer.status, answer.code()), (409, "delivery_in_progress"));
        }
    }
    assert_eq!(pending(&server).await, 1);
    let unknown = format!("/api/event-deliveries/{NOBODY}/send-again");
    assert_eq!(server.post(&unknown, &body).await.code(), "event_delivery_not_found");

    let failed = "UPDATE event_deliveries SET status = 'failed', next_attempt_at = NULL";
    server.execute(failed).await;
    let endpoint = format!("/api/event-endpoints/{id}");
    server.patch(&endpoint, &json!({"enabled": false})).await.data(200);
    assert_eq!(server.post(&path, &body).await.code(), "endpoint_disabled");
    server.delete(&endpoint).await.data(200);
    assert_eq!(server.post(&path, &body).await.code(), "endpoint_deleted");
}

#[tokio::test]
async fn what_failed_since_some_time_is_recovered_in_batches() {
    let server = Server::start().await;
    let id = endpoint(&server).await;
    insert_failed(&server, &id, 50, "3 days").await;
    insert_failed(&server, &id, 2_100, "1 h").await;
    let path = format!("/api/event-endpoints/{id}/recover");
    let recovered = server.post(&path, &since(TimeDelta::days(2))).await;
    assert_eq!(recovered.data(200), &json!({"recovered": 2_100}));
    assert_eq!(pending(&server).await, 2_100);
    let again = server.post(&path, &since(TimeDelta::days(2))).await;
    assert_eq!(again.data(200), &json!({"recovered": 0}));
    let rest = server.post(&path, &since(TimeDelta::days(4))).await;
    assert_eq!(rest.data(200), &json!({"recovered": 50}));

    assert_eq!(server.post(&path, &since(TimeDelta::days(15))).await.paths(), ["since"]);
    assert_eq!(server.post(&path, &json!({})).await.paths(), ["since"]);
    assert_eq!(server.post(&path, &json!({"since": "now", "x": 1})).await.paths(), ["since", "x"]);
}

#[tokio::test]
async fn what_is_on_its_way_to_a_deleted_endpoint_fails() {
    let server = Server::start().await;
    let (id, other) =
        (endpoint(&server).await, json!({"name": "b", "url": "https://x.example.com"}));
    let other = server.post("/api/event-endpoints", &other).await.id();
    let mut sent = Vec::new();
    for endpoint in [&id, &other] {
        let path = format!("/api/event-endpoints/{endpoint}/test");
        let answer = server.post(&path, &json!({})).await;
        sent.push(format!("/api/event-deliveries/{}", answer.data(202)["id"].as_str().unwrap()));
    }
    server.delete(&format!("/api/event-endpoints/{id}")).await.data(200);
    let ended = server.get(&sent[0]).await;
    let ended = ended.data(200);
    assert_eq!(
        (&ended["status"], &ended["error_code"]),
        (&json!("failed"), &json!("endpoint_deleted"))
    );
    assert!(ended["finished_at"].is_string());
    assert_eq!(server.get(&sent[1]).await.data(200)["status"], "pending");
}
