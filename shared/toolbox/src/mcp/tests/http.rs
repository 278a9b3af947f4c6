//! What is sent over HTTP, how connections are shared, and answers that are none.

use std::time::Instant;

use recado_testkit::mcp::McpStub;
use recado_testkit::stub::{Fault, Reply, Stub};
use recado_testkit::wait_for;
use recado_types::hosts::{DestinationHosts, HostAllowList};

use super::*;
use crate::hosts::ClosedHost;

#[tokio::test]
async fn a_call_carries_headers_credentials_and_its_key() {
    let stub = McpStub::listing(json!([{"name": "look", "inputSchema": {"type": "object"}}]));
    let config = json!({
        "transport": "streamable_http",
        "url": format!("{}/${{context.tenant}}", stub.url()),
        "headers": {"X-Tenant": "${context.tenant}"},
        "auth": {"type": "bearer", "secret_ref": "token"},
    });
    let given = Given::new(&config);
    let server = given.connect().await.unwrap();
    assert_eq!(call(&server, "look", json!({"at": 1})).await.unwrap().text, "ok");
    let requests = stub.received();
    assert!(requests.iter().all(|request| request.path == "/acme"));
    assert!(requests.iter().all(|request| request.header("x-tenant") == Some("acme")));
    let bearer = Some("Bearer hunter2 with spaces");
    assert!(requests.iter().all(|request| request.header("authorization") == bearer));
    let called = &stub.asked("tools/call")[0];
    assert_eq!(called["name"], "look");
    assert_eq!(called["arguments"], json!({"at": 1}));
    assert_eq!(called["_meta"]["recado/idempotency-key"], a_key().to_string());
}

#[tokio::test]
async fn a_key_in_the_query_reaches_the_server_and_no_error() {
    let stub = McpStub::listing(json!([]));
    let mut config = at(&stub.url());
    let key = json!({"type": "api_key", "secret_ref": "key", "name": "api_key", "in": "query"});
    config["auth"] = key;
    let given = Given::new(&config);
    stub.fail_always(Fault::Cut);
    let failed = given.connect().await.unwrap_err();
    assert_eq!(stub.received()[0].query, "api_key=k-3y");
    let mut told = format!("{failed:?}");
    let mut cause: Option<&dyn std::error::Error> = Some(&failed);
    while let Some(error) = cause {
        told.push_str(&error.to_string());
        cause = error.source();
    }
    assert!(!told.contains("k-3y") && !told.contains("127.0.0.1"), "{told}");
}

#[tokio::test]
async fn executions_share_a_connection_and_its_list_of_tools() {
    let stub = McpStub::listing(json!([{"name": "look", "inputSchema": {"type": "object"}}]));
    let mut given = Given::http(&stub.url());
    let (one, other) = tokio::join!(given.connect(), given.connect());
    drop((one.unwrap(), other.unwrap()));
    given.connect().await.unwrap();
    assert_eq!(stub.asked("initialize").len(), 1);
    assert_eq!(stub.asked("tools/list").len(), 1);
    // What was changed is another tool.
    given.updated_at += chrono::TimeDelta::seconds(1);
    given.connect().await.unwrap();
    assert_eq!(stub.asked("initialize").len(), 2);
}

#[tokio::test]
async fn other_headers_are_another_connection() {
    let stub = McpStub::listing(json!([]));
    let mut config = at(&stub.url());
    config["headers"] = json!({"X-Tenant": "${context.tenant}"});
    let mut given = Given::new(&config);
    given.connect().await.unwrap();
    given.context.insert("tenant".into(), "other".into());
    given.connect().await.unwrap();
    assert_eq!(stub.asked("initialize").len(), 2);
}

#[tokio::test]
async fn all_pages_are_read_up_to_the_limits() {
    let stub = McpStub::start(|method, params| {
        assert_eq!(method, "tools/list");
        let page: usize = params["cursor"].as_str().map_or(0, |page| page.parse().unwrap());
        let tools = (0..100).map(|n| {
            json!({
                "name": format!("tool-{page}-{n}"),
                "description": "é".repeat(10_000),
                "inputSchema": {"type": "object"},
            })
        });
        json!({"tools": tools.collect::<Vec<_>>(), "nextCursor": (page + 1).to_string()})
    });
    let server = Given::http(&stub.url()).connect().await.unwrap();
    assert_eq!(server.tools().len(), MOST_OFFERED);
    assert_eq!(stub.asked("tools/list").len(), 3);
    let is_cut = |tool: &McpToolInfo| tool.description_was_cut && tool.description.len() == 16_384;
    assert!(server.tools().iter().all(is_cut));

    let mut config = at(&stub.url());
    config["include"] = json!(["tool-1-7", "tool-2-50", "tool-2-99", "nothing"]);
    let server = Given::new(&config).connect().await.unwrap();
    let names: Vec<_> = server.tools().iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["tool-1-7", "tool-2-50"]);
}

