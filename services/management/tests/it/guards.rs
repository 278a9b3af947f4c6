//! What stands before every endpoint: doing things once, not too many of them, and writing down
//! who did them.

use std::collections::HashSet;

use futures_util::future::join_all;
use recado_http::auth::Role;
use recado_testkit::sql;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

async fn post_with_key(server: &Server, key: &str, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {}", server.token(server.ours, Role::Owner));
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
    server.send("POST", path, &headers, Some(body)).await
}

async fn count(server: &Server, query: &str) -> i64 {
    sql::count(server.database.url(), query).await.unwrap()
}

#[tokio::test]
async fn what_is_asked_for_twice_is_done_once() {
    let server = Server::start().await;
    let member = json!({"name": "Ana", "email": "ana@example.com"});

    let first = post_with_key(&server, "k1", "/api/members", &member).await;
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let again = post_with_key(&server, "k1", "/api/members", &member).await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.headers["location"], first.headers["location"]);
    assert_eq!(again.headers["content-type"], first.headers["content-type"]);

    // Another request under that key, and another tenant's key of that name.
    let other = json!({"name": "Bea", "email": "bea@example.com"});
    let refused = post_with_key(&server, "k1", "/api/members", &other).await;
    assert_eq!((refused.status, refused.code()), (422, "idempotency_key_reused"));
    let refused = post_with_key(&server, "k1", "/api/apps", &member).await;
    assert_eq!(refused.code(), "idempotency_key_reused");
    let bearer = format!("Bearer {}", server.token(server.theirs, Role::Owner));
    let theirs = [("authorization", bearer.as_str()), ("idempotency-key", "k1")];
    let made = server.send("POST", "/api/members", &theirs, Some(&member)).await;
    assert_ne!(made.id(), first.id());

    // After a refusal the key is free.
    let mistaken = post_with_key(&server, "k2", "/api/members", &json!({"name": ""})).await;
    assert_eq!(mistaken.status, 400);
    post_with_key(&server, "k2", "/api/members", &other).await.data(201);

    // What is shown once is shown to its retry, and kept sealed.
    let key = json!({"name": "n8n"});
    let made = post_with_key(&server, "k3", "/api/api-keys", &key).await;
    let shown = made.data(201)["key"].as_str().unwrap();
    let repeated = post_with_key(&server, "k3", "/api/api-keys", &key).await;
    assert_eq!(repeated.data(201)["key"], shown);
    let in_the_clear = format!(
        "SELECT count(*) FROM idempotent_requests r
          WHERE position('{shown}' IN r::text) > 0 OR position('{shown}'::bytea IN body_sealed) > 0"
    );
    assert_eq!(count(&server, &in_the_clear).await, 0);
    assert_eq!(count(&server, "SELECT count(*) FROM api_keys").await, 1);

    // A repetition is for those only who may still do it.
    let bearer = format!("Bearer {}", server.token(server.ours, Role::Viewer));
    let lowered = [("authorization", bearer.as_str()), ("idempotency-key", "k3")];
    let refused = server.send("POST", "/api/api-keys", &lowered, Some(&key)).await;
    assert_eq!((refused.status, refused.code()), (403, "insufficient_permissions"));
    assert!(!refused.text.contains(shown));
    // Operators have keys, too.
    let bearer = format!("Bearer {}", server.operator_token());
    let operator = [("authorization", bearer.as_str()), ("idempotency-key", "k1")];
    let tenant = json!({"name": "Clinic"});
    let made = server.send("POST", "/api/tenants", &operator, Some(&tenant)).await;
    let again = server.send("POST", "/api/tenants", &operator, Some(&tenant)).await;
    assert_eq!(again.id(), made.id());

    for bad in ["", "a b", &"k".repeat(256)] {
        let refused = post_with_key(&server, bad, "/api/members", &member).await;
        assert_eq!(refused.paths(), ["Idempotency-Key"], "{bad}");
    }
    let nobody = [("idempotency-key", "k4")];
    let refused = server.send("POST", "/api/members", &nobody, Some(&member)).await;
    assert_eq!((refused.status, refused.code()), (401, "authentication_required"));
    // A key grows old with its day.
    server.execute("UPDATE idempotent_requests SET created_at = now() - interval '25 hours'").await;
    post_with_key(&server, "k1", "/api/apps", &json!({"name": "Sales"})).await.data(201);
}

