//! The whole life of everything that can be configured.

use serde_json::json;

use crate::server::{Server, new_trigger};

#[tokio::test]
async fn a_trigger_lives_from_post_to_delete() {
    let server = Server::start().await;
    let agent = server.agent().await;

    let created = server.post("/api/triggers", &new_trigger(&agent)).await;
    let data = created.data(201);
    let id = created.id();
    let secret = data["webhook_secret"].as_str().unwrap();
    assert!(secret.starts_with("whs_") && secret.len() == 47, "{secret}");
    assert_eq!(data["agent_id"], json!(agent));
    assert_eq!(data["trigger_type"], "webhook");
    assert_eq!(data["enabled"], true);
    assert_eq!(data["version"], 1);
    let url = format!("https://recado.example.com/api/triggers/webhook/{id}");
    assert_eq!(created.body["webhook_url"], json!(url));
    assert_eq!(created.headers["location"], format!("/api/triggers/{id}").as_str());
    assert!(data["created_at"].as_str().unwrap().ends_with('Z'));

    let path = format!("/api/triggers/{id}");
    let shown = server.get(&path).await;
    assert_eq!(shown.data(200)["name"], "ERP Chat Integration");
    assert!(!shown.text.contains("webhook_secret"), "{}", shown.text);

    let renamed = json!({
        "name": "Renamed",
        "trigger_config": {"query_extraction": {"mode": "full_body", "field": null}},
    });
    let patched = server.patch(&path, &renamed).await;
    assert_eq!(patched.data(200)["name"], "Renamed");
    assert_eq!(patched.data(200)["version"], 2);
    let config = &patched.data(200)["trigger_config"];
    assert_eq!(config["query_extraction"], json!({"mode": "full_body"}));
    assert_eq!(config["auth"], json!({"type": "api_key"}));

    let off = server.post(&format!("{path}/disable"), &json!({})).await;
    assert_eq!((&off.data(200)["enabled"], &off.data(200)["version"]), (&json!(false), &json!(3)));
    let again = server.post(&format!("{path}/disable"), &json!({})).await;
    assert_eq!(again.data(200)["version"], 3);
    let on = server.post(&format!("{path}/enable"), &json!({})).await;
    assert_eq!(on.data(200)["enabled"], true);

    let stats = server.get("/api/triggers/stats").await;
    assert_eq!(stats.data(200)["triggers"]["total"], 1);
    assert_eq!(stats.data(200)["executions"]["total"], 0);
    let types = server.get("/api/triggers/types").await;
    assert_eq!(types.data(200)[0]["type"], "webhook");

    assert_eq!(server.delete(&path).await.body, json!({"success": true}));
    assert_eq!(server.get(&path).await.code(), "trigger_not_found");
    assert_eq!(server.delete(&path).await.status, 404);
    assert_eq!(server.patch(&path, &json!({"name": "x"})).await.status, 404);
    assert_eq!(server.get("/api/triggers").await.data(200), &json!([]));
    let history = server.get(&format!("{path}/executions")).await;
    assert_eq!(history.data(200), &json!([]), "what happened can still be looked up");
}

#[tokio::test]
async fn an_agent_lives_and_is_kept_while_a_trigger_needs_it() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let path = format!("/api/agents/{agent}");
    let patched = server.patch(&path, &json!({"system_prompt": "Be brief."})).await;
    assert_eq!(patched.data(200)["system_prompt"], "Be brief.");
    assert_eq!(patched.data(200)["version"], 2);
    assert_eq!(patched.data(200)["name"], "Echo");

    let trigger = server.trigger(&agent).await;
    let refused = server.delete(&path).await;
    assert_eq!((refused.status, refused.code()), (409, "conflict"));
    let user = json!({"type": "trigger", "id": trigger, "name": "ERP Chat Integration"});
    assert_eq!(refused.body["details"]["used_by"], json!([user]));

    server.delete(&format!("/api/triggers/{trigger}")).await.data(200);
    server.delete(&path).await.data(200);
    assert_eq!(server.get(&path).await.code(), "agent_not_found");
    let orphan = server.post("/api/triggers", &new_trigger(&agent)).await;
    assert_eq!(orphan.paths(), ["agent_id"]);
}

