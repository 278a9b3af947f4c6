//! What cannot work is refused, and everything that is wrong with it is named.

use serde_json::{Value, json};

use crate::server::{Answer, Server, new_trigger};

const NOBODY: &str = "01930000-0000-7000-8000-000000000000";

#[tokio::test]
async fn every_mistake_of_a_trigger_is_named_references_included() {
    let server = Server::start().await;
    let mut trigger = new_trigger(NOBODY);
    trigger["name"] = json!("");
    trigger["color"] = json!("red");
    trigger["trigger_config"]["execution"]["callback"] = json!({
        "url": "https://api.example.com", "auth": {"type": "bearer", "secret_ref": "NO_SUCH"},
    });
    trigger["trigger_config"]["channel"] =
        json!({"type": "twilio_sms", "auth": {"type": "basic", "secret_ref": "NEITHER"}});
    let refused = server.post("/api/triggers", &trigger).await;
    assert_eq!(
        refused.paths(),
        [
            "name",
            "color",
            "agent_id",
            "trigger_config.channel.auth.secret_ref",
            "trigger_config.execution.callback.auth.secret_ref",
        ]
    );

    // With nothing but references wrong, all of those are named, too.
    trigger["name"] = json!("fine");
    trigger.as_object_mut().unwrap().remove("color");
    assert_eq!(server.post("/api/triggers", &trigger).await.paths(), refused.paths()[2..]);
    assert_eq!(server.get("/api/triggers").await.data(200), &json!([]));
}

#[tokio::test]
async fn a_secret_is_looked_for_wherever_a_configuration_names_one() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let mut trigger = new_trigger(&agent);
    trigger["trigger_config"]["channel"] = json!({
        "type": "meta_whatsapp",
        "auth": {"type": "bearer", "secret_ref": "TOKEN"},
        "signing_secret_ref": "APP_SECRET",
        "verify_token_ref": "VERIFY",
    });
    let refused = server.post("/api/triggers", &trigger).await;
    assert_eq!(
        refused.paths(),
        [
            "trigger_config.channel.auth.secret_ref",
            "trigger_config.channel.signing_secret_ref",
            "trigger_config.channel.verify_token_ref",
        ]
    );
    for name in ["TOKEN", "APP_SECRET", "VERIFY"] {
        server.post("/api/secrets", &json!({"name": name, "value": "v"})).await.data(201);
    }
    server.post("/api/triggers", &trigger).await.data(201);
}

#[tokio::test]
async fn a_configuration_is_judged_with_every_path() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let mut trigger = new_trigger(&agent);
    trigger["trigger_type"] = json!("carrier_pigeon");
    trigger["trigger_config"]["auth"]["type"] = json!("magic");
    trigger["trigger_config"]["execution"] =
        json!({"mode": "later", "timeout_ms": 1, "split_config": {"max_chunks": 51}});
    let refused = server.post("/api/triggers", &trigger).await;
    assert_eq!(
        refused.paths(),
        [
            "trigger_type",
            "trigger_config.auth.type",
            "trigger_config.execution.mode",
            "trigger_config.execution.timeout_ms",
            "trigger_config.execution.split_config.max_chunks",
        ]
    );
    let reason = refused.body["details"]["fields"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("webhook, schedule, db_event, email"), "{reason}");
}

#[tokio::test]
async fn a_patch_that_would_break_a_trigger_changes_nothing() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let path = format!("/api/triggers/{}", server.trigger(&agent).await);
    let before = server.get(&path).await.body;
    for (patch, paths) in [
        (json!({"webhook_secret": "whs_mine", "id": NOBODY}), vec!["id", "webhook_secret"]),
        (json!({"trigger_type": "webhook"}), vec!["trigger_type"]),
        (json!({"colour": 1, "name": null}), vec!["name", "colour"]),
        (json!({"agent_id": NOBODY}), vec!["agent_id"]),
        (json!({"app_id": NOBODY}), vec!["app_id"]),
        (json!({"app_id": "app_x", "app_webhook_url": "x"}), vec!["app_id", "app_webhook_url"]),
        (json!({"trigger_config": null}), vec!["trigger_config"]),
        (
            json!({"trigger_config": {"execution": {"mode": "later"}}}),
            vec!["trigger_config.execution.mode"],
        ),
        (json!({"trigger_config": {"oops": 1}}), vec!["trigger_config.oops"]),
        (json!([]), vec![""]),
    ] {
        assert_eq!(server.patch(&path, &patch).await.paths(), paths, "{patch}");
    }
    assert_eq!(server.get(&path).await.body, before);
}

#[tokio::test]
async fn agents_and_providers_refer_to_what_exists() {
    let server = Server::start().await;
    let agent = |model: &str| json!({"name": "a", "model": model, "system_prompt": "p"});
    for (body, paths) in [
        (agent("nobody.gpt-4.1"), vec!["model"]),
        (agent("gpt"), vec!["model"]),
        (agent("builtin.oracle"), vec!["model"]),
        (
            json!({"name": "a", "model": "x.y", "system_prompt": "", "project_id": NOBODY}),
            vec!["project_id", "model"],
        ),
        (
            json!({"name": "a", "model": "builtin.echo", "system_prompt": "p".repeat(100_001)}),
            vec!["system_prompt"],
        ),
    ] {
        assert_eq!(
            server.post("/api/agents", &body).await.paths(),
            paths,
            "{:.90}",
            body.to_string()
        );
    }
    let provider = json!({
        "name": "openai", "kind": "openai_compatible", "base_url": "https://api.example.com",
        "secret_ref": "NO_SUCH",
    });
    assert_eq!(server.post("/api/providers", &provider).await.paths(), ["secret_ref"]);
}

