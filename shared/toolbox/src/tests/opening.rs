//! Toolboxes out of the database.

use recado_clock::{Clock, SystemClock};
use recado_store::agents::{self, AgentDraft};
use recado_store::tenants::{self, EnsureTenant};
use recado_store::tools::{self as stored, ToolDraft};
use recado_store::{Keyring, Store, secrets};
use recado_testkit::mcp::McpStub;
use recado_testkit::stub::{Fault, Reply, Stub};
use recado_testkit::tool::Tool;
use recado_testkit::{TestDatabase, database};
use recado_types::agent::{AgentSpec, AgentTool, Limits};
use recado_types::{AgentId, ProjectId, SecretId, TenantId};
use serde_json::json;

use super::super::{Delegate, Named, Tools};
use super::*;

const KEYS: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const OTHERS: TenantId = TenantId(Uuid::from_u128(2));
const PROJECT: ProjectId = ProjectId(Uuid::from_u128(3));
const AGENT: AgentId = AgentId(Uuid::from_u128(4));

struct Bench {
    store: Store,
    clock: SystemClock,
    _database: TestDatabase,
}

impl Bench {
    async fn start() -> Self {
        let database = database().await;
        let config = recado_store::Config::new(database.url(), 2, "test");
        let store = Store::new(&config, Keyring::parse(KEYS).unwrap()).unwrap();
        let clock = SystemClock::default();
        for (id, project_id) in [(TENANT, PROJECT), (OTHERS, ProjectId(Uuid::from_u128(5)))] {
            let tenant = EnsureTenant { id, project_id, name: "t" };
            tenants::ensure(&store, &tenant, clock.now()).await.unwrap();
        }
        Self { store, clock, _database: database }
    }

    async fn save(&self, tenant: TenantId, id: u128, name: &str, kind: ToolKind, config: Value) {
        let spec = ToolSpec::from_saved(kind, &config).unwrap();
        let draft = ToolDraft {
            name: name.into(),
            description: String::new(),
            kind,
            secret_refs: spec.secret_refs().iter().map(|(_, name)| (*name).to_owned()).collect(),
            agent_id: spec.agent_id(),
            config,
        };
        let id = ToolId(Uuid::from_u128(id));
        let saved = stored::create(&self.store, tenant, id, &draft, self.clock.now()).await;
        assert!(matches!(saved.unwrap(), stored::Saved::Saved(_)));
    }

    async fn open(&self, ids: impl IntoIterator<Item = u128>) -> Toolbox {
        let tools = Tools::new(self.store.clone(), client(), Vec::new());
        let offered: Vec<AgentTool> = ids
            .into_iter()
            .map(|id| AgentTool {
                tool: ToolId(Uuid::from_u128(id)),
                approval: ApprovalRule::Always,
            })
            .collect();
        let context = object(json!({"_key": "canary-hidden-1"}));
        tools.open(TENANT, &offered, &context, &Limits::default()).await.unwrap()
    }
}

fn names(toolbox: &Toolbox) -> Vec<&str> {
    toolbox.definitions().iter().map(|tool| tool.name.as_str()).collect()
}

#[tokio::test]
async fn an_agent_is_offered_its_tools_and_what_is_away_is_left_out() {
    let (bench, tool) = (Bench::start().await, Tool::echoing());
    let now = bench.clock.now();
    let secret = SecretId(Uuid::from_u128(9));
    secrets::create(&bench.store, TENANT, secret, "KEY", "canary-bearer-1", now).await.unwrap();
    let auth = json!({"type": "bearer", "secret_ref": "KEY"});
    let config = json!({"method": "POST", "url": tool.url(), "auth": auth});
    bench.save(TENANT, 11, "mine", ToolKind::Http, config.clone()).await;
    let theirs = json!({"method": "POST", "url": tool.url()});
    bench.save(OTHERS, 12, "theirs", ToolKind::Http, theirs).await;
    let away = json!({"transport": "stdio", "command": "/bin/not-listed"});
    bench.save(TENANT, 13, "away", ToolKind::Mcp, away).await;

    let toolbox = bench.open([13, 12, 11, 14]).await;
    assert_eq!(names(&toolbox), ["mine"]);
    let mine = Named::Tool { id: ToolId(Uuid::from_u128(11)), name: "mine" };
    assert_eq!((toolbox.named("mine"), toolbox.named("theirs")), (Some(mine), None));
    let mut request = asks("{}");
    request.name = "mine".into();
    let Prepared::Ready(call) = toolbox.prepare(&request) else { panic!("refused") };
    assert!(call.needs_approval);
    let outcome = toolbox.call(&call, key(), PATIENCE).await;
    assert_eq!(tool.calls()[0].authorization.as_deref(), Some("Bearer canary-bearer-1"));
    assert!(outcome.output.contains("[hidden]") && !outcome.output.contains("canary"));
    let text = "canary-hidden-1 and canary-bearer-1";
    assert_eq!(toolbox.redact(text), "[hidden] and [hidden]");
}

