//! Agents: all that can be said of one, and every version of it.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::server::Server;

const NOBODY: &str = "01930000-0000-7000-8000-000000000000";

async fn tool(server: &Server, name: &str) -> String {
    let tool = json!({"name": name, "kind": "http", "config": {"url": "https://api.example.com"}});
    server.post("/api/tools", &tool).await.id()
}

async fn provider(server: &Server) {
    let provider = json!({
        "name": "claude", "kind": "anthropic", "base_url": "https://api.example.com/v1",
    });
    assert_eq!(server.post("/api/providers", &provider).await.data(201)["kind"], "anthropic");
}

#[tokio::test]
async fn everything_that_is_said_of_an_agent_is_shown() {
    let server = Server::start().await;
    provider(&server).await;
    let (search, refund) = (tool(&server, "search").await, tool(&server, "refund").await);
    let said = json!({
        "name": "Sales",
        "external_id": "crm-7",
        "labels": {"team": "sales", "empty": ""},
        "description": "Sells.",
        "model": "claude.sonnet",
        "system_prompt": "You sell to {{company}}.",
        "sampling": {"temperature": 0.5, "max_output_tokens": 500, "stop": ["END"], "seed": 7},
        "limits": {"max_iterations": 3, "max_tool_calls": 4, "max_tokens": 100_000,
                   "max_cost_usd": 0.25, "max_tool_output_bytes": 4_096},
        "context_window": {"max_tokens": 8_000, "keep_turns": 2},
        "tools": [
            {"tool": search, "approval": "never"},
            {"tool": refund, "approval": {"when": "amount > `100`"}},
        ],
        "approval": {"expires_after_ms": 60_000},
        "variations": [{"name": "curt", "weight": 2, "system_prompt": "Be curt.", "tools": []}],
        "default_weight": 3,
    });
    let created = server.post("/api/agents", &said).await;
    let path = format!("/api/agents/{}", created.id());
    for shown in [created.data(201), server.get(&path).await.data(200)] {
        for (field, value) in said.as_object().unwrap() {
            assert_eq!(&shown[field], value, "{field}");
        }
        assert_eq!(shown["version"], 1);
    }

    // A bare id is a tool without approvals; what is not said is shown with its default.
    let plain =
        json!({"name": "a", "model": "builtin.echo", "system_prompt": "", "tools": [search]});
    let plain = server.post("/api/agents", &plain).await;
    let shown = plain.data(201);
    assert_eq!(shown["tools"], json!([{"tool": search, "approval": "never"}]));
    assert_eq!(shown["limits"]["max_iterations"], 10);
    assert_eq!(shown["context_window"], json!({"max_tokens": 32_000, "keep_turns": 4}));
    assert_eq!((&shown["labels"], &shown["external_id"]), (&json!({}), &Value::Null));
}

#[tokio::test]
async fn every_mistake_of_an_agent_is_named() {
    let server = Server::start().await;
    let wrong = json!({
        "name": "", "external_id": "", "labels": {"k": 1}, "model": "gpt", "system_prompt": "{{token}}",
        "sampling": {"temperature": 3, "warmth": 1}, "limits": {"max_iterations": 0},
        "context_window": {"keep_turns": -1}, "tools": ["x"], "approval": {"expires_after_ms": 1},
        "variations": [{"name": "default"}],
        "default_weight": 1_001, "colour": "red", "version": 2,
    });
    let refused = server.post("/api/agents", &wrong).await;
    let mut paths = refused.paths();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "approval.expires_after_ms",
            "colour",
            "context_window.keep_turns",
            "default_weight",
            "external_id",
            "labels.k",
            "limits.max_iterations",
            "model",
            "name",
            "sampling.temperature",
            "sampling.warmth",
            "system_prompt",
            "tools[0]",
            "variations[0].name",
            "version",
        ]
    );
    let in_vain = json!({
        "name": "a", "model": "nobody.gpt", "system_prompt": "", "project_id": NOBODY,
        "tools": [{"tool": NOBODY, "approval": "always"}],
        "variations": [{"name": "b", "model": "neither.gpt", "tools": [NOBODY]}],
    });
    let refused = server.post("/api/agents", &in_vain).await;
    assert_eq!(
        refused.paths(),
        ["project_id", "model", "variations[0].model", "tools[0]", "variations[0].tools[0]"]
    );
    assert_eq!(server.get("/api/agents").await.data(200), &json!([]));
}

