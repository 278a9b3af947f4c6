//! A secret is changed without a moment in which neither the old nor the new one is good.

use chrono::TimeDelta;
use recado_store::apps::{self, AppStatus};
use recado_store::triggers::{self, Replacement};
use recado_testkit::{http_client, providers, wait_for};
use recado_types::{AppId, TriggerId};
use serde_json::json;

use crate::requests::{answered, erp, erp_message, signature_with};
use crate::running::{Running, SOON, WEBHOOK_SECRET};

/// Replaces the trigger's secret; the one before it is good for `grace`.
async fn rotate(running: &Running, trigger: TriggerId, secret: &str, grace: TimeDelta) {
    let now = running.now();
    let until = Some(now + grace);
    let by = Replacement { webhook_secret: secret, previous_expires_at: until };
    let rotated =
        triggers::rotate_secret(&running.store, running.tenant, trigger, None, by, now).await;
    assert_eq!(rotated.unwrap().expect("the trigger is there").previous_expires_at, until);
}

/// `status_with` posts a message that is signed with a secret, or has it for a token.
async fn assert_rotates(
    running: &Running,
    trigger: TriggerId,
    status_with: impl AsyncFn(&str) -> u16,
) {
    const SECOND: &str = "whs_the_second_secret";
    const THIRD: &str = "whs_the_third_secret";
    let wait_for_status = async |secret: &str, status: u16| {
        let level = async || (status_with(secret).await == status).then_some(());
        wait_for(&format!("a {status} to {secret}"), SOON, level).await.unwrap();
    };
    assert_eq!(status_with(WEBHOOK_SECRET).await, 202);
    assert_eq!(status_with(SECOND).await, 401);

    rotate(running, trigger, SECOND, TimeDelta::hours(1)).await;
    wait_for_status(SECOND, 202).await;
    assert_eq!(status_with(WEBHOOK_SECRET).await, 202, "both are good");
    assert_eq!(status_with(THIRD).await, 401, "and no other");

    rotate(running, trigger, THIRD, TimeDelta::seconds(1)).await;
    wait_for_status(THIRD, 202).await;
    assert_eq!(status_with(WEBHOOK_SECRET).await, 401, "two are good at most");
    // Nothing is announced when the time is up.
    wait_for_status(SECOND, 401).await;
    assert_eq!(status_with(THIRD).await, 202);
}

#[tokio::test]
async fn the_native_signature_may_be_made_with_the_secret_before() {
    let running = Running::start().await;
    let trigger = running.trigger(erp()).await;
    let sender = running.sender(trigger);
    let body = erp_message("Olá").to_string();
    let status_with = async |secret: &str| {
        let signature = signature_with(secret, body.as_bytes());
        sender.post_with_signature(&signature, body.clone()).await.status
    };
    assert_rotates(&running, trigger, status_with).await;
    running.stop().await;
}

#[tokio::test]
async fn the_token_of_an_apps_channel_may_be_the_secret_before() {
    let running = Running::start().await;
    let app: AppId = running.fresh_id();
    let (status, now) = (AppStatus::Published, running.now());
    apps::create(&running.store, running.tenant, app, "Support", status, now).await.unwrap();
    // What guards this surface is the token, whatever the trigger's own checks are.
    let trigger = running.channel_of(app, json!({"execution": {"mode": "async"}})).await;
    let (app_id, channel_id) = (app.0.simple(), trigger.0.simple());
    let url = format!("{}/v1/apps/app_{app_id}/webhooks/appchan_{channel_id}", running.url);
    let status_with = async |secret: &str| {
        let request = http_client().post(&url).header("X-Everruns-Webhook-Token", secret);
        answered(request.body("Olá")).await.status
    };
    assert_rotates(&running, trigger, status_with).await;
    running.stop().await;
}

#[tokio::test]
async fn github_may_sign_with_the_secret_before_where_no_other_is_named() {
    let running = Running::start().await;
    let config = json!({"channel": {"type": "github"}, "execution": {"mode": "async"}});
    let trigger = running.trigger(config).await;
    let sender = running.sender(trigger);
    let body = json!({"action": "opened"}).to_string();
    let status_with = async |secret: &str| {
        let headers = providers::github(body.as_bytes(), secret, "issues", "delivery-1");
        sender.post_json_with(&headers, body.clone()).await.status
    };
    assert_rotates(&running, trigger, status_with).await;
    running.stop().await;
}