#[tokio::test]
async fn of_many_at_once_one_is_done() {
    let server = Server::start().await;
    let app = json!({"name": "Sales"});
    let all = (0..8).map(|_| post_with_key(&server, "same", "/api/apps", &app));
    let answers = join_all(all).await;
    let (made, busy): (Vec<&Answer>, Vec<&Answer>) =
        answers.iter().partition(|answer| answer.status == 201);
    assert!(busy.iter().all(|answer| answer.code() == "idempotency_in_progress"), "{busy:?}");
    let ids: HashSet<String> = made.iter().map(|answer| answer.id()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(count(&server, "SELECT count(*) FROM apps").await, 1);

    // Who died over it has perhaps done it: it is not done again.
    let lost = "UPDATE idempotent_requests SET status = NULL, busy_until = now()";
    server.execute(&format!("{lost} + interval '1 minute'")).await;
    let busy = post_with_key(&server, "same", "/api/apps", &app).await;
    assert_eq!((busy.status, busy.code()), (409, "idempotency_in_progress"));
    server.execute(&format!("{lost} - interval '1 s'")).await;
    let unknown = post_with_key(&server, "same", "/api/apps", &app).await;
    assert_eq!((unknown.status, unknown.code()), (409, "idempotency_outcome_unknown"));
    assert_eq!(count(&server, "SELECT count(*) FROM apps").await, 1);
}

#[tokio::test]
async fn a_credential_that_asks_too_much_has_to_wait() {
    let settings = [
        ("RECADO_MANAGEMENT_RATE_PER_MINUTE", "5"),
        ("RECADO_MANAGEMENT_FAILURES_PER_MINUTE", "3"),
        ("RECADO_MANAGEMENT_TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let server = Server::start_with(&settings).await;
    for remaining in ["4", "3", "2", "1", "0"] {
        let answer = server.get("/api/agents").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["x-ratelimit-limit"], "5");
        assert_eq!(answer.headers["x-ratelimit-remaining"], remaining);
    }
    for (path, code) in [("/api/agents", "rate_limited"), ("/api/tools", "rate_limited")] {
        let refused = server.get(path).await;
        assert_eq!((refused.status, refused.code()), (429, code));
        assert_eq!(refused.headers["x-ratelimit-remaining"], "0");
        let retry_after: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=13).contains(&retry_after), "{retry_after}");
    }
    // Others are not held back by it.
    let them = (server.theirs, Role::Owner);
    assert_eq!(server.call_as(them, "GET", "/api/agents", None).await.status, 200);

    // Neither is who was let in by those who guess at the same address, nor anybody elsewhere.
    let tokens = [Role::Owner, Role::Editor].map(|role| server.token(server.theirs, role));
    let [in_use, new] = tokens.map(|token| format!("Bearer {token}"));
    let show = async |name: &str, value: &str, from: &str| {
        let headers = [(name, value), ("x-forwarded-for", from)];
        server.send("GET", "/api/agents", &headers, None).await
    };
    assert_eq!(show("authorization", &in_use, "192.0.2.1").await.status, 200);
    let key = format!("rcd_{}", "0".repeat(40));
    let guesses =
        [("authorization", "Bearer a.b.c"), ("x-api-key", &*key), ("authorization", "Bearer x")];
    for (name, value) in guesses {
        assert_eq!(show(name, value, "192.0.2.1").await.status, 401, "{value}");
    }
    for (name, value) in [("x-api-key", key.as_str()), ("authorization", &new)] {
        let refused = show(name, value, "192.0.2.1").await;
        assert_eq!((refused.status, refused.code()), (429, "rate_limited"), "{value}");
        let retry_after: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=20).contains(&retry_after), "{retry_after}");
        assert!(refused.body["message"].as_str().unwrap().contains("this address"));
    }
    assert_eq!(show("authorization", &in_use, "192.0.2.1").await.status, 200);
    assert_eq!(show("authorization", &new, "192.0.2.2").await.status, 200);
}

#[tokio::test]
async fn whoever_changes_something_is_written_down() {
    let server = Server::start().await;
    let secret = json!({"name": "KEY", "value": "canary-8d1f"});
    server.post("/api/secrets", &secret).await.data(201);
    server.post("/api/members", &json!({"name": "", "phone": "x"})).await;
    let made = server.post("/api/apps", &json!({"name": "Sales"})).await.id();
    server.get("/api/apps").await;
    let viewer = (server.ours, Role::Viewer);
    server.call_as(viewer, "POST", "/api/apps", Some(&json!({"name": "x"}))).await;

    let lines = sql::texts(
        server.database.url(),
        "SELECT operation || ' ' || status || ' ' || array_to_string(fields, ',') || ' '
                || subject || ' ' || role
           FROM audit_log ORDER BY at, id",
    );
    assert_eq!(
        lines.await.unwrap(),
        [
            "/api/secrets 201 name,value ana owner",
            "/api/members 400 name,phone ana owner",
            "/api/apps 201 name ana owner",
        ]
    );
    let of_app = format!("SELECT count(*) FROM audit_log WHERE resource_id = '{made}'");
    assert_eq!(count(&server, &of_app).await, 1);
    let told = "SELECT count(*) FROM audit_log l WHERE position('canary' IN l::text) > 0";
    assert_eq!(count(&server, told).await, 0, "a value is in the audit log");
    // What cannot be written down is not done.
    server.execute("ALTER TABLE audit_log RENAME TO elsewhere").await;
    assert!(server.post("/api/apps", &json!({"name": "Unseen"})).await.status >= 500);
    assert_eq!(count(&server, "SELECT count(*) FROM apps").await, 1);
}