#[tokio::test]
async fn a_patch_merges_and_its_result_is_judged() {
    let server = Server::start().await;
    let path = format!("/api/agents/{}", server.agent().await);
    let full = json!({
        "labels": {"team": "sales", "stage": "test"}, "external_id": "crm-7",
        "sampling": {"temperature": 0.5, "seed": 7}, "limits": {"max_iterations": 3},
    });
    server.patch(&path, &full).await.data(200);
    let change = json!({
        "labels": {"stage": null}, "external_id": null, "sampling": {"seed": null}, "limits": null,
    });
    let patched = server.patch(&path, &change).await;
    let shown = patched.data(200);
    assert_eq!(shown["labels"], json!({"team": "sales"}));
    assert_eq!(shown["sampling"], json!({"temperature": 0.5}));
    assert_eq!(
        (&shown["external_id"], &shown["limits"]["max_iterations"]),
        (&Value::Null, &json!(10))
    );
    assert_eq!(shown["version"], 3);

    for (patch, paths) in [
        (json!({"name": null}), vec!["name"]),
        (json!({"model": null, "system_prompt": null}), vec!["system_prompt", "model"]),
        (json!({"unknown": null, "id": NOBODY, "version": 9}), vec!["id", "version", "unknown"]),
        (json!({"limits": {"max_iterations": 101}}), vec!["limits.max_iterations"]),
        (json!({"tools": [NOBODY]}), vec!["tools[0]"]),
        (json!([]), vec![""]),
    ] {
        assert_eq!(server.patch(&path, &patch).await.paths(), paths, "{patch}");
    }
    assert_eq!(&server.get(&path).await.data(200)["version"], &json!(3));
}

#[tokio::test]
async fn every_change_is_a_version_and_what_changes_nothing_is_none() {
    let server = Server::start().await;
    let agent = server.agent().await;
    let path = format!("/api/agents/{agent}");
    for n in 0..3 {
        server.patch(&path, &json!({"system_prompt": format!("p{n}")})).await.data(200);
    }
    let same = json!({"system_prompt": "p2", "labels": {}, "name": "Echo", "sampling": null});
    assert_eq!(server.patch(&path, &same).await.data(200)["version"], 4);
    assert_eq!(server.patch(&path, &json!({})).await.data(200)["version"], 4);

    let mut seen = Vec::new();
    let mut next = format!("{path}/versions?limit=3");
    loop {
        let page = server.get(&next).await;
        for version in page.data(200).as_array().unwrap() {
            seen.push((version["version"].clone(), version["system_prompt"].clone()));
        }
        let Some(cursor) = page.body["pagination"]["next_cursor"].as_str() else { break };
        next = format!("{path}/versions?limit=3&cursor={cursor}");
    }
    let told = [(4, "p2"), (3, "p1"), (2, "p0"), (1, "")].map(|(n, p)| (json!(n), json!(p)));
    assert_eq!(seen, told);
    let first = server.get(&format!("{path}/versions/1")).await;
    assert_eq!(first.data(200)["agent_id"], json!(agent));
    assert_eq!(
        (&first.data(200)["name"], &first.data(200)["version"]),
        (&json!("Echo"), &json!(1))
    );
    for unknown in ["0", "5", "-1", "x", "99999999999999999999"] {
        let answer = server.get(&format!("{path}/versions/{unknown}")).await;
        assert_eq!((answer.status, answer.code()), (404, "agent_not_found"), "{unknown}");
    }

    // Executions name the versions of agents that are gone.
    server.delete(&path).await.data(200);
    assert_eq!(server.get(&path).await.code(), "agent_not_found");
    assert_eq!(server.get(&format!("{path}/versions/4")).await.data(200)["version"], 4);
    let nobody = format!("/api/agents/{NOBODY}/versions");
    assert_eq!(server.get(&nobody).await.code(), "agent_not_found");
}

