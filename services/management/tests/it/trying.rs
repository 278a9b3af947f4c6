//! Tools tried and providers checked, against servers that are there.

use recado_testkit::mcp::McpStub;
use recado_testkit::model::Model;
use recado_testkit::stub::{Fault, Reply, Stub};
use recado_testkit::tool::Tool;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

const SECRET: &str = "canary-of-a-secret";

/// A server that may reach this machine.
async fn start() -> Server {
    let settings = [("RECADO_ALLOW_PRIVATE_DESTINATIONS", "127.0.0.0/8,::1/128")];
    let server = Server::start_with(&settings).await;
    keep_key(&server).await;
    server
}

async fn keep_key(server: &Server) {
    server.post("/api/secrets", &json!({"name": "KEY", "value": SECRET})).await.data(201);
}

async fn make(server: &Server, name: &str, kind: &str, config: Value) -> String {
    let tool = json!({"name": name, "kind": kind, "config": config});
    let id = server.post("/api/tools", &tool).await.id();
    format!("/api/tools/{id}/try")
}

fn error(answer: &Answer) -> (&str, &str) {
    let data = answer.data(200);
    assert_eq!(data["status"], "error", "{answer:?}");
    let text = |field: &str| data[field].as_str().unwrap();
    (text("error_code"), text("error_message"))
}

#[tokio::test]
async fn a_tool_is_called_as_an_agent_would() {
    let server = start().await;
    let tool = Tool::echoing();
    let config = json!({
        "method": "POST",
        "url": format!("{}/search", tool.url()),
        "auth": {"type": "api_key", "secret_ref": "KEY", "name": "key", "in": "query"},
        "parameters": {"type": "object", "properties": {
            "text": {"type": "string"}, "requesterId": {"type": "string"},
        }, "required": ["text"]},
        "defaults_from_context": {"body.requesterId": "requesterId"},
    });
    let path = make(&server, "search", "http", config).await;
    let body = json!({
        "arguments": {"text": "Ana", "requesterId": "mallory"},
        "context": {"requesterId": "u-17", "_token": "canary-of-a-context"},
    });
    let tried = server.post(&path, &body).await;
    let data = tried.data(200);
    assert_eq!(data["status"], "success", "{tried:?}");
    assert_eq!(data["error_code"], json!(null));
    let request = json!({
        "method": "POST", "url": format!("{}/search?key=%5Bhidden%5D", tool.url()),
    });
    assert_eq!(data["request"], request);
    let calls = tool.calls();
    assert_eq!(calls.len(), 1, "once, and no more");
    assert_eq!(calls[0].query, [("key".to_owned(), SECRET.to_owned())]);
    assert_eq!(calls[0].body, Some(json!({"text": "Ana", "requesterId": "u-17"})));
    assert!(calls[0].idempotency_key.is_some());
    let output = data["output"].as_str().unwrap();
    assert!(output.contains("u-17") && output.contains("[hidden]"), "{output}");
    assert!(!tried.text.contains("canary"), "{}", tried.text);

    tool.fail_next(1, &Fault::status(500));
    let failed = server.post(&path, &body).await;
    assert_eq!(error(&failed), ("status", "the tool answered with status 500"));
    let body = json!({"arguments": {}, "context": {"requesterId": "u"}});
    let misfit = server.post(&path, &body).await;
    assert_eq!(error(&misfit).0, "invalid_arguments");
    assert!(error(&misfit).1.contains("schema"), "{misfit:?}");
    assert_eq!(
        error(&server.post(&path, &json!({"arguments": {"text": "x"}})).await).0,
        "missing_context"
    );
    assert_eq!(misfit.data(200)["request"], json!(null));
    assert_eq!(tool.calls().len(), 2);

    let wrong =
        server.post(&path, &json!({"arguments": 1, "context": [], "tool": "", "x": 1})).await;
    assert_eq!(wrong.paths(), ["arguments", "context", "tool", "x"]);
    assert_eq!(server.post(&path, &json!({"tool": "x"})).await.paths(), ["tool"]);
}

