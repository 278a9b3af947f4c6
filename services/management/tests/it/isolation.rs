//! Two tenants: what belongs to one looks to the other like what does not exist.

use recado_clock::{Clock, SystemClock};
use recado_http::auth::Role;
use recado_management::http::operation::Resource;
use serde_json::{Value, json};

use crate::dead_letters::bury;
use crate::executions::{DELIVERY, EXECUTION, SESSION, TOOL_CALL, insert_execution};
use crate::server::{Server, methods, new_trigger};

/// What tenants have; operators, who have none, are refused everywhere else and the other way
/// round (`access.rs`).
fn resources() -> impl Iterator<Item = &'static Resource> {
    recado_management::http::resources().filter(|at| !at.path.starts_with("/api/tenants"))
}

/// One of everything, of ours.
struct Ours {
    agent: String,
    /// Where the agent is.
    home: String,
    trigger: String,
    tool: String,
    member: String,
    app: String,
    project: String,
    provider: String,
    api_key: String,
    dead_letter: String,
    event_endpoint: String,
    event_delivery: String,
}

async fn one_of_everything(server: &Server) -> Ours {
    let agent = server.agent().await;
    let trigger = server.trigger(&agent).await;
    insert_execution(server, &trigger, &agent).await;
    server.post("/api/secrets", &json!({"name": "NAME", "value": "v"})).await.data(201);
    let provider = json!({
        "name": "openai", "kind": "openai_compatible", "base_url": "https://api.example.com",
    });
    let tool = json!({"name": "ask", "kind": "agent", "config": {"agent_id": agent}});
    let event_endpoint = server.post("/api/event-endpoints", &event_endpoint()).await.id();
    let sent =
        server.post(&format!("/api/event-endpoints/{event_endpoint}/test"), &json!({})).await;
    Ours {
        event_delivery: sent.data(202)["id"].as_str().unwrap().to_owned(),
        event_endpoint,
        tool: server.post("/api/tools", &tool).await.id(),
        member: server.post("/api/members", &member()).await.id(),
        app: server.post("/api/apps", &json!({"name": "Sales"})).await.id(),
        provider: server.post("/api/providers", &provider).await.id(),
        api_key: server.post("/api/api-keys", &json!({"name": "k"})).await.id(),
        dead_letter: bury(server, server.ours, 1).await,
        project: server.post("/api/projects", &json!({"name": "North"})).await.id(),
        home: server.home_of(&agent).await,
        agent,
        trigger,
    }
}

impl Ours {
    fn ids(&self) -> [&String; 10] {
        let Self { agent, trigger, tool, member, app, provider, api_key, dead_letter, .. } = self;
        let Self { event_endpoint, event_delivery, .. } = self;
        [
            agent,
            trigger,
            tool,
            member,
            app,
            provider,
            api_key,
            dead_letter,
            event_endpoint,
            event_delivery,
        ]
    }

    /// A path that leads to something of ours.
    fn filled(&self, path: &str) -> String {
        let id = match path.split('/').nth(2) {
            Some("tenants" | "triggers" | "destinations") => &self.trigger,
            Some("agents") => &self.agent,
            Some("tools") => &self.tool,
            Some("members") => &self.member,
            Some("apps") => &self.app,
            Some("projects") => &self.project,
            Some("providers") => &self.provider,
            Some("api-keys") => &self.api_key,
            Some("dead-letters") => &self.dead_letter,
            Some("event-endpoints") => &self.event_endpoint,
            Some("event-deliveries") => &self.event_delivery,
            Some("deliveries") => DELIVERY,
            Some("executions" | "objectives") => EXECUTION,
            _ => SESSION,
        };
        let path = path.replace("{id}", id).replace("{execution_id}", EXECUTION);
        let path = path.replace("{tool_call_id}", TOOL_CALL).replace("{invocationId}", EXECUTION);
        let path = path.replace("{projectId}", &self.home).replace("{agentId}", &self.agent);
        path.replace("{name}", "NAME").replace("{version}", "1")
    }
}