#[tokio::test]
async fn bodies_that_are_no_plain_json_are_refused() {
    let server = Server::start().await;
    let bearer = format!("Bearer {}", server.token(server.ours, recado_http::auth::Role::Owner));
    let post = async |content_type: &str, encoding: Option<&str>, body: Vec<u8>| {
        let mut request = recado_testkit::http_client()
            .post(format!("{}/api/secrets", server.base))
            .header("authorization", &bearer)
            .header("content-type", content_type)
            .body(body);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        (status, body["error"].as_str().unwrap().to_owned())
    };
    let json = "application/json";
    let fine = || br#"{"name": "A", "value": "v"}"#.to_vec();
    let refused = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(post("text/plain", None, fine()).await, refused(415, "unsupported_media_type"));
    assert_eq!(post(json, Some("gzip"), fine()).await, refused(415, "unsupported_media_type"));
    assert_eq!(post(json, None, b"{".to_vec()).await, refused(400, "malformed_body"));
    assert_eq!(post(json, None, vec![0xff]).await, refused(400, "malformed_body"));
    let nul = br#"{"name": "A", "value": "v\u0000"}"#.to_vec();
    assert_eq!(post(json, None, nul).await, refused(400, "invalid_input"));
    let twice = br#"{"name": "A", "value": "v", "value": "w"}"#.to_vec();
    assert_eq!(post(json, None, twice).await, refused(400, "invalid_input"));
    let large = vec![b' '; (1 << 20) + 1];
    assert_eq!(post(json, None, large).await, refused(413, "payload_too_large"));
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_told_in_our_words() {
    let server = Server::start().await;
    for path in ["/", "/api", "/api/triggers/", "/api/nothing", "/api/triggers/webhook/x"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{path}");
    }
    // Each surface in its own.
    for path in ["/manage", "/manage/x", "/manage/tenants/{tenantId}/projects"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{path}");
        assert_eq!(answer.body["reason"], "not_found", "{path}");
    }
    for path in ["/v1", "/v1/objectives", "/v1/objectives/x/", "/v1/objectives/%ff/cancel"] {
        let answer = server.post(path, &json!({})).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body["code"], 5, "{path}: {answer:?}");
    }
    for resource in recado_management::http::resources() {
        let path = resource.path.replace("{id}", NOBODY);
        let answer = server.send("TRACE", &path, &[], None).await;
        assert_eq!((answer.status, answer.code()), (405, "method_not_allowed"), "{path}");
        assert_eq!(answer.headers["allow"], resource.methods().as_str(), "{path}");
    }
}

#[tokio::test]
async fn head_says_what_get_would() {
    let server = Server::start().await;
    let owner = (server.ours, recado_http::auth::Role::Owner);
    let shown = |answer: &Answer| {
        let header = |name: &str| answer.headers.get(name).cloned();
        (answer.status, ["etag", "content-type", "content-length", "allow"].map(header))
    };
    let ours = recado_management::http::resources().map(|resource| resource.path);
    for path in ours.chain(["/openapi.json", "/docs", "/docs/page.css", "/docs/x"]) {
        let path = path.replace("{id}", NOBODY);
        let (get, head) =
            (server.get(&path).await, server.call_as(owner, "HEAD", &path, None).await);
        assert_eq!(head.text, "", "{path}");
        assert_eq!(shown(&head), shown(&get), "{path}");
    }
    let agent = format!("/api/agents/{}", server.agent().await);
    let (get, head) = (server.get(&agent).await, server.call_as(owner, "HEAD", &agent, None).await);
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(shown(&head), shown(&get));
    let nobody = server.send("HEAD", "/api/agents", &[], None).await;
    assert_eq!((nobody.status, nobody.text.as_str()), (401, ""));
    let bad = server.get("/api/triggers?name=%ff&limit=%c3").await;
    assert_eq!(bad.paths(), ["name", "limit"]);
}

#[tokio::test]
async fn ids_that_are_none_lead_nowhere() {
    let server = Server::start().await;
    for (path, code) in [
        ("/api/triggers/x", "trigger_not_found"),
        ("/api/triggers/x/executions", "trigger_not_found"),
        ("/api/agents/x", "agent_not_found"),
        ("/api/agents/x/versions/1", "agent_not_found"),
        ("/api/tools/%00", "tool_not_found"),
        ("/api/providers/%00", "provider_not_found"),
        ("/api/members/x", "member_not_found"),
        ("/api/apps/%00", "app_not_found"),
        ("/api/v1/sessions/x/trigger-context", "session_not_found"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.code()), (404, code), "{path}");
    }
    assert_eq!(server.delete("/api/secrets/%00").await.code(), "secret_not_found");
    assert_eq!(server.delete("/api/api-keys/x").await.code(), "not_found");
}