#[tokio::test]
async fn providers_and_secrets_are_kept_while_something_needs_them() {
    let server = Server::start().await;
    let secret = server.post("/api/secrets", &json!({"name": "OPENAI_KEY", "value": "sk-1"})).await;
    assert_eq!(secret.data(201)["name"], "OPENAI_KEY");
    let again = server.post("/api/secrets", &json!({"name": "OPENAI_KEY", "value": "sk-2"})).await;
    assert_eq!((again.status, again.code()), (409, "already_exists"));

    let provider = json!({
        "name": "openai", "kind": "openai_compatible", "base_url": "https://api.example.com/v1/",
        "secret_ref": "OPENAI_KEY",
        "prices": {"gpt-4.1": {"input_per_million_usd": 2, "output_per_million_usd": 8}},
    });
    let created = server.post("/api/providers", &provider).await;
    assert_eq!(created.data(201)["base_url"], "https://api.example.com/v1");
    let provider_path = format!("/api/providers/{}", created.id());
    let again = server.post("/api/providers", &provider).await;
    assert_eq!(
        (again.code(), &again.body["details"]["fields"][0]["path"]),
        ("already_exists", &json!("name"))
    );

    let agent = json!({"name": "Sales", "model": "openai.gpt-4.1", "system_prompt": "Sell."});
    let agent = server.post("/api/agents", &agent).await.id();
    assert_eq!(server.delete(&provider_path).await.code(), "conflict");
    let kept = server.delete("/api/secrets/OPENAI_KEY").await;
    assert_eq!(kept.body["details"]["used_by"][0]["type"], "provider");

    let replaced = json!({"value": "sk-3"});
    let path = "/api/secrets/OPENAI_KEY";
    let owner = (server.ours, recado_http::auth::Role::Owner);
    assert_eq!(server.call_as(owner, "PUT", path, Some(&replaced)).await.status, 200);
    assert_eq!(server.patch(path, &replaced).await.status, 200);
    let opened = recado_store::webhooks::secret(&server.store, server.ours, "OPENAI_KEY").await;
    assert_eq!(opened.unwrap().as_deref(), Some("sk-3"));

    let keyless = server.patch(&provider_path, &json!({"secret_ref": null})).await;
    assert_eq!(keyless.data(200)["secret_ref"], json!(null));
    server.delete(path).await.data(200);
    assert_eq!(server.delete(path).await.code(), "secret_not_found");
    assert_eq!(server.patch(&provider_path, &provider_secret()).await.paths(), ["secret_ref"]);
    server.delete(&format!("/api/agents/{agent}")).await.data(200);
    server.delete(&provider_path).await.data(200);
}

fn provider_secret() -> serde_json::Value {
    json!({"secret_ref": "OPENAI_KEY"})
}

#[tokio::test]
async fn a_secret_in_a_trigger_is_kept_until_the_trigger_lets_go() {
    let server = Server::start().await;
    let agent = server.agent().await;
    server.post("/api/secrets", &json!({"name": "KEY", "value": "v"})).await.data(201);
    let mut trigger = new_trigger(&agent);
    trigger["trigger_config"]["execution"]["callback"] = json!({
        "url": "https://api.example.com/messages", "auth": {"type": "bearer", "secret_ref": "KEY"},
    });
    let id = server.post("/api/triggers", &trigger).await.id();
    let kept = server.delete("/api/secrets/KEY").await;
    assert_eq!(kept.body["details"]["used_by"][0]["id"], json!(id));
    let let_go = json!({"trigger_config": {"execution": {"callback": {"auth": null}}}});
    server.patch(&format!("/api/triggers/{id}"), &let_go).await.data(200);
    server.delete("/api/secrets/KEY").await.data(200);
}

#[tokio::test]
async fn an_api_key_reads_until_it_is_revoked() {
    let server = Server::start().await;
    let created = server.post("/api/api-keys", &json!({"name": "n8n"})).await;
    let key = created.data(201)["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with(created.data(201)["prefix"].as_str().unwrap()));

    let headers = [("x-api-key", key.as_str())];
    assert_eq!(server.send("GET", "/api/triggers", &headers, None).await.status, 200);
    let listed = server.get("/api/api-keys").await;
    assert_eq!(listed.data(200)[0]["name"], "n8n");
    assert!(!listed.text.contains(&key), "{}", listed.text);

    let path = format!("/api/api-keys/{}", created.id());
    let revoked_at = server.delete(&path).await.data(200)["revoked_at"].clone();
    assert!(revoked_at.is_string());
    assert_eq!(server.delete(&path).await.data(200)["revoked_at"], revoked_at);
    let refused = server.send("GET", "/api/triggers", &headers, None).await;
    assert_eq!((refused.status, refused.code()), (401, "invalid_api_key"));
}

#[tokio::test]
async fn the_webhook_secret_that_was_shown_is_the_one_that_is_kept() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let created = server.post("/api/triggers", &new_trigger(&agent)).await;
    let id = created.id().parse().unwrap();
    let kept = recado_store::webhooks::trigger(&server.store, id).await.unwrap().unwrap();
    assert_eq!(created.data(201)["webhook_secret"], json!(kept.webhook_secret));
}
