//! Tenants, their projects, what they use, and who changed what in them.

use recado_http::auth::Role;
use recado_types::TenantId;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

async fn as_operator(server: &Server, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let bearer = format!("Bearer {}", server.operator_token());
    server.send(method, path, &[("authorization", &bearer)], body).await
}

#[tokio::test]
async fn operators_decide_which_tenants_there_are() {
    let server = Server::start().await;
    let clinic = json!({"name": "Clinic", "executions_per_month": 100});
    let made = as_operator(&server, "POST", "/api/tenants", Some(&clinic)).await;
    let id: TenantId = made.id().parse().unwrap();
    let path = format!("/api/tenants/{id}");
    assert_eq!(made.headers["location"], path.as_str());
    assert_eq!(made.data(201)["executions_per_month"], 100);
    let wrong = as_operator(&server, "POST", "/api/tenants", Some(&json!({"x": 1}))).await;
    assert_eq!(wrong.paths(), ["name", "x"]);

    // Newest first, and all of them.
    let listed = as_operator(&server, "GET", "/api/tenants", None).await;
    let names: Vec<&str> = listed
        .data(200)
        .as_array()
        .unwrap()
        .iter()
        .map(|at| at["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 3);
    assert!(names.contains(&"ours") && names.contains(&"theirs") && names.contains(&"Clinic"));

    // Its people find it with a project, and cannot grant themselves anything.
    let owner = (id, Role::Owner);
    let shown = server.call_as(owner, "GET", "/api/tenant", None).await;
    assert_eq!(shown.data(200)["name"], "Clinic");
    let projects = server.call_as(owner, "GET", "/api/projects", None).await;
    assert_eq!(projects.data(200)[0]["name"], "default");
    let more = json!({"executions_per_month": null, "tokens_per_month": 5});
    let refused = server.call_as(owner, "PATCH", "/api/tenant", Some(&more)).await;
    assert_eq!(refused.paths(), ["executions_per_month", "tokens_per_month"]);
    let kept = json!({"messages_retention_days": 30});
    let changed = server.call_as(owner, "PATCH", "/api/tenant", Some(&kept)).await;
    assert_eq!(changed.data(200)["messages_retention_days"], 30);

    // An operator can; only on top of what was seen, if that is asked for.
    let granted = as_operator(&server, "PATCH", &path, Some(&more)).await;
    assert_eq!(granted.data(200)["executions_per_month"], json!(null));
    assert_eq!(granted.data(200)["tokens_per_month"], 5);
    assert_eq!(granted.data(200)["messages_retention_days"], 30);
    let bearer = format!("Bearer {}", server.operator_token());
    let seen = made.headers["etag"].to_str().unwrap();
    let headers = [("authorization", bearer.as_str()), ("if-match", seen)];
    let stale = server.send("PATCH", &path, &headers, Some(&more)).await;
    assert_eq!((stale.status, stale.code()), (412, "precondition_failed"));

    // What was done is in the tenant's log, and nothing of it in others'.
    let log = server.call_as(owner, "GET", "/api/audit-log", None).await;
    let lines: Vec<String> = log.data(200).as_array().unwrap().iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "operator PATCH /api/tenants/{id} 412",
            "operator PATCH /api/tenants/{id} 200",
            "owner PATCH /api/tenant 200",
            "owner PATCH /api/tenant 400",
            "operator POST /api/tenants 201",
        ]
    );
    assert_eq!(server.get("/api/audit-log").await.data(200), &json!([]));
    let page = server.call_as(owner, "GET", "/api/audit-log?limit=2", None).await;
    let cursor = page.body["pagination"]["next_cursor"].as_str().unwrap();
    let next = format!("/api/audit-log?limit=2&cursor={cursor}");
    let next = server.call_as(owner, "GET", &next, None).await;
    assert_eq!(line(&next.data(200)[0]), lines[2]);

    // Only one that has nothing can be deleted.
    let app = json!({"name": "Sales"});
    let app = server.call_as(owner, "POST", "/api/apps", Some(&app)).await.id();
    let refused = as_operator(&server, "DELETE", &path, None).await;
    assert_eq!((refused.status, refused.code()), (409, "conflict"));
    server.call_as(owner, "DELETE", &format!("/api/apps/{app}"), None).await;
    assert_eq!(as_operator(&server, "DELETE", &path, None).await.status, 200);
    let gone = as_operator(&server, "GET", &path, None).await;
    assert_eq!((gone.status, gone.code()), (404, "tenant_not_found"));
    let gone = as_operator(&server, "PATCH", &path, Some(&more)).await;
    assert_eq!(gone.code(), "tenant_not_found");
}

