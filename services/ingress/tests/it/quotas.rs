//! Messages of a tenant that has used up what it was granted.

use recado_store::apps::{self, AppStatus};
use recado_store::tenants::{self, Change, OperatorChanges};
use recado_store::usage;
use recado_testkit::{http_client, wait_for};
use recado_types::AppId;
use serde_json::json;

use crate::requests::{answered, named, named_message, open};
use crate::running::{Running, SOON, WEBHOOK_SECRET};

/// What an operator does, and housekeeping after that.
async fn grant(running: &Running, executions: Option<i64>) {
    let (store, now) = (&running.store, running.now());
    let changes = OperatorChanges {
        executions_per_month: Change::To(executions),
        ..OperatorChanges::default()
    };
    let granted = tenants::update_by_operator(store, running.tenant, None, &changes, now).await;
    granted.unwrap().expect("the tenant is there");
    usage::count(store, running.tenant, &[], now).await.unwrap();
}

#[tokio::test]
async fn beyond_its_quota_a_tenants_messages_are_refused_on_every_surface() {
    let running = Running::start().await;
    let app: AppId = running.fresh_id();
    let (status, now) = (AppStatus::Published, running.now());
    apps::create(&running.store, running.tenant, app, "Support", status, now).await.unwrap();
    let (trigger, channel) = (running.trigger(open()).await, running.channel_of(app, open()).await);
    let Running { tenant, project, agent, .. } = running;
    let paths = [
        format!("/api/triggers/webhook/{trigger}"),
        format!("/run/tenants/{tenant}/projects/{project}/agents/{agent}/triggers/{trigger}"),
        format!("/v1/apps/app_{}/webhooks/appchan_{}", app.0.simple(), channel.0.simple()),
    ];
    let post = async |path: &str| {
        let request = http_client().post(format!("{}{path}", running.url));
        let request = request.header("X-Everruns-Webhook-Token", WEBHOOK_SECRET);
        answered(request.json(&json!({"a": 1}))).await
    };
    let (stranger, foreign_agent) = running.another_tenant().await;
    let theirs = running.sender(running.trigger_of(stranger, foreign_agent, open()).await);
    let named = running.sender(running.trigger(named()).await);
    let told = async |id: &str| named.post("application/json", named_message(id, "hello")).await;
    let queue = running.requested();
    let accepted_before = told("m1").await;
    assert_eq!(accepted_before.status, 202);
    for path in &paths {
        assert_eq!(post(path).await.status, 202);
    }

    grant(&running, Some(0)).await;
    for path in &paths {
        // Ingress hears of it.
        let refused = async || Some(post(path).await).filter(|answer| answer.status != 202);
        let answer = wait_for("a refusal", SOON, refused).await.unwrap();
        assert_eq!(answer.status, 429, "{}", answer.body);
        let document = answer.json();
        let code = if document["code"].is_null() { &document["error"] } else { &document["code"] };
        assert_eq!(code, "quota_exceeded", "{document}");
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=86_400).contains(&seconds), "{seconds}");
        assert_eq!(post(path).await.status, 429);
    }
    // A provider that did not hear our answer is told it again; a refusal leaves no trace.
    let refused = async || {
        let id: AppId = running.fresh_id();
        (told(&id.0.to_string()).await.status == 429).then_some(())
    };
    wait_for("a refusal", SOON, refused).await.unwrap();
    assert_eq!(told("m1").await.essence(), accepted_before.essence());
    let new = named.post("application/json", named_message("m3", "hello")).await;
    assert_eq!((new.status, new.error()), (429, "quota_exceeded".to_owned()));
    let altered = named.post("application/json", named_message("m3", "hello again")).await;
    assert_eq!(altered.error(), "quota_exceeded", "its id was given up");
    assert_eq!(theirs.post_signed(&json!({"a": 1})).await.status, 202);
    let is_theirs =
        async || queue.all().into_iter().find(|it| it.messages[0].tenant_id == stranger);
    wait_for("the others' message", SOON, is_theirs).await.unwrap();

    grant(&running, None).await;
    let accepted = async || (post(&paths[0]).await.status == 202).then_some(());
    wait_for("a message to be accepted", SOON, accepted).await.unwrap();
    running.stop().await;
}