#[tokio::test]
async fn of_an_mcp_server_one_tool_is_called() {
    let server = start().await;
    let schema = json!({"type": "object"});
    let mcp = McpStub::listing(json!([
        {"name": "find", "inputSchema": schema}, {"name": "drop", "inputSchema": schema},
    ]));
    let config = json!({
        "transport": "streamable_http", "url": mcp.url(),
        "auth": {"type": "bearer", "secret_ref": "KEY"},
    });
    let path = make(&server, "crm", "mcp", config).await;
    let tried = server.post(&path, &json!({"tool": "find", "arguments": {"a": 1}})).await;
    assert_eq!(tried.data(200)["output"], "ok", "{tried:?}");
    assert_eq!(tried.data(200)["request"], json!(null));
    let asked = mcp.asked("tools/call");
    assert_eq!(
        (asked.len(), &asked[0]["name"], &asked[0]["arguments"]),
        (1, &json!("find"), &json!({"a": 1}))
    );
    let which = server.post(&path, &json!({})).await;
    assert_eq!(which.paths(), ["tool"]);
    assert!(which.text.contains("find, drop"), "{}", which.text);

    let program = json!({"transport": "stdio", "command": "touch", "args": ["/tmp/never"]});
    let program = make(&server, "program", "mcp", program).await;
    let refused = server.post(&program, &json!({})).await;
    assert_eq!((refused.status, refused.code()), (400, "invalid_input"));
    assert!(refused.text.contains("program"), "{}", refused.text);
    let agent = make(&server, "ask", "agent", json!({"agent_id": server.agent().await})).await;
    let refused = server.post(&agent, &json!({"arguments": {"input": "x"}})).await;
    assert_eq!((refused.status, refused.code()), (400, "invalid_input"));
}

#[tokio::test]
async fn nothing_is_reached_that_agents_could_not_reach() {
    let server = Server::start().await;
    keep_key(&server).await;
    let (tool, model) = (Tool::echoing(), Model::start());
    let private = make(&server, "private", "http", json!({"url": tool.url()})).await;
    assert_eq!(error(&server.post(&private, &json!({})).await).0, "forbidden");
    let mcp = json!({"transport": "streamable_http", "url": tool.url()});
    let mcp = make(&server, "mcp", "mcp", mcp).await;
    assert_eq!(error(&server.post(&mcp, &json!({})).await).0, "forbidden");
    let hosts = json!({"destination_hosts": ["elsewhere.example.com"]});
    server.patch("/api/tenant", &hosts).await.data(200);
    let foreign = json!({"url": "https://api.example.com/"});
    let foreign = make(&server, "foreign", "http", foreign).await;
    assert_eq!(error(&server.post(&foreign, &json!({})).await).0, "destination_not_allowed");

    let provider = json!({
        "name": "p", "kind": "openai_compatible", "base_url": model.base_url(),
        "secret_ref": "KEY",
    });
    let provider = server.post("/api/providers", &provider).await.id();
    let checked = server.post(&format!("/api/providers/{provider}/check"), &json!({})).await;
    let data = checked.data(200);
    assert_eq!(data["reachable"], false, "{checked:?}");
    assert_eq!(data["error_code"], "forbidden_destination");
    assert_eq!((tool.received().len(), model.received().len()), (0, 0));
}

/// A provider with two models, that takes [`SECRET`] and repeats what it was given.
fn provider() -> Stub {
    Stub::start(|request| {
        let key = request.header("x-api-key").or_else(|| request.header("authorization"));
        let key = key.unwrap_or_default();
        if (request.method.as_str(), request.path.as_str()) != ("GET", "/v1/models") {
            return Reply::json(404, &json!({"error": {"message": key}}));
        }
        if !key.ends_with(SECRET) {
            return Reply::json(401, &json!({"error": {"message": format!("bad key {key}")}}));
        }
        Reply::json(200, &json!({"data": [{"id": "m-1"}, {"id": format!("m-{key}")}]}))
    })
}

#[tokio::test]
async fn a_provider_is_asked_for_its_models() {
    let server = start().await;
    server
        .post("/api/secrets", &json!({"name": "BAD", "value": "canary-of-another"}))
        .await
        .data(201);
    let stub = provider();
    let base_url = format!("{}/v1", stub.url());
    let check = async |name: &str, kind: &str, base_url: &str, secret: &str, model: Value| {
        let provider =
            json!({"name": name, "kind": kind, "base_url": base_url, "secret_ref": secret});
        let id = server.post("/api/providers", &provider).await.id();
        let checked = server.post(&format!("/api/providers/{id}/check"), &model).await;
        assert!(!checked.text.contains("canary"), "{}", checked.text);
        checked.data(200).clone()
    };
    for (name, kind) in [("a", "openai_compatible"), ("b", "anthropic")] {
        let checked = check(name, kind, &base_url, "KEY", json!({"model": "m-1"})).await;
        let told = ["reachable", "authorized", "model_listed", "status_code", "error_code"];
        let told = told.map(|field| &checked[field]);
        let expected = [json!(true), json!(true), json!(true), json!(200), json!(null)];
        assert_eq!(told, expected.each_ref(), "{kind}");
        assert_eq!(checked["models"][0], "m-1");
        assert!(checked["models"][1].as_str().unwrap().contains("[hidden]"), "{checked}");
    }
    let bad = check("c", "anthropic", &base_url, "BAD", json!({})).await;
    assert_eq!(
        [&bad["reachable"], &bad["authorized"], &bad["status_code"]],
        [&json!(true), &json!(false), &json!(401)]
    );
    assert_eq!(bad["model_listed"], json!(null));
    let other = check("d", "openai_compatible", &base_url, "KEY", json!({"model": "m-2"})).await;
    assert_eq!(other["model_listed"], false);

    let model = Model::start();
    let unlisted = check("e", "openai_compatible", &model.base_url(), "KEY", json!({})).await;
    assert_eq!([&unlisted["reachable"], &unlisted["authorized"]], [&json!(true), &json!(null)]);
    assert_eq!(unlisted["error_code"], "no_model_list");
    let gone = model.base_url();
    drop(model);
    let away = check("f", "openai_compatible", &gone, "KEY", json!({})).await;
    assert_eq!([&away["reachable"], &away["authorized"]], [&json!(false), &json!(null)]);
    assert_eq!(away["error_code"], "connect_failed");
}