#[tokio::test]
async fn a_list_without_end_ends() {
    let stub = McpStub::start(|_, _| json!({"tools": [], "nextCursor": "again"}));
    let server = Given::http(&stub.url()).connect().await.unwrap();
    assert!(server.tools().is_empty());
}

#[tokio::test]
async fn schemas_that_break_our_rules_are_not_offered() {
    let far = json!({"type": "object", "properties": {"a": {"$ref": "http://169.254.169.254/x"}}});
    let long = json!({"type": "object", "description": "x".repeat(70_000)});
    let fine = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let tools = json!([
        {"name": "far", "inputSchema": far},
        {"name": "long", "inputSchema": long},
        {"name": "fine", "inputSchema": fine},
        {"name": "fine", "inputSchema": {"type": "object"}},
        {"name": "", "inputSchema": {"type": "object"}},
        {"name": "n".repeat(300), "inputSchema": {"type": "object"}},
    ]);
    let stub = McpStub::listing(tools);
    let server = Given::http(&stub.url()).connect().await.unwrap();
    let open = json!({"type": "object"});
    let schemas: Vec<_> =
        server.tools().iter().map(|tool| (tool.name.as_str(), &tool.input_schema)).collect();
    assert_eq!(schemas, [("far", &open), ("long", &open), ("fine", &fine)]);
}

#[tokio::test]
async fn no_server_leads_elsewhere() {
    let stub = McpStub::listing(json!([]));
    for status in [301, 302, 303, 307, 308] {
        let target = Reply::text(status, "").with_header("Location", "http://169.254.169.254/mcp");
        stub.fail_always(Fault::Answer(target));
        let refused = Given::http(&stub.url()).connect().await.unwrap_err();
        assert_eq!(refused.code(), "unreachable", "{refused:?}");
    }
    assert!(stub.received().iter().all(|request| request.path == "/"));
}

#[tokio::test]
async fn closed_addresses_stay_closed() {
    for url in ["http://169.254.169.254/mcp", "http://10.0.0.1/mcp", "http://localhost:22/mcp"] {
        let refused = Given::http(url).connect().await.unwrap_err();
        assert_eq!(refused.code(), "forbidden", "{url}: {refused:?}");
        assert_eq!(refused.told(), "the tool may not be reached from here");
    }
}

#[tokio::test]
async fn a_host_of_the_context_must_be_on_the_tenants_list() {
    let stub = McpStub::listing(json!([]));
    let url = stub.url().replace("127.0.0.1", "${context.host}");
    let mut given = Given::http(&url);
    let refused = given.connect().await.unwrap_err();
    assert!(matches!(refused, McpError::Closed(ClosedHost::NotAllowed)), "{refused:?}");
    let port = stub.url().rsplit(':').next().unwrap().to_owned();
    given.hosts.led = HostAllowList::of([format!("127.0.0.1:{port}")]);
    given.connect().await.unwrap();
}

#[tokio::test]
async fn a_server_must_be_one_of_the_tenants_destinations() {
    let stub = McpStub::listing(json!([]));
    let mut given = Given::http(&stub.url());
    given.hosts.destinations = DestinationHosts::of(&["mcp.example.com"]);
    let refused = given.connect().await.unwrap_err();
    assert_eq!(refused.code(), "destination_not_allowed", "{refused:?}");
    assert_eq!(refused.told(), "the tool may not be reached from here");
    assert!(!refused.is_passing());
    assert_eq!(stub.count(), 0);
    let address = stub.url().replace("http://", "");
    given.hosts.destinations = DestinationHosts::of(&[address]);
    given.connect().await.unwrap();
}

#[tokio::test]
async fn a_server_that_says_nothing_is_left_alone_for_a_while() {
    let stub = McpStub::listing(json!([]));
    stub.fail_always(Fault::Hang);
    let given = Given::http(&stub.url());
    let silent = given.connect_within(LONG_ENOUGH).await.unwrap_err();
    assert_eq!(silent.code(), "timeout");
    let n_requests = stub.count();
    let at = Instant::now();
    let silent = given.connect().await.unwrap_err();
    assert_eq!(silent.code(), "timeout");
    assert!(at.elapsed() < LONG_ENOUGH);
    assert_eq!(stub.count(), n_requests);
}

#[tokio::test]
async fn a_server_that_is_away_for_a_moment_is_found() {
    let stub = McpStub::listing(json!([{"name": "look", "inputSchema": {"type": "object"}}]));
    for fault in [Fault::Cut, Fault::Answer(Reply::text(503, ""))] {
        stub.fail_next(1, &fault);
        assert_eq!(Given::http(&stub.url()).connect().await.unwrap().tools().len(), 1, "{fault:?}");
    }
    // One that is there and refuses is not asked twice.
    let no_key = Reply::text(401, "").with_header("WWW-Authenticate", "Bearer");
    stub.fail_next(1, &Fault::Answer(no_key));
    let refused = Given::http(&stub.url()).connect().await.unwrap_err();
    assert!(!refused.is_passing(), "{refused:?}");
}