fn line(line: &Value) -> String {
    let text = |name: &str| line[name].as_str().unwrap().to_owned();
    let (role, method) = (text("role"), text("method"));
    format!("{role} {method} {} {}", text("operation"), line["status"])
}

#[tokio::test]
async fn projects_are_made_changed_and_deleted() {
    let server = Server::start().await;
    let north = json!({"name": "North", "external_id": "clinics.north"});
    let made = server.post("/api/projects", &north).await;
    let path = format!("/api/projects/{}", made.id());
    assert_eq!(made.headers["location"], path.as_str());
    let taken = server.post("/api/projects", &north).await;
    assert_eq!((taken.status, taken.code()), (409, "already_exists"));
    assert_eq!(taken.body["details"]["fields"][0]["path"], "external_id");
    for bad in ["new", "a b", "0193a000-0000-7000-8000-000000000000", ""] {
        let bad = json!({"name": "x", "external_id": bad});
        assert_eq!(server.post("/api/projects", &bad).await.paths(), ["external_id"], "{bad}");
    }
    let them = (server.theirs, Role::Owner);
    server.call_as(them, "POST", "/api/projects", Some(&north)).await.data(201);

    let renamed = server.patch(&path, &json!({"name": "South", "external_id": null})).await;
    assert_eq!(renamed.data(200)["name"], "South");
    assert_eq!(renamed.data(200)["external_id"], json!(null));
    assert_ne!(renamed.headers["etag"], made.headers["etag"]);
    let wrong = server.patch(&path, &json!({"name": null, "id": "x"})).await;
    assert_eq!(wrong.paths(), ["name", "id"]);

    let agent = json!({
        "name": "Echo", "model": "builtin.echo", "system_prompt": "", "project_id": made.id(),
    });
    let agent = server.post("/api/agents", &agent).await.id();
    let refused = server.delete(&path).await;
    assert_eq!((refused.status, refused.code()), (409, "conflict"));
    assert_eq!(refused.body["details"]["used_by"][0]["id"], agent.as_str());
    let other = server.post("/api/projects", &json!({"name": "East"})).await.id();
    assert_eq!(server.delete(&format!("/api/projects/{other}")).await.status, 200);
    let gone = server.get(&format!("/api/projects/{other}")).await;
    assert_eq!((gone.status, gone.code()), (404, "project_not_found"));
}

#[tokio::test]
async fn usage_is_shown_by_day_and_together() {
    let server = Server::start().await;
    let (ours, theirs) = (server.ours, server.theirs);
    server
        .execute(&format!(
            "INSERT INTO usage_days
             SELECT tenant, day, n, 1, n, 10 * n, n, 11 * n, 0.5 * n, n, 0
               FROM (VALUES ('{ours}'::uuid, date '2026-02-17', 2), ('{ours}', '2026-02-18', 3),
                            ('{ours}', '2026-02-19', 4), ('{theirs}', '2026-02-18', 100))
                    AS used (tenant, day, n)"
        ))
        .await;
    let shown = server.get("/api/usage?from=2026-02-17&to=2026-02-18").await;
    let data = shown.data(200);
    assert_eq!(data["days"].as_array().unwrap().len(), 2);
    assert_eq!(data["days"][1]["day"], "2026-02-18");
    assert_eq!(data["days"][1]["tokens"], 33);
    assert_eq!(data["total"]["executions"], 5);
    assert_eq!(data["total"]["failed_executions"], 2);
    assert!((data["total"]["cost_usd"].as_f64().unwrap() - 2.5).abs() < 1e-9);
    assert_eq!(server.get("/api/usage?from=2020-01-01").await.paths(), ["from"]);
    assert_eq!(server.get("/api/usage").await.status, 200);
}
