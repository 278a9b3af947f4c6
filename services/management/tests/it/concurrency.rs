//! Changes at the same time: made one after the other, or refused; never lost.

use futures_util::future::join_all;
use serde_json::json;

use crate::server::{Server, new_trigger};

#[tokio::test]
async fn concurrent_patches_are_all_made() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let path = format!("/api/triggers/{}", server.trigger(&agent).await);
    let patches: Vec<_> = (0..8)
        .map(|n| {
            let field = format!("field{n}");
            json!({"trigger_config": {"context_mapping": {field: "$.x"}}})
        })
        .collect();
    let answers = join_all(patches.iter().map(|patch| server.patch(&path, patch))).await;
    for answer in &answers {
        answer.data(200);
    }
    let shown = server.get(&path).await;
    let mapping = shown.data(200)["trigger_config"]["context_mapping"].as_object().unwrap();
    assert_eq!(mapping.len(), 1 + 8, "{mapping:?}");
    assert_eq!(shown.data(200)["version"], 1 + 8);
}

#[tokio::test]
async fn concurrent_changes_of_agents_and_providers_are_all_made() {
    let server = Server::start().await;
    let agent = format!("/api/agents/{}", server.agent().await);
    let provider = json!({
        "name": "openai", "kind": "openai_compatible", "base_url": "https://api.example.com",
    });
    let provider =
        format!("/api/providers/{}", server.post("/api/providers", &provider).await.id());
    let price = json!({"m": {"input_per_million_usd": 1, "output_per_million_usd": 2}});
    let (name, prompt) = (json!({"name": "n"}), json!({"system_prompt": "p"}));
    let (url, prices) = (json!({"base_url": "https://b.example.com"}), json!({"prices": price}));
    let answers = join_all([
        server.patch(&agent, &name),
        server.patch(&agent, &prompt),
        server.patch(&provider, &url),
        server.patch(&provider, &prices),
    ]);
    for answer in answers.await {
        answer.data(200);
    }
    let shown = server.get(&agent).await;
    assert_eq!(shown.data(200)["name"], "n");
    assert_eq!(shown.data(200)["system_prompt"], "p");
    let shown = server.get(&provider).await;
    assert_eq!(shown.data(200)["base_url"], "https://b.example.com");
    assert_eq!(shown.data(200)["prices"], price);
}

#[tokio::test]
async fn a_reference_and_its_deletion_never_both_succeed() {
    let server = Server::start().await;
    let agent = server.agent().await;
    for round in 0..8 {
        let name = format!("KEY{round}");
        server.post("/api/secrets", &json!({"name": name, "value": "v"})).await.data(201);
        let mut trigger = new_trigger(&agent);
        trigger["trigger_config"]["execution"]["callback"] = json!({
            "url": "https://api.example.com", "auth": {"type": "bearer", "secret_ref": name},
        });
        let path = format!("/api/secrets/{name}");
        let (created, deleted) =
            tokio::join!(server.post("/api/triggers", &trigger), server.delete(&path));
        let outcome = (created.status, deleted.status);
        assert!(matches!(outcome, (201, 409) | (400, 200)), "{created:?} {deleted:?}");
    }
}

#[tokio::test]
async fn of_two_secrets_with_one_name_one_is_made() {
    let server = Server::start().await;
    let (one, other) = (json!({"name": "A", "value": "1"}), json!({"name": "A", "value": "2"}));
    let (one, other) =
        tokio::join!(server.post("/api/secrets", &one), server.post("/api/secrets", &other));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}
