//! Changes of the configuration are seen without a restart, and long before the cache expires.

use std::time::Duration;

use recado_testkit::twilio::Inbound;
use recado_testkit::wait_for;
use serde_json::json;

use crate::requests::{Sender, TWILIO_SECRET, erp, open, whatsapp};
use crate::running::Running;

/// A notification takes milliseconds; without it, a trigger is believed for thirty seconds.
const AT_ONCE: Duration = Duration::from_secs(10);

async fn wait_for_status(sender: &Sender, status: u16) {
    let level = async || (sender.post("text/plain", "a").await.status == status).then_some(());
    wait_for(&format!("a {status}"), AT_ONCE, level).await.unwrap();
}

#[tokio::test]
async fn a_trigger_is_disabled_enabled_changed_and_deleted_at_once() {
    let running = Running::start().await;
    let trigger = running.trigger(open()).await;
    let sender = running.sender(trigger);
    wait_for_status(&sender, 202).await;

    running.set_enabled(trigger, false).await;
    wait_for_status(&sender, 400).await;
    assert_eq!(sender.post("text/plain", "a").await.error(), "trigger_disabled");
    running.set_enabled(trigger, true).await;
    wait_for_status(&sender, 202).await;
    running.reconfigure(trigger, erp()).await;
    wait_for_status(&sender, 401).await;
    running.delete(trigger).await;
    wait_for_status(&sender, 404).await;
    running.stop().await;
}

#[tokio::test]
async fn a_trigger_that_was_asked_for_in_vain_works_when_it_is_made() {
    let running = Running::start().await;
    let trigger = running.trigger(open()).await;
    let other = running.trigger(open()).await;
    running.delete(other).await;
    assert_eq!(running.sender(other).post("text/plain", "a").await.status, 404);
    assert_eq!(running.sender(trigger).post("text/plain", "a").await.status, 202);
    running.stop().await;
}

#[tokio::test]
async fn a_secret_that_was_replaced_is_the_one_that_counts() {
    let running = Running::start().await;
    running.add_secret("TWILIO_CREDENTIALS", "AC1:old").await;
    let sender = running.sender(running.trigger(whatsapp()).await);
    let message = Inbound::new("+5511999990000", "Olá");
    assert_eq!(sender.post_twilio_with("old", &message).await.status, 200);

    running.replace_secret("TWILIO_CREDENTIALS", TWILIO_SECRET).await;
    let level = async || (sender.post_twilio(&message).await.status == 200).then_some(());
    wait_for("the new secret", AT_ONCE, level).await.unwrap();
    assert_eq!(sender.post_twilio_with("old", &message).await.status, 401);
    running.stop().await;
}

#[tokio::test]
async fn a_revoked_key_stops_working() {
    let running = Running::start().await;
    let mut config = open();
    config["auth"]["type"] = json!("api_key");
    let sender = running.sender(running.trigger(config).await);
    let (id, key) = running.api_key(running.tenant).await;
    let body = json!({"a": 1});
    assert_eq!(sender.post_with_key(key.expose(), &body).await.status, 202);

    running.revoke(id).await;
    let level =
        async || (sender.post_with_key(key.expose(), &body).await.status == 401).then_some(());
    wait_for("the revocation", AT_ONCE, level).await.unwrap();
    running.stop().await;
}
