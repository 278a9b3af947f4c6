//! Messages that nobody can handle: they hold up nobody, they are kept, and people settle them.

use recado_broker::topology::INBOUND;
use recado_testkit::app::{Management, Role, TestApp};
use recado_testkit::wait_for;
use reqwest::Method;
use serde_json::{Value, json};

use crate::dead_letters::printed;
use crate::support::{ANA, Answer, SOON, Story, WhatsApp, echo, system};

/// The dead letters of a tenant, when there are so many. A list may be 2 s old.
async fn dead_letters(management: &Management, n: usize) -> anyhow::Result<Vec<Value>> {
    wait_for(&format!("{n} dead letters"), SOON, async || {
        let mut listed = management.get("/api/dead-letters").await.ok()?;
        let listed: Vec<Value> = serde_json::from_value(listed["data"].take()).ok()?;
        (listed.len() == n).then_some(listed)
    })
    .await
}

async fn ask(management: &Management, method: Method, path: &str) -> anyhow::Result<Answer> {
    Ok(Answer::of(management.request(method, path)?.send().await?).await?)
}

/// Something of a tenant's that is no message.
async fn put_poison(app: &TestApp, management: &Management) -> anyhow::Result<()> {
    let poison = json!({"message": {"tenant_id": management.tenant(), "token": "s3cret"}});
    app.put(INBOUND.name, &poison.to_string()).await
}

#[tokio::test]
async fn poison_holds_up_nobody_and_is_its_tenants_to_see_and_to_settle() -> Story {
    let app = system().start().await?;
    let (ours, theirs) = (app.management(), app.another_tenant().await?);
    let whatsapp = WhatsApp::connect(&app, &echo(&app).await?, |_| {}).await?;
    put_poison(&app, ours).await?;
    app.put(INBOUND.name, "this is nobody's").await?;
    put_poison(&app, &theirs).await?;
    whatsapp.say(ANA, "are you there?").await?;
    whatsapp.delivered(1).await?;

    let letter = dead_letters(ours, 1).await?.remove(0);
    let id = letter["id"].as_str().unwrap_or_default();
    assert_eq!(
        (&letter["queue"], &letter["reason"]),
        (&json!(INBOUND.name), &json!("undecodable"))
    );
    assert_eq!(letter["tenant_id"], json!(ours.tenant()));
    assert_ne!(dead_letters(&theirs, 1).await?[0]["id"], letter["id"]);
    let path = format!("/api/dead-letters/{id}");
    let shown = ask(ours, Method::GET, &path).await?;
    assert_eq!(shown.json()?["data"]["body"]["message"]["tenant_id"], json!(ours.tenant()));
    assert!(!shown.body.contains("s3cret"), "{shown:?}");
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::POST, format!("{path}/redrive")),
        (Method::DELETE, path.clone()),
    ] {
        let refused = ask(&theirs, method, &path).await?;
        assert_eq!((refused.status, refused.error().as_str()), (404, "dead_letter_not_found"));
    }
    let all = printed(&app.amqp_url(), &["list"]).await?;
    assert_eq!(all.matches("undecodable").count(), 3, "an operator sees everybody's: {all}");

    // Nothing was mended, so it comes back, and nothing else happens.
    let redriven = printed(&app.amqp_url(), &["redrive", id]).await?;
    assert!(redriven.ends_with("  redriven\n"), "{redriven}");
    let came_back = async || {
        let again = ask(ours, Method::GET, &path).await.ok()?.json().ok()?["data"].take();
        (again["times_dead_lettered"] == json!(2)).then_some(again)
    };
    let again = wait_for("the dead letter to come back", SOON, came_back).await?;
    assert_eq!(again["id"], letter["id"]);
    assert_eq!(ask(ours, Method::DELETE, &path).await?.status, 200);
    dead_letters(ours, 0).await?;
    for line in printed(&app.amqp_url(), &["list"]).await?.lines().skip(1) {
        let id = line.split_whitespace().next().unwrap_or_default();
        printed(&app.amqp_url(), &["discard", id]).await?;
    }
    assert!(app.whole_log(Role::Buffer, 0)?.contains("undecodable"), "it is told");
    Ok(app.finish().await?)
}