#[tokio::test]
async fn what_is_asked_of_a_server_that_is_away_may_be_asked_later() {
    let (bench, tool) = (Bench::start().await, Tool::echoing());
    let stub = McpStub::listing(json!([{"name": "read", "inputSchema": {"type": "object"}}]));
    stub.fail_always(Fault::Cut);
    let config = |url: String| json!({"transport": "streamable_http", "url": url});
    bench.save(TENANT, 31, "files", ToolKind::Mcp, config(stub.url())).await;
    let closed = config("http://169.254.169.254/mcp".into());
    bench.save(TENANT, 32, "closed", ToolKind::Mcp, closed).await;
    let mine = json!({"method": "POST", "url": tool.url()});
    bench.save(TENANT, 33, "mine", ToolKind::Http, mine).await;

    let toolbox = bench.open([31, 32, 33]).await;
    assert_eq!(names(&toolbox), ["mine"]);
    let prepared = |name: &str| {
        let request = ToolRequest { name: name.into(), ..asks("{}") };
        match toolbox.prepare(&request) {
            Prepared::Refused { tool_id, message, unreachable, .. } => {
                (tool_id.map(|id| id.0.as_u128()), message, unreachable)
            }
            Prepared::Ready(call) => panic!("not refused: {call:?}"),
        }
    };
    let away = "the tool `files__read` cannot be reached at present".to_owned();
    assert_eq!(prepared("files__read"), (Some(31), away, true));
    for name in ["closed__read", "files", "other__read"] {
        let (tool_id, message, unreachable) = prepared(name);
        assert_eq!((tool_id, unreachable), (None, false), "{name}");
        assert!(message.starts_with("there is no tool"), "{message}");
    }
}

#[tokio::test]
async fn what_a_server_says_is_scrubbed_before_it_is_cut() {
    let bench = Bench::start().await;
    let stub = Stub::start(|request| {
        let message = request.json().unwrap_or_default();
        let description = format!("{}canary-hidden-1", "x".repeat(4_090));
        let refusal = format!("{}canary-hidden-1", "y".repeat(990));
        let refusal = json!({"code": -32_602, "message": refusal});
        let mut answer = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({"result": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "stub", "version": "1"},
            }}),
            "tools/list" => json!({"result": {"tools": [
                {"name": "read", "description": description, "inputSchema": {"type": "object"}},
            ]}}),
            "tools/call" => json!({"error": refusal}),
            _ => return Reply::text(202, ""),
        };
        (answer["jsonrpc"], answer["id"]) = ("2.0".into(), message["id"].clone());
        Reply::json(200, &answer)
    });
    let config = json!({"transport": "streamable_http", "url": stub.url()});
    bench.save(TENANT, 41, "files", ToolKind::Mcp, config).await;

    let toolbox = bench.open([41]).await;
    let described = &toolbox.definitions()[0].description;
    assert!(described.len() < 4_200 && !described.contains("cana"), "{described}");
    let request = ToolRequest { name: "files__read".into(), ..asks("{}") };
    let Prepared::Ready(call) = toolbox.prepare(&request) else { panic!("refused") };
    let outcome = toolbox.call(&call, key(), PATIENCE).await;
    let error = outcome.error.unwrap();
    assert!(error.starts_with("the tool refused the call: yyy"), "{error}");
    assert!(error.len() < 1_100 && !error.contains("cana"), "{error}");
    assert!(!outcome.output.contains("cana"), "{}", outcome.output);
}

#[tokio::test]
async fn another_agent_is_a_tool_whose_calls_are_delegated() {
    let bench = Bench::start().await;
    let spec = json!({"model": "builtin.echo", "system_prompt": "", "description": "Knows all."});
    let draft = AgentDraft {
        project_id: PROJECT,
        name: "librarian".into(),
        external_id: None,
        labels: agents::Labels::default(),
        spec: AgentSpec::from_saved(&spec).unwrap(),
    };
    agents::create(&bench.store, TENANT, AGENT, &draft, bench.clock.now()).await.unwrap();
    bench.save(TENANT, 21, "ask", ToolKind::Agent, json!({"agent_id": AGENT.to_string()})).await;

    let toolbox = bench.open([21]).await;
    assert_eq!(toolbox.definitions()[0].description, "Asks librarian. Knows all.");
    let mut request = asks(r#"{"input": "where?"}"#);
    request.name = "ask".into();
    let Prepared::Ready(call) = toolbox.prepare(&request) else { panic!("refused") };
    let delegate = Delegate { agent_id: AGENT, input: "where?".into() };
    assert_eq!(call.delegate, Some(delegate));
    assert_eq!(toolbox.named("ask"), Some(Named::Agent { id: AGENT, name: "librarian" }));
    request.arguments = "{}".into();
    assert!(matches!(toolbox.prepare(&request), Prepared::Refused { .. }));
}

#[tokio::test]
async fn an_agent_without_tools_has_an_empty_box() {
    let toolbox = Bench::start().await.open([]).await;
    assert!(toolbox.definitions().is_empty());
    assert_eq!(toolbox.redact("canary-hidden-1"), "[hidden]");
}
