//! Tools, and the hosts that they may be led to.

use futures_util::future::join_all;
use recado_http::auth::Role;
use serde_json::{Value, json};

use crate::server::Server;

const NOBODY: &str = "01930000-0000-7000-8000-000000000000";

fn search() -> Value {
    json!({
        "name": "search",
        "description": "Finds contracts.",
        "kind": "http",
        "config": {
            "method": "POST",
            "url": "https://api.example.com/search",
            "headers": {"x-tenant": "${context.tenantId}"},
            "auth": {"type": "bearer", "secret_ref": "KEY"},
            "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
            "defaults_from_context": {"body.requesterId": "requesterId"},
        },
    })
}

async fn key(server: &Server) {
    server.post("/api/secrets", &json!({"name": "KEY", "value": "v"})).await.data(201);
}

#[tokio::test]
async fn a_tool_lives_from_post_to_delete() {
    let server = Server::start().await;
    key(&server).await;
    let created = server.post("/api/tools", &search()).await;
    let path = format!("/api/tools/{}", created.id());
    assert_eq!(created.headers["location"], path.as_str());
    for shown in [created.data(201), server.get(&path).await.data(200)] {
        for (field, value) in search().as_object().unwrap() {
            assert_eq!(&shown[field], value, "{field}");
        }
    }
    let taken = server.post("/api/tools", &search()).await;
    assert_eq!((taken.status, taken.code()), (409, "already_exists"));
    let fields = json!([{"path": "name", "reason": "another tool has it"}]);
    assert_eq!(taken.body["details"]["fields"], fields);

    let renamed = server.patch(&path, &json!({"name": "find", "description": null})).await;
    assert_eq!(
        (&renamed.data(200)["name"], &renamed.data(200)["description"]),
        (&json!("find"), &json!(""))
    );
    assert_eq!(renamed.data(200)["config"], search()["config"]);
    let config = json!({"url": "https://api.example.com/find"});
    let replaced = server.patch(&path, &json!({"config": config})).await;
    assert_eq!(replaced.data(200)["config"], config, "it is replaced as a whole");
    server.delete("/api/secrets/KEY").await.data(200);

    let other = json!({"name": "other", "kind": "http", "config": config});
    let other = server.post("/api/tools", &other).await.id();
    let taken = server.patch(&format!("/api/tools/{other}"), &json!({"name": "find"})).await;
    assert_eq!(taken.code(), "already_exists");

    assert_eq!(server.delete(&path).await.body, json!({"success": true}));
    assert_eq!(server.get(&path).await.code(), "tool_not_found");
    assert_eq!(server.delete(&path).await.status, 404);
    assert_eq!(server.patch(&path, &json!({"name": "x"})).await.code(), "tool_not_found");
    assert_eq!(server.get("/api/tools").await.data(200).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn every_mistake_of_a_tool_is_named() {
    let server = Server::start().await;
    let config = search()["config"].clone();
    for (body, mut paths) in [
        (json!({}), vec!["config", "kind", "name"]),
        (
            json!({"name": "a b", "kind": "magic", "config": {}, "id": 1}),
            vec!["id", "kind", "name"],
        ),
        (json!({"name": "a", "kind": "http", "config": 1, "x": 1}), vec!["config", "x"]),
        (
            json!({"name": "a".repeat(49), "kind": "http", "config": {"timeout_ms": 1, "oops": 1}}),
            vec!["config.oops", "config.timeout_ms", "config.url", "name"],
        ),
        (json!({"name": "a", "kind": "http", "config": config}), vec!["config.auth.secret_ref"]),
        (
            json!({"name": "a", "kind": "agent", "config": {"agent_id": NOBODY}}),
            vec!["config.agent_id"],
        ),
    ] {
        let refused = server.post("/api/tools", &body).await;
        let mut found = refused.paths();
        found.sort_unstable();
        paths.sort_unstable();
        assert_eq!(found, paths, "{body}");
    }
    assert_eq!(server.get("/api/tools").await.data(200), &json!([]));
}

#[tokio::test]
async fn a_patch_that_would_break_a_tool_changes_nothing() {
    let server = Server::start().await;
    key(&server).await;
    let path = format!("/api/tools/{}", server.post("/api/tools", &search()).await.id());
    let before = server.get(&path).await.body;
    for (patch, paths) in [
        (json!({"kind": "http"}), vec!["kind"]),
        (json!({"name": null, "config": null}), vec!["name", "config"]),
        (json!({"config": {}}), vec!["config.url"]),
        (
            json!({"config": {"url": "https://api.example.com",
                              "auth": {"type": "basic", "secret_ref": "NO_SUCH"}}}),
            vec!["config.auth.secret_ref"],
        ),
        (json!({"created_at": "now"}), vec!["created_at"]),
        (json!([]), vec![""]),
    ] {
        assert_eq!(server.patch(&path, &patch).await.paths(), paths, "{patch}");
    }
    assert_eq!(server.get(&path).await.body, before);
}

#[tokio::test]
async fn secrets_of_tools_are_kept_and_never_shown() {
    const CANARY: &str = "canary-2b9f7c1d4e8a";
    let server = Server::start().await;
    server.post("/api/secrets", &json!({"name": "KEY", "value": CANARY})).await.data(201);
    let created = server.post("/api/tools", &search()).await;
    let path = format!("/api/tools/{}", created.id());
    let kept = server.delete("/api/secrets/KEY").await;
    let user = json!([{"type": "tool", "id": created.id(), "name": "search"}]);
    assert_eq!(kept.body["details"]["used_by"], user);
    let patched = server.patch(&path, &json!({"description": "x"})).await;
    let (shown, listed) = (server.get(&path).await, server.get("/api/tools").await);
    for answer in [created, kept, patched, shown, listed] {
        assert!(!answer.text.contains(CANARY), "{}", answer.text);
    }
}

#[tokio::test]
async fn concurrent_changes_of_a_tool_are_all_made() {
    let server = Server::start().await;
    key(&server).await;
    let path = format!("/api/tools/{}", server.post("/api/tools", &search()).await.id());
    let config = json!({"url": "https://api.example.com/other"});
    let patches = [json!({"name": "n"}), json!({"description": "d"}), json!({"config": config})];
    for answer in join_all(patches.iter().map(|patch| server.patch(&path, patch))).await {
        answer.data(200);
    }
    let shown = server.get(&path).await;
    let shown = shown.data(200);
    assert_eq!((&shown["name"], &shown["description"]), (&json!("n"), &json!("d")));
    assert_eq!(shown["config"], config);
}

#[tokio::test]
async fn a_tool_and_the_end_of_its_agent_never_both_succeed() {
    let server = Server::start().await;
    for round in 0..6 {
        let agent = server.agent().await;
        let ask = json!({
            "name": format!("ask{round}"), "kind": "agent", "config": {"agent_id": agent},
        });
        let path = format!("/api/agents/{agent}");
        let (created, deleted) =
            tokio::join!(server.post("/api/tools", &ask), server.delete(&path));
        let outcome = (created.status, deleted.status);
        assert!(matches!(outcome, (201, 409) | (400, 200)), "{created:?} {deleted:?}");
    }
}

#[tokio::test]
async fn a_tenant_says_where_its_tools_may_be_led() {
    let server = Server::start().await;
    let fresh = server.get("/api/tenant").await;
    assert_eq!(fresh.data(200)["id"], json!(server.ours));
    assert_eq!(fresh.data(200)["name"], "ours");
    assert_eq!(fresh.data(200)["allowed_hosts"], json!([]));
    assert_eq!(fresh.data(200)["destination_hosts"], json!([]));

    let hosts = json!(["api.example.com", "*.example.org:8443", "192.0.2.1"]);
    let changed = server.patch("/api/tenant", &json!({"allowed_hosts": hosts})).await;
    assert_eq!(changed.data(200)["allowed_hosts"], hosts);
    assert_eq!(changed.data(200)["name"], "ours");
    let renamed = server.patch("/api/tenant", &json!({"name": "Ours"})).await;
    assert_eq!(renamed.data(200)["allowed_hosts"], hosts);
    let them = (server.theirs, Role::Owner);
    let theirs = server.call_as(them, "GET", "/api/tenant", None).await;
    assert_eq!(theirs.data(200)["allowed_hosts"], json!([]));

    for (body, paths) in [
        (json!({"name": null, "id": NOBODY}), vec!["name", "id"]),
        (
            json!({"allowed_hosts": ["fine.example.com", "https://x.example.com", "*"]}),
            vec!["allowed_hosts[1]", "allowed_hosts[2]"],
        ),
        (json!({"allowed_hosts": vec!["a.example.com"; 201]}), vec!["allowed_hosts"]),
        (json!({"destination_hosts": ["a/b"]}), vec!["destination_hosts[0]"]),
        (json!({"hosts": []}), vec!["hosts"]),
    ] {
        assert_eq!(server.patch("/api/tenant", &body).await.paths(), paths, "{body}");
    }
    assert_eq!(server.get("/api/tenant").await.data(200)["allowed_hosts"], hosts);
    let closed = json!({"allowed_hosts": null, "destination_hosts": ["*.example.net"]});
    let closed = server.patch("/api/tenant", &closed).await;
    assert_eq!(closed.data(200)["allowed_hosts"], json!([]));
    assert_eq!(closed.data(200)["destination_hosts"], json!(["*.example.net"]));
    let none = server.patch("/api/tenant", &json!({"destination_hosts": null})).await;
    assert_eq!(none.data(200)["destination_hosts"], json!([]));
}