#[tokio::test]
async fn a_connection_that_broke_unnoticed_is_replaced() {
    let n_listed = std::sync::atomic::AtomicUsize::new(0);
    let stub = Stub::start(move |request| {
        let message = request.json().unwrap_or_default();
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "stub", "version": "1"},
            }),
            "tools/list" if n_listed.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 => {
                return Reply::text(503, "");
            }
            "tools/list" => json!({"tools": [{"name": "a", "inputSchema": {"type": "object"}}]}),
            _ => return Reply::text(202, ""),
        };
        Reply::json(200, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}))
    });
    assert_eq!(Given::http(&stub.url()).connect().await.unwrap().tools().len(), 1);
}

#[tokio::test]
async fn nonsense_is_an_error_that_repeats_none_of_it() {
    let stub = McpStub::listing(json!([]));
    let nonsense = [
        Reply::text(200, "hunter2"),
        Reply::text(500, "hunter2"),
        Reply::text(404, "hunter2"),
        Reply::new(200, "application/json", "{\"hunter2\":"),
        Reply::new(200, "application/json", "{\"hunter2\": 1}"),
        Reply::new(200, "text/event-stream", "data: hunter2\n\n"),
        Reply::new(401, "text/plain", "hunter2").with_header("WWW-Authenticate", "hunter2"),
    ];
    for reply in nonsense {
        stub.fail_always(Fault::Answer(reply.clone()));
        let failed = Given::http(&stub.url()).connect_within(LONG_ENOUGH).await.unwrap_err();
        assert!(!format!("{failed:?}").contains("hunter2"), "{failed:?}");
        assert!(!failed.told().contains("hunter2"), "{reply:?}");
    }
}

#[tokio::test]
async fn a_long_answer_is_cut_and_one_that_is_far_too_long_is_refused() {
    let stub = McpStub::start(|method, params| {
        if method == "tools/list" {
            return json!({"tools": [{"name": "talk", "inputSchema": {"type": "object"}}]});
        }
        let n_bytes = params["arguments"]["bytes"].as_u64().unwrap();
        let text = "x".repeat(usize::try_from(n_bytes).unwrap());
        json!({"content": [{"type": "text", "text": text}]})
    });
    let mut config = at(&stub.url());
    config["max_response_bytes"] = 1_000.into();
    let server = Given::new(&config).connect().await.unwrap();
    let said = call(&server, "talk", json!({"bytes": 2_000})).await.unwrap();
    assert_eq!((said.text.len(), said.truncated), (1_000, true));
    let refused = call(&server, "talk", json!({"bytes": 20 << 20})).await.unwrap_err();
    assert_eq!(refused.code(), "unreachable", "{refused:?}");
    // The connection is replaced.
    let said = call(&server, "talk", json!({"bytes": 10})).await.unwrap();
    assert_eq!((said.text.len(), said.truncated), (10, false));
    assert_eq!(stub.asked("initialize").len(), 2);
}

#[tokio::test]
async fn an_answer_that_never_comes_costs_its_time_and_is_called_off() {
    let stub = McpStub::listing(json!([{"name": "wait", "inputSchema": {"type": "object"}}]));
    let server = Given::http(&stub.url()).connect().await.unwrap();
    stub.fail_next(1, &Fault::Hang);
    let late = call_within(IMPATIENT, &server, "wait", json!({})).await;
    assert!(matches!(late, Err(McpError::Timeout)), "{late:?}");
    wait_for("the call to be cancelled", PATIENT, async || {
        (!stub.asked("notifications/cancelled").is_empty()).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(call(&server, "wait", json!({})).await.unwrap().text, "ok");
}

#[tokio::test]
async fn a_server_that_no_longer_knows_the_old_handshake_is_greeted_in_the_new_way() {
    let stub = Stub::start(|request| {
        let message = request.json().unwrap();
        let mut answer = match message["method"].as_str().unwrap() {
            "initialize" => json!({"error": {"code": -32_601, "message": "no such method"}}),
            "server/discover" => json!({"result": {
                "resultType": "complete",
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "modern", "version": "1"},
                "ttlMs": 0,
                "cacheScope": "private",
            }}),
            "tools/list" => json!({"result": {
                "resultType": "complete",
                "tools": [{"name": "look", "inputSchema": {"type": "object"}}],
                "ttlMs": 3_600_000,
                "cacheScope": "private",
            }}),
            _ => json!({"result": {
                "resultType": "complete",
                "content": [{"type": "text", "text": "new"}],
            }}),
        };
        answer["jsonrpc"] = "2.0".into();
        answer["id"] = message["id"].clone();
        Reply::json(200, &answer)
    });
    let server = Given::http(&stub.url()).connect().await.unwrap();
    assert_eq!(call(&server, "look", json!({})).await.unwrap().text, "new");
}