fn member() -> Value {
    json!({"name": "Ana", "phone": "+5511999990000", "email": "ana@example.com"})
}

fn event_endpoint() -> Value {
    json!({"name": "audit", "url": "https://hooks.example.com/"})
}

/// A body that would be accepted if the thing were theirs.
fn body_of(method: &str, path: &str) -> Option<Value> {
    let body = match path {
        path if path.contains("/secrets/") => json!({"value": "x"}),
        path if path.ends_with("/messages") => json!({"text": "Hello."}),
        path if path.ends_with("/test") => json!({"payload": {}}),
        path if path.ends_with("/recover") => json!({"since": SystemClock::default().now()}),
        _ => json!({}),
    };
    matches!(method, "POST" | "PUT" | "PATCH").then_some(body)
}

#[tokio::test]
async fn nothing_of_ours_exists_for_them() {
    let server = Server::start().await;
    let ours = one_of_everything(&server).await;
    let them = (server.theirs, Role::Owner);
    for resource in resources().filter(|resource| resource.path.contains('{')) {
        for method in methods(resource) {
            let path = ours.filled(resource.path);
            let body = body_of(method, &path);
            let answer = server.call_as(them, method, &path, body.as_ref()).await;
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
            assert!(answer.code().ends_with("not_found"));
        }
    }
    let is_shown = |at: &&'static Resource| methods(at).any(|method| method == "GET");
    for resource in resources().filter(is_shown).filter(|at| !at.path.contains('{')) {
        let answer = server.call_as(them, "GET", resource.path, None).await;
        // What they tried above was theirs to try: it is told to them.
        let is_of_what_they_did = resource.path == "/api/audit-log";
        for id in ours.ids().into_iter().filter(|_| !is_of_what_they_did) {
            assert!(!answer.text.contains(id.as_str()), "GET {}: {}", resource.path, answer.text);
        }
        if let Some(items) = answer.data(200).as_array() {
            // Everybody has a project from the beginning.
            let has_some = ["/api/triggers/types", "/api/projects", "/api/audit-log"];
            let is_fine = items.is_empty() || has_some.contains(&resource.path);
            assert!(is_fine, "GET {}: {}", resource.path, answer.text);
        }
    }
    let stats = server.call_as(them, "GET", "/api/triggers/stats", None).await;
    assert_eq!(stats.data(200)["triggers"]["total"], 0);
    assert_eq!(stats.data(200)["executions"]["total"], 0);
}

#[tokio::test]
async fn they_changed_nothing_of_ours() {
    let server = Server::start().await;
    let ours = one_of_everything(&server).await;
    let them = (server.theirs, Role::Owner);
    for resource in resources().filter(|resource| resource.path.contains('{')) {
        for method in methods(resource).filter(|method| *method != "GET") {
            let path = ours.filled(resource.path);
            server.call_as(them, method, &path, body_of(method, &path).as_ref()).await;
        }
    }
    for resource in resources().filter(|resource| resource.path.contains('{')) {
        if methods(resource).any(|method| method == "GET") {
            let path = ours.filled(resource.path);
            assert_eq!(server.get(&path).await.status, 200, "{path}");
        }
    }
    let session = server.get(&format!("/api/sessions/{SESSION}")).await;
    assert_eq!(session.data(200)["status"], "active");
    let value = recado_store::webhooks::secret(&server.store, server.ours, "NAME").await;
    assert_eq!(value.unwrap().as_deref(), Some("v"));
    let trigger = ours.trigger.parse().unwrap();
    let trigger = recado_store::webhooks::trigger(&server.store, trigger).await.unwrap().unwrap();
    assert_eq!(trigger.previous_webhook_secret, None, "it was rotated");
    assert_eq!(server.get("/api/api-keys").await.data(200)[0]["revoked_at"], json!(null));
    let delivery = server.get(&format!("/api/deliveries/{DELIVERY}")).await;
    assert_eq!(delivery.data(200)["round"], 1);
    let endpoint = server.get(&format!("/api/event-endpoints/{}", ours.event_endpoint)).await;
    assert_eq!(endpoint.data(200)["previous_secret_expires_at"], json!(null));
    let sent =
        server.get(&format!("/api/event-endpoints/{}/deliveries", ours.event_endpoint)).await;
    assert_eq!(sent.data(200).as_array().unwrap().len(), 1);
    assert_eq!(sent.data(200)[0]["round"], 1);
}