#[tokio::test]
async fn a_secret_says_what_uses_it() {
    let server = Server::start().await;
    keep_key(&server).await;
    let agent = server.agent().await;
    let mut trigger = crate::server::new_trigger(&agent);
    trigger["trigger_config"]["execution"]["callback"] = json!({
        "url": "https://api.example.com", "auth": {"type": "bearer", "secret_ref": "KEY"},
    });
    let trigger = server.post("/api/triggers", &trigger).await.id();
    let auth = json!({"type": "bearer", "secret_ref": "KEY"});
    let tool = json!({
        "name": "t", "kind": "http", "config": {"url": "https://x.example.com", "auth": auth},
    });
    let tool = server.post("/api/tools", &tool).await.id();
    let provider = json!({
        "name": "p", "kind": "anthropic", "base_url": "https://x.example.com", "secret_ref": "KEY",
    });
    let provider = server.post("/api/providers", &provider).await.id();
    let shown = server.get("/api/secrets/KEY").await;
    let users = shown.data(200)["used_by"].as_array().unwrap();
    for (kind, id) in [("trigger", trigger), ("tool", tool), ("provider", provider)] {
        assert!(users.iter().any(|it| it["type"] == kind && it["id"] == id), "{kind}: {users:?}");
    }
    assert_eq!(users.len(), 3);
    assert!(!shown.text.contains("canary"), "{}", shown.text);
    assert_eq!(server.get("/api/secrets/OTHER").await.code(), "secret_not_found");
}

#[tokio::test]
async fn an_older_version_of_an_agent_is_restored_as_a_new_one() {
    let server = Server::start().await;
    let agent = json!({
        "name": "First", "model": "builtin.echo", "system_prompt": "one", "labels": {"a": "b"},
    });
    let path = format!("/api/agents/{}", server.post("/api/agents", &agent).await.id());
    let change = json!({"name": "Second", "system_prompt": "two", "labels": {"a": "c"}});
    server.patch(&path, &change).await.data(200);
    let restored = server.post(&format!("{path}/versions/1/restore"), &json!({})).await;
    let data = restored.data(200);
    let told = ["version", "name", "system_prompt"].map(|field| &data[field]);
    assert_eq!(told, [&json!(3), &json!("First"), &json!("one")]);
    assert_eq!(data["labels"], json!({"a": "c"}), "versions have none");
    assert_eq!(restored.headers["etag"], "\"3\"");
    let shown = server.get(&format!("{path}/versions/3")).await;
    assert_eq!(shown.data(200)["system_prompt"], "one");
    let again = server.post(&format!("{path}/versions/1/restore"), &json!({})).await;
    assert_eq!(again.data(200)["version"], 3, "nothing changed");
    for nothing in ["9", "x", "0"] {
        let path = format!("{path}/versions/{nothing}/restore");
        assert_eq!(server.post(&path, &json!({})).await.code(), "agent_not_found");
    }

    // What it refers to is judged as on any change.
    let tool = json!({"name": "t", "kind": "http", "config": {"url": "https://x.example.com"}});
    let tool = server.post("/api/tools", &tool).await.id();
    server.patch(&path, &json!({"tools": [tool]})).await.data(200);
    server.patch(&path, &json!({"tools": []})).await.data(200);
    assert_eq!(server.delete(&format!("/api/tools/{tool}")).await.status, 200);
    let dangling = server.post(&format!("{path}/versions/4/restore"), &json!({})).await;
    assert_eq!(dangling.paths(), ["tools[0]"]);
}