#[tokio::test]
async fn concurrent_patches_of_one_agent_are_all_made_each_as_a_version() {
    let server = Server::start().await;
    let path = format!("/api/agents/{}", server.agent().await);
    let patches: Vec<_> = (0..6).map(|n| json!({"labels": {format!("l{n}"): "x"}})).collect();
    for answer in join_all(patches.iter().map(|patch| server.patch(&path, patch))).await {
        answer.data(200);
    }
    let shown = server.get(&path).await;
    assert_eq!(shown.data(200)["labels"].as_object().unwrap().len(), 6);
    assert_eq!(shown.data(200)["version"], 7);
    let versions = server.get(&format!("{path}/versions")).await;
    assert_eq!(versions.data(200).as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn an_external_id_is_one_agents_own_until_it_is_deleted() {
    let server = Server::start().await;
    let named = json!({
        "name": "a", "model": "builtin.echo", "system_prompt": "", "external_id": "crm-7",
    });
    let first = server.post("/api/agents", &named).await.id();
    let taken = server.post("/api/agents", &named).await;
    assert_eq!((taken.status, taken.code()), (409, "already_exists"));
    assert_eq!(taken.body["details"]["fields"][0]["path"], "external_id");
    let other = format!("/api/agents/{}", server.agent().await);
    let renamed = json!({"external_id": "crm-7"});
    assert_eq!(server.patch(&other, &renamed).await.code(), "already_exists");
    let them = (server.theirs, recado_http::auth::Role::Owner);
    server.call_as(them, "POST", "/api/agents", Some(&named)).await.data(201);
    server.delete(&format!("/api/agents/{first}")).await.data(200);
    server.patch(&other, &renamed).await.data(200);
}

#[tokio::test]
async fn what_an_agent_needs_is_kept_and_so_is_an_agent_that_a_tool_asks() {
    let server = Server::start().await;
    provider(&server).await;
    let provider = server.get("/api/providers").await.data(200)[0]["id"].clone();
    let provider = format!("/api/providers/{}", provider.as_str().unwrap());
    let helper = server.agent().await;
    let ask = json!({"name": "ask", "kind": "agent", "config": {"agent_id": helper}});
    let ask = server.post("/api/tools", &ask).await.id();
    let boss = json!({
        "name": "Boss", "model": "builtin.echo", "system_prompt": "", "tools": [ask],
        "variations": [{"name": "b", "model": "claude.sonnet"}],
    });
    let boss = server.post("/api/agents", &boss).await.id();
    let by_boss = json!([{"type": "agent", "id": boss, "name": "Boss"}]);
    for path in [provider.as_str(), &format!("/api/tools/{ask}")] {
        let kept = server.delete(path).await;
        assert_eq!((kept.status, kept.code()), (409, "conflict"), "{path}");
        assert_eq!(kept.body["details"]["used_by"], by_boss, "{path}");
    }
    let kept = server.delete(&format!("/api/agents/{helper}")).await;
    let by_tool = json!([{"type": "tool", "id": ask, "name": "ask"}]);
    assert_eq!(kept.body["details"]["used_by"], by_tool);

    // Two agents may ask each other: how deep that goes is limited when they run.
    let ask_back = json!({"name": "ask_back", "kind": "agent", "config": {"agent_id": boss}});
    let ask_back = server.post("/api/tools", &ask_back).await.id();
    server.patch(&format!("/api/agents/{helper}"), &json!({"tools": [ask_back]})).await.data(200);

    let let_go = json!({"tools": null, "variations": []});
    server.patch(&format!("/api/agents/{boss}"), &let_go).await.data(200);
    for path in [provider.as_str(), &format!("/api/tools/{ask}")] {
        server.delete(path).await.data(200);
    }
    server.delete(&format!("/api/agents/{helper}")).await.data(200);
}
