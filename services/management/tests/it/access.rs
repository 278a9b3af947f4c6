//! Who may do what: every operation, every role, and tokens that are none.

use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use recado_clock::{Clock, SystemClock};
use recado_http::auth::Role;
use recado_management::http::resources;
use recado_types::TenantId;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::server::{JWT_SECRET, Server, methods};

const NOBODY: &str = "01930000-0000-7000-8000-000000000000";

/// Where seed 001 has its triggers.
macro_rules! managed {
    () => {
        "/manage/tenants/{tenantId}/projects/{projectId}/agents/{agentId}/triggers"
    };
}
const MANAGED: &str = managed!();

/// The least role of each operation. An operation that is missing here fails the tests.
const NEEDS: &[(&str, &str, Role)] = &[
    ("GET", "/api/triggers", Role::Viewer),
    ("POST", "/api/triggers", Role::Editor),
    ("GET", "/api/triggers/types", Role::Viewer),
    ("GET", "/api/triggers/stats", Role::Viewer),
    ("GET", "/api/triggers/{id}", Role::Viewer),
    ("PATCH", "/api/triggers/{id}", Role::Editor),
    ("DELETE", "/api/triggers/{id}", Role::Editor),
    ("POST", "/api/triggers/{id}/enable", Role::Editor),
    ("POST", "/api/triggers/{id}/disable", Role::Editor),
    ("POST", "/api/triggers/{id}/rotate-secret", Role::Editor),
    ("POST", "/api/triggers/{id}/test", Role::Editor),
    ("GET", "/api/triggers/{id}/source", Role::Viewer),
    ("GET", MANAGED, Role::Viewer),
    ("POST", MANAGED, Role::Editor),
    ("GET", concat!(managed!(), "/{id}"), Role::Viewer),
    ("PATCH", concat!(managed!(), "/{id}"), Role::Editor),
    ("DELETE", concat!(managed!(), "/{id}"), Role::Editor),
    ("GET", concat!(managed!(), "/{id}/invocations"), Role::Viewer),
    ("GET", concat!(managed!(), "/{id}/invocations/{invocationId}"), Role::Viewer),
    ("GET", "/api/triggers/{id}/executions", Role::Viewer),
    ("GET", "/api/triggers/{id}/executions/{execution_id}", Role::Viewer),
    ("GET", "/api/executions", Role::Viewer),
    ("GET", "/api/executions/{id}", Role::Viewer),
    ("POST", "/api/executions/{id}/cancel", Role::Editor),
    ("PUT", "/api/executions/{id}/tool-calls/{tool_call_id}/approve", Role::Editor),
    ("POST", "/api/executions/{id}/tool-calls/{tool_call_id}/approve", Role::Editor),
    ("PUT", "/api/executions/{id}/tool-calls/{tool_call_id}/deny", Role::Editor),
    ("POST", "/api/executions/{id}/tool-calls/{tool_call_id}/deny", Role::Editor),
    ("GET", "/api/deliveries", Role::Viewer),
    ("GET", "/api/deliveries/{id}", Role::Viewer),
    ("POST", "/api/deliveries/{id}/redeliver", Role::Editor),
    ("GET", "/api/destinations", Role::Viewer),
    ("GET", "/api/destinations/{id}", Role::Viewer),
    ("POST", "/api/destinations/{id}/probe", Role::Editor),
    ("GET", "/api/event-endpoints", Role::Viewer),
    ("POST", "/api/event-endpoints", Role::Editor),
    ("GET", "/api/event-endpoints/{id}", Role::Viewer),
    ("PATCH", "/api/event-endpoints/{id}", Role::Editor),
    ("DELETE", "/api/event-endpoints/{id}", Role::Editor),
    ("POST", "/api/event-endpoints/{id}/rotate-secret", Role::Editor),
    ("POST", "/api/event-endpoints/{id}/recover", Role::Editor),
    ("POST", "/api/event-endpoints/{id}/test", Role::Editor),
    ("GET", "/api/event-endpoints/{id}/deliveries", Role::Viewer),
    ("GET", "/api/event-deliveries/{id}", Role::Viewer),
    ("POST", "/api/event-deliveries/{id}/send-again", Role::Editor),
    ("GET", "/api/tool-calls", Role::Viewer),
    ("POST", "/v1/objectives/{id}/cancel", Role::Editor),
    ("PUT", "/v1/objectives/{id}/tool_calls/{tool_call_id}/approve", Role::Editor),
    ("PUT", "/v1/objectives/{id}/tool_calls/{tool_call_id}/deny", Role::Editor),
    ("GET", "/api/sessions", Role::Viewer),
    ("GET", "/api/windows", Role::Viewer),
    ("GET", "/api/sessions/{id}/transcript", Role::Viewer),
    ("POST", "/api/sessions/{id}/messages", Role::Editor),
    ("GET", "/api/sessions/{id}", Role::Viewer),
    ("POST", "/api/sessions/{id}/suspend", Role::Editor),
    ("POST", "/api/sessions/{id}/resume", Role::Editor),
    ("POST", "/api/sessions/{id}/handoff", Role::Editor),
    ("GET", "/api/v1/sessions/{id}/trigger-context", Role::Viewer),
    ("GET", "/api/agents", Role::Viewer),
    ("POST", "/api/agents", Role::Editor),
    ("GET", "/api/agents/{id}", Role::Viewer),
    ("PATCH", "/api/agents/{id}", Role::Editor),
    ("DELETE", "/api/agents/{id}", Role::Editor),
    ("GET", "/api/agents/{id}/versions", Role::Viewer),
    ("GET", "/api/agents/{id}/versions/{version}", Role::Viewer),
    ("POST", "/api/agents/{id}/versions/{version}/restore", Role::Editor),
    ("GET", "/api/tools", Role::Viewer),
    ("POST", "/api/tools", Role::Editor),
    ("GET", "/api/tools/{id}", Role::Viewer),
    ("PATCH", "/api/tools/{id}", Role::Editor),
    ("DELETE", "/api/tools/{id}", Role::Editor),
    ("POST", "/api/tools/{id}/try", Role::Editor),
    ("GET", "/api/tenant", Role::Viewer),
    ("PATCH", "/api/tenant", Role::Admin),
    ("GET", "/api/usage", Role::Viewer),
    ("GET", "/api/projects", Role::Viewer),
    ("POST", "/api/projects", Role::Editor),
    ("GET", "/api/projects/{id}", Role::Viewer),
    ("PATCH", "/api/projects/{id}", Role::Editor),
    ("DELETE", "/api/projects/{id}", Role::Editor),
    ("GET", "/api/members", Role::Viewer),
    ("POST", "/api/members", Role::Editor),
    ("POST", "/api/members/import", Role::Editor),
    ("GET", "/api/members/{id}", Role::Viewer),
    ("PATCH", "/api/members/{id}", Role::Editor),
    ("DELETE", "/api/members/{id}", Role::Editor),
    ("GET", "/api/apps", Role::Viewer),
    ("POST", "/api/apps", Role::Editor),
    ("GET", "/api/apps/{id}", Role::Viewer),
    ("PATCH", "/api/apps/{id}", Role::Editor),
    ("DELETE", "/api/apps/{id}", Role::Editor),
    ("GET", "/api/providers", Role::Viewer),
    ("POST", "/api/providers", Role::Editor),
    ("GET", "/api/providers/{id}", Role::Viewer),
    ("PATCH", "/api/providers/{id}", Role::Editor),
    ("DELETE", "/api/providers/{id}", Role::Editor),
    ("POST", "/api/providers/{id}/check", Role::Editor),
    ("GET", "/api/secrets", Role::Admin),
    ("POST", "/api/secrets", Role::Admin),
    ("GET", "/api/secrets/{name}", Role::Admin),
    ("PUT", "/api/secrets/{name}", Role::Admin),
    ("PATCH", "/api/secrets/{name}", Role::Admin),
    ("DELETE", "/api/secrets/{name}", Role::Admin),
    ("GET", "/api/dead-letters", Role::Viewer),
    ("GET", "/api/dead-letters/{id}", Role::Viewer),
    ("DELETE", "/api/dead-letters/{id}", Role::Editor),
    ("POST", "/api/dead-letters/{id}/redrive", Role::Editor),
    ("GET", "/api/api-keys", Role::Admin),
    ("POST", "/api/api-keys", Role::Admin),
    ("DELETE", "/api/api-keys/{id}", Role::Admin),
    ("GET", "/api/audit-log", Role::Admin),
];

