//! API keys, and tokens of an identity provider.

use std::time::Duration;

use chrono::TimeDelta;
use recado_clock::{Clock, SystemClock};
use recado_http::auth::Role;
use recado_management::http::resources;
use recado_testkit::identity_provider::{IdentityProvider, SigningKey};
use recado_testkit::wait_for;
use recado_types::scope::Scope;
use serde_json::{Value, json};

use crate::access::{filled, needs};
use crate::server::{Answer, Server, methods};

const PATIENCE: Duration = Duration::from_secs(20);

/// What a key needs for an address, by what the address is about. An address that is missing here
/// fails the test.
fn scope_of(path: &str) -> Scope {
    let about = [
        ("/api/triggers/{id}/executions", Scope::ReadExecutions),
        ("/api/triggers", Scope::ReadTriggers),
        ("/api/executions", Scope::ReadExecutions),
        ("/api/tool-calls", Scope::ReadExecutions),
        ("/api/sessions", Scope::ReadSessions),
        ("/api/v1/sessions", Scope::ReadSessions),
        ("/api/windows", Scope::ReadSessions),
        ("/api/deliveries", Scope::ReadDeliveries),
        ("/api/event-endpoints", Scope::ReadEvents),
        ("/api/event-deliveries", Scope::ReadEvents),
        ("/api/agents", Scope::ReadAgents),
        ("/api/tools", Scope::ReadAgents),
        ("/api/providers", Scope::ReadAgents),
        ("/api/tenant", Scope::ReadDirectory),
        ("/api/projects", Scope::ReadDirectory),
        ("/api/members", Scope::ReadDirectory),
        ("/api/apps", Scope::ReadDirectory),
        ("/api/usage", Scope::ReadDirectory),
        ("/api/dead-letters", Scope::ReadOperations),
        ("/api/destinations", Scope::ReadOperations),
        (
            "/manage/tenants/{tenantId}/projects/{projectId}/agents/{agentId}/triggers/{id}/invocations",
            Scope::ReadExecutions,
        ),
        ("/manage/", Scope::ReadTriggers),
    ];
    let found = about.into_iter().find(|(prefix, _)| path.starts_with(prefix));
    found.unwrap_or_else(|| panic!("{path} has no line in scope_of")).1
}

async fn with_key(server: &Server, key: &str, method: &str, path: &str) -> Answer {
    let body = (method != "GET").then(|| json!({}));
    server.send(method, path, &[("x-api-key", key)], body.as_ref()).await
}

