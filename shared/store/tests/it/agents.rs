//! Agents: every version stays, what they refer to stays, and whoever runs them gets it all.

use recado_store::agents::{self, AgentDraft, Saved};
use recado_store::references::{Deletion, UsedBy};
use recado_store::tools::{self, ToolDraft};
use recado_store::{secrets, tenants};
use recado_types::agent::AgentSpec;
use recado_types::tool::ToolKind;
use recado_types::{AgentId, ProjectId, SecretId, TenantId, ToolId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::{AGENT, Fixture, TENANT, now};

const PROJECT: ProjectId = ProjectId(Uuid::from_u128(2));
const STRANGER: TenantId = TenantId(Uuid::from_u128(99));

fn draft(spec: &Value) -> AgentDraft {
    AgentDraft::new(PROJECT, "Agent", AgentSpec::from_saved(spec).unwrap())
}

fn echo() -> Value {
    json!({"model": "builtin.echo", "system_prompt": ""})
}

async fn create(fixture: &Fixture, id: AgentId, draft: &AgentDraft) -> Saved {
    agents::create(&fixture.store, TENANT, id, draft, now()).await.unwrap()
}

async fn replace(fixture: &Fixture, version: i32, draft: &AgentDraft) -> Saved {
    agents::replace(&fixture.store, TENANT, AGENT, version, draft, now()).await.unwrap()
}

async fn secret(fixture: &Fixture, name: &str, value: &str) {
    let id = SecretId(Uuid::new_v4());
    secrets::create(&fixture.store, TENANT, id, name, value, now()).await.unwrap().unwrap();
}

fn http_tool(name: &str, secret_ref: &str) -> ToolDraft {
    ToolDraft {
        name: name.into(),
        description: format!("Calls {name}."),
        kind: ToolKind::Http,
        config: json!({"url": "https://api.example.com",
                       "auth": {"type": "bearer", "secret_ref": secret_ref}}),
        secret_refs: vec![secret_ref.into()],
        agent_id: None,
    }
}

async fn tool(fixture: &Fixture, draft: &ToolDraft) -> ToolId {
    let id = ToolId(Uuid::new_v4());
    let saved = tools::create(&fixture.store, TENANT, id, draft, now()).await.unwrap();
    assert!(matches!(saved, tools::Saved::Saved(_)), "{saved:?}");
    id
}

#[tokio::test]
async fn every_version_of_an_agent_stays_as_it_was() {
    let fixture = Fixture::new().await;
    let again = agents::ensure(&fixture.store, TENANT, AGENT, &draft(&echo()), now()).await;
    again.unwrap();
    let brief = json!({"model": "builtin.echo", "system_prompt": "Be brief."});
    let Saved::Saved(second) = replace(&fixture, 1, &draft(&brief)).await else {
        panic!("it is not saved");
    };
    assert_eq!(second.version, 2);
    assert!(second.is_made_of(&draft(&brief)) && !second.is_made_of(&draft(&echo())));
    assert_eq!(replace(&fixture, 1, &draft(&echo())).await, Saved::Stale);

    let versions = agents::versions(&fixture.store, TENANT, AGENT, None, 10).await.unwrap();
    let told: Vec<(i32, &str)> = versions
        .iter()
        .map(|version| (version.version, version.spec["system_prompt"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [(2, "Be brief."), (1, "You repeat.")]);
    let first = agents::version(&fixture.store, TENANT, AGENT, 1).await.unwrap().unwrap();
    assert_eq!((&first, first.name.as_str()), (&versions[1], "Echo"));
    let older = agents::versions(&fixture.store, TENANT, AGENT, Some(2), 10).await.unwrap();
    assert_eq!(older, versions[1..]);
    let theirs = agents::versions(&fixture.store, STRANGER, AGENT, None, 10).await.unwrap();
    assert_eq!(theirs, []);
}

#[tokio::test]
async fn what_an_agent_refers_to_is_there_and_stays() {
    let fixture = Fixture::new().await;
    let nobody = ToolId(Uuid::from_u128(77));
    let wanting = json!({
        "model": "openai.gpt", "system_prompt": "", "tools": [nobody],
        "variations": [{"name": "b", "model": "other.gpt"}],
    });
    let Saved::Missing(missing) = create(&fixture, AgentId(Uuid::new_v4()), &draft(&wanting)).await
    else {
        panic!("it is saved");
    };
    assert_eq!(missing.providers, ["openai", "other"]);
    assert_eq!(missing.tools, [nobody]);
    assert!(!missing.project);

    secret(&fixture, "KEY", "v").await;
    let tool = tool(&fixture, &http_tool("search", "KEY")).await;
    let having = json!({
        "model": "builtin.echo", "system_prompt": "",
        "variations": [{"name": "b", "tools": [tool]}],
    });
    assert!(matches!(replace(&fixture, 1, &draft(&having)).await, Saved::Saved(_)));
    let kept = tools::delete(&fixture.store, TENANT, tool, None).await.unwrap();
    let agent = UsedBy::Agent { id: AGENT, name: "Agent".into() };
    assert_eq!(kept, Deletion::InUse(vec![agent]));
    let kept = secrets::delete(&fixture.store, TENANT, "KEY", None).await.unwrap();
    assert_eq!(kept, Deletion::InUse(vec![UsedBy::Tool { id: tool, name: "search".into() }]));

    assert!(matches!(replace(&fixture, 2, &draft(&echo())).await, Saved::Saved(_)));
    assert_eq!(tools::delete(&fixture.store, TENANT, tool, None).await.unwrap(), Deletion::Deleted);
    let deletion = secrets::delete(&fixture.store, TENANT, "KEY", None).await.unwrap();
    assert_eq!(deletion, Deletion::Deleted);
}

#[tokio::test]
async fn an_external_id_is_one_living_agents_own() {
    let fixture = Fixture::new().await;
    let named = AgentDraft { external_id: Some("crm-7".into()), ..draft(&echo()) };
    let id = AgentId(Uuid::new_v4());
    assert!(matches!(create(&fixture, id, &named).await, Saved::Saved(_)));
    assert_eq!(create(&fixture, AgentId(Uuid::new_v4()), &named).await, Saved::ExternalIdTaken);
    assert_eq!(replace(&fixture, 1, &named).await, Saved::ExternalIdTaken);
    let deletion = agents::delete(&fixture.store, TENANT, id, None, now()).await.unwrap();
    assert_eq!(deletion, Deletion::Deleted);
    assert!(matches!(replace(&fixture, 1, &named).await, Saved::Saved(_)));
}

#[tokio::test]
async fn a_runner_gets_the_tools_it_asks_for_with_their_secrets() {
    let fixture = Fixture::new().await;
    for (name, value) in [("KEY", "canary-key"), ("OTHER", "canary-other")] {
        secret(&fixture, name, value).await;
    }
    let search = tool(&fixture, &http_tool("search", "KEY")).await;
    let again = tool(&fixture, &http_tool("again", "KEY")).await;
    tool(&fixture, &http_tool("not_asked_for", "OTHER")).await;
    let ask = ToolDraft {
        name: "ask".into(),
        description: String::new(),
        kind: ToolKind::Agent,
        config: json!({"agent_id": AGENT}),
        secret_refs: Vec::new(),
        agent_id: Some(AGENT),
    };
    let ask = tool(&fixture, &ask).await;
    let used = agents::delete(&fixture.store, TENANT, AGENT, None, now()).await.unwrap();
    let Deletion::InUse(users) = used else { panic!("it is deleted") };
    assert!(users.contains(&UsedBy::Tool { id: ask, name: "ask".into() }), "{users:?}");
    let hosts = ["api.example.com".to_owned()];
    let destinations = ["*.example.com".to_owned()];
    let changes = tenants::TenantChanges {
        allowed_hosts: Some(hosts.to_vec()),
        destination_hosts: Some(destinations.to_vec()),
        ..tenants::TenantChanges::default()
    };
    tenants::update(&fixture.store, TENANT, None, &changes, now()).await.unwrap().unwrap();

    let unknown = ToolId(Uuid::from_u128(77));
    let ids = [ask, unknown, search, again];
    let access = tools::for_runner(&fixture.store, TENANT, &ids).await.unwrap();
    let names: Vec<&str> = access.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["ask", "search", "again"]);
    assert_eq!(access.tools[0].agent.as_ref().unwrap().name, "Echo");
    assert_eq!(access.tools[1].kind, ToolKind::Http);
    assert_eq!(access.tools[1].config["auth"]["secret_ref"], "KEY");
    assert_eq!(access.secrets.len(), 1, "{access:?}");
    assert_eq!(access.secrets["KEY"], "canary-key");
    assert_eq!(access.allowed_hosts, hosts);
    assert_eq!(access.destination_hosts, destinations);
    assert!(!format!("{access:?}").contains("canary"), "{access:?}");

    // Whoever keeps a connection open under a secret has to see that it was changed.
    let later = now() + chrono::TimeDelta::minutes(1);
    secrets::replace(&fixture.store, TENANT, "KEY", "v2", None, later).await.unwrap().unwrap();
    let again = tools::for_runner(&fixture.store, TENANT, &[search, ask]).await.unwrap();
    assert_eq!((again.tools[0].updated_at, again.tools[1].updated_at), (later, now()));

    let theirs = tools::for_runner(&fixture.store, STRANGER, &ids).await.unwrap();
    assert_eq!(theirs, tools::ToolAccess::default());
}