/// What only operators do: nothing of it is a tenant's.
const OPERATORS: &[(&str, &str)] = &[
    ("GET", "/api/tenants"),
    ("POST", "/api/tenants"),
    ("GET", "/api/tenants/{id}"),
    ("PATCH", "/api/tenants/{id}"),
    ("DELETE", "/api/tenants/{id}"),
];

/// The least role of an operation; `None` if it is one of operators.
pub(crate) fn needs(method: &str, path: &str) -> Option<Role> {
    if OPERATORS.contains(&(method, path)) {
        return None;
    }
    let needs = NEEDS.iter().find(|(m, p, _)| (*m, *p) == (method, path));
    Some(needs.unwrap_or_else(|| panic!("{method} {path} has no line in NEEDS")).2)
}

/// Every operation of tenants with its least role.
fn operations() -> Vec<(&'static str, &'static str, Role)> {
    let all = resources().flat_map(|at| methods(at).map(|method| (method, at.path)));
    all.filter_map(|(method, path)| Some((method, path, needs(method, path)?))).collect()
}

pub(crate) fn filled(path: &str) -> String {
    let path = path.replace("{id}", NOBODY).replace("{execution_id}", NOBODY);
    let path = path.replace("{tool_call_id}", NOBODY).replace("{invocationId}", NOBODY);
    let path = path.replace("{projectId}", NOBODY).replace("{agentId}", NOBODY);
    path.replace("{name}", "NAME").replace("{version}", "1")
}