#[tokio::test]
async fn they_cannot_refer_to_anything_of_ours() {
    let server = Server::start().await;
    let ours = one_of_everything(&server).await;
    let them = (server.theirs, Role::Owner);
    let refused = async |path: &str, body: Value| {
        let answer = server.call_as(them, "POST", path, Some(&body)).await;
        answer.paths().join(" ")
    };
    assert_eq!(refused("/api/triggers", new_trigger(&ours.agent)).await, "agent_id");
    let mut channel = new_trigger(&ours.agent);
    channel["app_id"] = json!(ours.app);
    assert_eq!(refused("/api/triggers", channel).await, "agent_id app_id");
    let agent = json!({"name": "a", "model": "openai.gpt-4.1", "system_prompt": ""});
    assert_eq!(refused("/api/agents", agent).await, "model");
    let project = server.get(&format!("/api/agents/{}", ours.agent)).await;
    let project = &project.data(200)["project_id"];
    let agent =
        json!({"name": "a", "model": "builtin.echo", "system_prompt": "", "project_id": project});
    assert_eq!(refused("/api/agents", agent).await, "project_id");
    let agent = json!({
        "name": "a", "model": "builtin.echo", "system_prompt": "", "tools": [ours.tool],
    });
    assert_eq!(refused("/api/agents", agent).await, "tools[0]");
    let mut endpoint = event_endpoint();
    endpoint["agent_id"] = json!(ours.agent);
    assert_eq!(refused("/api/event-endpoints", endpoint).await, "agent_id");
    let tool = json!({"name": "t", "kind": "agent", "config": {"agent_id": ours.agent}});
    assert_eq!(refused("/api/tools", tool).await, "config.agent_id");
    let tool = json!({
        "name": "t", "kind": "http",
        "config": {"url": "https://x.example.com", "auth": {"type": "basic", "secret_ref": "NAME"}},
    });
    assert_eq!(refused("/api/tools", tool).await, "config.auth.secret_ref");
    let provider = json!({
        "name": "p", "kind": "openai_compatible", "base_url": "https://x.example.com",
        "secret_ref": "NAME",
    });
    assert_eq!(refused("/api/providers", provider).await, "secret_ref");
}

#[tokio::test]
async fn two_tenants_may_have_the_same_member() {
    let server = Server::start().await;
    server.post("/api/members", &member()).await.data(201);
    let them = (server.theirs, Role::Owner);
    server.call_as(them, "POST", "/api/members", Some(&member())).await.data(201);
}

#[tokio::test]
async fn a_cursor_of_ours_is_of_no_use_to_them() {
    let server = Server::start().await;
    server.agent().await;
    server.agent().await;
    let page = server.get("/api/agents?limit=1").await;
    let cursor = page.body["pagination"]["next_cursor"].as_str().unwrap();
    let path = format!("/api/agents?limit=1&cursor={cursor}");
    assert_eq!(server.get(&path).await.status, 200);
    let them = (server.theirs, Role::Owner);
    assert_eq!(server.call_as(them, "GET", &path, None).await.paths(), ["cursor"]);
}