async fn make(server: &Server, key: &Value) -> String {
    server.post("/api/api-keys", key).await.data(201)["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_reads_what_its_scopes_say_and_writes_nothing() {
    let server = Server::start().await;
    let mut operations = Vec::new();
    for at in resources() {
        operations.extend(methods(at).map(|method| (method, at.path)));
    }
    for scope in Scope::ALL {
        let key = make(&server, &json!({"name": scope.name(), "scopes": [scope.name()]})).await;
        for (method, path) in &operations {
            // With a scope, the rest is refused as well; once is enough for what writes.
            let reads = *method == "GET" && needs(method, path) == Some(Role::Viewer);
            if !reads && scope != Scope::Read {
                continue;
            }
            let answer = with_key(&server, &key, method, &filled(path)).await;
            let may = reads && (scope_of(path) == scope || scope == Scope::Read);
            if may {
                assert!(matches!(answer.status, 200 | 400 | 404), "{scope} {path}: {answer:?}");
            } else {
                let refused = (answer.status, answer.code());
                let what = format!("{scope} {method} {path}");
                assert_eq!(refused, (403, "insufficient_permissions"), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_says_what_it_is_for_until_when_and_when_it_was_used() {
    let server = Server::start().await;
    let everything = server.post("/api/api-keys", &json!({"name": "plain"})).await;
    let shown = everything.data(201);
    assert_eq!(shown["scopes"], json!(["read", "webhooks:send"]));
    assert_eq!((&shown["expires_at"], &shown["last_used_at"]), (&Value::Null, &Value::Null));
    let wrong = json!({
        "name": "", "scopes": ["read", "triggers:write"], "expires_at": "2020-01-01T00:00:00Z",
        "last_used_at": "2020-01-01T00:00:00Z",
    });
    let refused = server.post("/api/api-keys", &wrong).await;
    assert_eq!(refused.paths(), ["name", "scopes[1]", "expires_at", "last_used_at"]);
    let refused = server.post("/api/api-keys", &json!({"name": "n", "scopes": []})).await;
    assert_eq!(refused.paths(), ["scopes"]);

    let tomorrow = SystemClock::default().now() + TimeDelta::days(1);
    let limited = json!({
        "name": "n8n", "scopes": ["agents:read", "agents:read"], "expires_at": tomorrow.to_rfc3339(),
    });
    let made = server.post("/api/api-keys", &limited).await;
    let (id, key) = (made.id(), made.data(201)["key"].as_str().unwrap());
    assert_eq!(made.data(201)["scopes"], json!(["agents:read"]));
    for _ in 0..3 {
        assert_eq!(with_key(&server, key, "GET", "/api/agents").await.status, 200);
    }
    let listed = server.get("/api/api-keys").await;
    assert!(!listed.text.contains(key));
    let keys = listed.data(200).as_array().unwrap();
    let used = keys.iter().find(|key| key["id"] == *id).unwrap();
    let last_used_at = used["last_used_at"].as_str().unwrap();
    assert!(last_used_at.ends_with(":00Z"), "{last_used_at} is to the minute");
    assert!(keys.iter().any(|key| key["name"] == "plain" && key["last_used_at"].is_null()));

    server.execute("UPDATE api_keys SET expires_at = now() WHERE name = 'n8n'").await;
    let expired = with_key(&server, key, "GET", "/api/agents").await;
    let unknown =
        with_key(&server, &key.replace("rcd_", "rcd_x")[..44], "GET", "/api/agents").await;
    assert_eq!((expired.status, expired.code()), (401, "invalid_api_key"));
    assert_eq!(expired.text, unknown.text, "an answer tells what was nearly right");
}

/// What somebody of the provider's says of themselves.
fn claims(server: &Server) -> Value {
    json!({
        "sub": "ana@example.com", "https://recado.test/tenant": server.ours,
        "https://recado.test/role": "viewer", "iss": "https://id.example.com",
        "aud": ["recado", "others"], "exp": SystemClock::default().now().timestamp() + 300,
    })
}

async fn status_of(server: &Server, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    server.send("GET", "/api/agents", &[("authorization", &bearer)], None).await.status
}

#[tokio::test]
async fn keys_of_an_identity_provider_are_rotated_without_a_restart_and_outlive_its_outage() {
    let (old, new) = (SigningKey::p256("2025"), SigningKey::ed25519("2026"));
    let provider = IdentityProvider::start(&[&old]);
    let server = Server::start_with(&[
        ("RECADO_JWT_SECRET", ""),
        ("RECADO_JWT_JWKS_URL", &provider.jwks_url()),
        ("RECADO_JWT_ISSUER", "https://id.example.com"),
        ("RECADO_JWT_TENANT_CLAIM", "https://recado.test/tenant"),
        ("RECADO_JWT_ROLE_CLAIM", "https://recado.test/role"),
    ])
    .await;
    let answered = async || provider.received().first().and_then(|first| first.answered);
    wait_for("a look for the keys", PATIENCE, answered).await.unwrap();

    provider.publish(&[&old, &new]);
    assert_eq!(status_of(&server, &new.sign(&claims(&server))).await, 200);
    assert_eq!(status_of(&server, &old.sign(&claims(&server))).await, 200);
    let looks = provider.count();

    // Nobody has it ask by making keys up, and what is signed with a shared secret is nobody's.
    for kid in ["2027", "../2025", "2025"] {
        let made_up = SigningKey::p256(kid);
        assert_eq!(status_of(&server, &made_up.sign(&claims(&server))).await, 401);
    }
    assert_eq!(status_of(&server, &server.token(server.ours, Role::Owner)).await, 401);
    assert_eq!(provider.count(), looks);

    drop(provider);
    for key in [&old, &new] {
        assert_eq!(status_of(&server, &key.sign(&claims(&server))).await, 200);
    }
}