/// Whether an operation's body, if it has one, is JSON.
fn takes_json(method: &str, path: &str) -> bool {
    let at = resources().find(|at| at.path == path).unwrap();
    let operation = at.operations.iter().find(|operation| operation.method.name() == method);
    operation.unwrap().body.is_none_or(|body| body.content_type == "application/json")
}

/// Nothing that would be accepted: this is about who asks.
fn body_of(method: &str) -> Option<Value> {
    matches!(method, "POST" | "PUT" | "PATCH").then(|| json!({}))
}

#[tokio::test]
async fn a_role_may_do_what_the_table_says_and_nothing_else() {
    let server = Server::start().await;
    for (method, path, needs) in operations() {
        let (takes_json, path) = (takes_json(method, path), filled(path));
        for role in [Role::Viewer, Role::Editor, Role::Admin, Role::Owner] {
            let body = body_of(method);
            let answer = server.call_as((server.ours, role), method, &path, body.as_ref()).await;
            if role >= needs {
                let passed = matches!(answer.status, 200 | 400 | 404)
                    || (answer.status == 415 && !takes_json);
                assert!(passed, "{role} {method} {path}: {answer:?}");
            } else {
                let refused = (answer.status, answer.code());
                assert_eq!(refused, (403, "insufficient_permissions"), "{role} {method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn nobody_may_do_anything() {
    let server = Server::start().await;
    let theirs = server.theirs.to_string();
    let bearer = format!("Bearer {}", server.token(server.ours, Role::Owner));
    for (method, path) in OPERATORS {
        let (path, body) = (filled(path), body_of(method));
        let answer = server.send(method, &path, &[], body.as_ref()).await;
        let refused = (answer.status, answer.code());
        assert_eq!(refused, (401, "authentication_required"), "{method} {path}");
    }
    for (method, path, _) in operations() {
        let (path, body) = (filled(path), body_of(method));
        let answer = server.send(method, &path, &[], body.as_ref()).await;
        let refused = (answer.status, answer.code());
        assert_eq!(refused, (401, "authentication_required"), "{method} {path}");

        let headers = [("authorization", bearer.as_str()), ("x-tenant-id", theirs.as_str())];
        let answer = server.send(method, &path, &headers, body.as_ref()).await;
        let refused = (answer.status, answer.code());
        assert_eq!(refused, (403, "tenant_mismatch"), "{method} {path}");
    }
}

#[tokio::test]
async fn operators_and_members_do_not_do_each_others_work() {
    let server = Server::start().await;
    let operator = format!("Bearer {}", server.operator_token());
    for (method, path, _) in operations() {
        let (path, body) = (filled(path), body_of(method));
        let headers = [("authorization", operator.as_str())];
        let answer = server.send(method, &path, &headers, body.as_ref()).await;
        let refused = (answer.status, answer.code());
        assert_eq!(refused, (403, "insufficient_permissions"), "{method} {path}");
    }
    for (method, path) in OPERATORS {
        let (path, body) = (filled(path), body_of(method));
        let owner = server.call_as((server.ours, Role::Owner), method, &path, body.as_ref()).await;
        let refused = (owner.status, owner.code());
        assert_eq!(refused, (403, "insufficient_permissions"), "{method} {path}");
        let headers = [("authorization", operator.as_str())];
        let answer = server.send(method, &path, &headers, body.as_ref()).await;
        assert!(matches!(answer.status, 200 | 400 | 404), "{method} {path}: {answer:?}");
    }
    let ours = server.ours.to_string();
    let headers = [("authorization", operator.as_str()), ("x-tenant-id", ours.as_str())];
    assert_eq!(server.send("GET", "/api/agents", &headers, None).await.code(), "tenant_mismatch");
}

#[tokio::test]
async fn tokens_that_are_none_are_refused_and_all_alike() {
    let server = Server::start().await;
    let now = SystemClock::default().now();
    let ours = server.ours;
    let claims = move |change: &dyn Fn(&mut Value)| {
        let mut claims = json!({
            "sub": "ana", "tenant_id": ours, "role": "owner", "iss": "recado", "aud": "recado",
            "iat": now.timestamp(), "nbf": now.timestamp(),
            "exp": (now + TimeDelta::minutes(5)).timestamp(),
        });
        change(&mut claims);
        claims
    };
    let sign = |claims: &Value, algorithm: Algorithm, key: &str| {
        let key = EncodingKey::from_secret(key.as_bytes());
        encode(&Header::new(algorithm), claims, &key).unwrap()
    };
    let good = sign(&claims(&|_| {}), Algorithm::HS256, JWT_SECRET);
    assert_eq!(with_token(&server, &good).await, 200);

    let (_, rest) = good.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let hs256 = |change: &dyn Fn(&mut Value)| sign(&claims(change), Algorithm::HS256, JWT_SECRET);
    let past = (now - TimeDelta::minutes(5)).timestamp();
    let future = (now + TimeDelta::minutes(5)).timestamp();
    let attacks = [
        // {"alg":"none"}, {"alg":"none","typ":"JWT"}
        format!("eyJhbGciOiJub25lIn0.{payload}."),
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.{signature}"),
        sign(&claims(&|_| {}), Algorithm::HS384, JWT_SECRET),
        sign(&claims(&|_| {}), Algorithm::HS256, "another-key-that-is-long-enough-as-well"),
        sign(&claims(&|_| {}), Algorithm::HS256, ""),
        hs256(&|c| c["exp"] = json!(past)),
        hs256(&|c| c["nbf"] = json!(future)),
        hs256(&|c| c["aud"] = json!("somebody-else")),
        hs256(&|c| c["iss"] = json!("somebody-else")),
        hs256(&|c| c["role"] = json!("root")),
        hs256(&|c| drop(c.as_object_mut().unwrap().remove("exp"))),
        hs256(&|c| drop(c.as_object_mut().unwrap().remove("tenant_id"))),
        good.replace('.', ""),
        format!("{good}x"),
        "a.b.c".to_owned(),
    ];
    let mut answers = Vec::new();
    for token in &attacks {
        let bearer = format!("Bearer {token}");
        let answer = server.send("GET", "/api/agents", &[("authorization", &bearer)], None).await;
        assert_eq!((answer.status, answer.code()), (401, "invalid_token"), "{token}");
        answers.push(answer.text);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "an answer tells what was nearly right");
}

#[tokio::test]
async fn a_token_that_outlived_its_tenant_writes_nothing() {
    let server = Server::start().await;
    let gone = (TenantId(Uuid::new_v4()), Role::Owner);
    let secret = json!({"name": "A", "value": "v"});
    let answer = server.call_as(gone, "POST", "/api/secrets", Some(&secret)).await;
    assert_eq!((answer.status, answer.code()), (403, "tenant_mismatch"));
    let list = server.call_as(gone, "GET", "/api/agents", None).await;
    assert_eq!(list.data(200), &json!([]));
}

async fn with_token(server: &Server, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    server.send("GET", "/api/agents", &[("authorization", &bearer)], None).await.status
}