#[tokio::test]
async fn no_secret_comes_back() {
    const CANARY: &str = "canary-5f0c1f7e9b2d4a6c8e0f";
    let server = Server::start().await;
    let agent = server.agent().await;
    let mut answers = Vec::new();
    let secret = json!({"name": "NAME", "value": CANARY});
    answers.push(server.post("/api/secrets", &secret).await.text);
    answers.push(server.post("/api/secrets", &secret).await.text);
    answers.push(server.patch("/api/secrets/NAME", &json!({"value": CANARY})).await.text);
    let mistaken = json!({"name": CANARY, "value": {"inner": CANARY}});
    answers.push(server.post("/api/secrets", &mistaken).await.text);

    let mut trigger = new_trigger(&agent);
    trigger["trigger_config"]["execution"]["callback"] = json!({
        "url": "https://api.example.com", "auth": {"type": "bearer", "secret_ref": "NAME"},
    });
    let created = server.post("/api/triggers", &trigger).await;
    let first_secret = created.data(201)["webhook_secret"].as_str().unwrap().to_owned();
    let created_key = server.post("/api/api-keys", &json!({"name": "k"})).await;
    let api_key = created_key.data(201)["key"].as_str().unwrap().to_owned();
    let id = created.id();
    let path = format!("/api/triggers/{id}");
    let rotated = server.post(&format!("{path}/rotate-secret"), &json!({})).await;
    let webhook_secret = rotated.data(200)["webhook_secret"].as_str().unwrap().to_owned();
    assert!(!rotated.text.contains(&first_secret), "{}", rotated.text);
    insert_execution(&server, &id, &agent).await;
    let made = server.post("/api/event-endpoints", &event_endpoint()).await;
    let event_secret = made.data(201)["secret"].as_str().unwrap().to_owned();
    let endpoint = format!("/api/event-endpoints/{}", made.id());
    let rotated = server.post(&format!("{endpoint}/rotate-secret"), &json!({})).await;
    let next_secret = rotated.data(200)["secret"].as_str().unwrap().to_owned();
    assert!(!rotated.text.contains(&event_secret), "{}", rotated.text);
    let sent = server.post(&format!("{endpoint}/test"), &json!({})).await;
    let event_delivery = sent.data(202)["id"].as_str().unwrap().to_owned();
    answers.push(server.patch(&endpoint, &json!({"name": "other"})).await.text);
    answers.push(server.patch(&path, &json!({"name": "other"})).await.text);
    answers.push(server.post(&format!("{path}/disable"), &json!({})).await.text);
    answers.push(server.delete("/api/secrets/NAME").await.text);

    for resource in resources().filter(|resource| methods(resource).any(|method| method == "GET")) {
        let ours = Ours {
            agent: agent.clone(),
            home: server.home_of(&agent).await,
            trigger: id.clone(),
            tool: id.clone(),
            member: id.clone(),
            app: id.clone(),
            project: id.clone(),
            provider: id.clone(),
            api_key: id.clone(),
            dead_letter: id.clone(),
            event_endpoint: made.id(),
            event_delivery: event_delivery.clone(),
        };
        let answer = server.get(&ours.filled(resource.path)).await;
        assert!(answer.status < 500, "{answer:?}");
        answers.push(answer.text);
    }
    answers.push(server.delete(&format!("/api/api-keys/{}", created_key.id())).await.text);
    for answer in answers {
        for secret in
            [CANARY, &first_secret, &webhook_secret, &api_key, &event_secret, &next_secret]
        {
            assert!(!answer.contains(secret), "{answer}");
        }
    }
    let in_the_clear =
        format!("SELECT count(*) FROM secrets WHERE position('{CANARY}'::bytea IN sealed) > 0");
    let kept = recado_testkit::sql::count(server.database.url(), &in_the_clear);
    assert_eq!(kept.await.unwrap(), 0, "it is kept in the clear");
    let in_the_clear = format!(
        "SELECT count(*) FROM triggers
          WHERE position('{first_secret}'::bytea IN previous_webhook_secret_sealed) > 0
             OR position('{webhook_secret}'::bytea IN webhook_secret_sealed) > 0"
    );
    let kept = recado_testkit::sql::count(server.database.url(), &in_the_clear);
    assert_eq!(kept.await.unwrap(), 0, "it is kept in the clear");
    let in_the_clear = format!(
        "SELECT count(*) FROM event_endpoints
          WHERE position('{event_secret}'::bytea IN previous_secret_sealed) > 0
             OR position('{next_secret}'::bytea IN secret_sealed) > 0"
    );
    let kept = recado_testkit::sql::count(server.database.url(), &in_the_clear);
    assert_eq!(kept.await.unwrap(), 0, "it is kept in the clear");
}
