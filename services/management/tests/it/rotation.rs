//! Webhook secrets that are replaced: the new one, the one before it, and no third.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use recado_http::auth::Role;
use recado_store::webhooks::{self, WebhookTrigger};
use serde_json::{Value, json};

use crate::server::{Answer, Server, new_trigger};

struct Rotating {
    server: Server,
    id: String,
    first: String,
}

async fn rotating() -> Rotating {
    let server = Server::start().await;
    let agent = server.agent().await;
    let created = server.post("/api/triggers", &new_trigger(&agent)).await;
    let first = secret(created.data(201));
    Rotating { id: created.id(), first, server }
}

impl Rotating {
    async fn rotate(&self, body: &Value) -> Answer {
        self.server.post(&format!("/api/triggers/{}/rotate-secret", self.id), body).await
    }

    /// What ingress is told.
    async fn kept(&self) -> WebhookTrigger {
        let id = self.id.parse().unwrap();
        webhooks::trigger(&self.server.store, id).await.unwrap().unwrap()
    }
}

fn secret(data: &Value) -> String {
    data["webhook_secret"].as_str().unwrap().to_owned()
}

fn expires_at(data: &Value) -> DateTime<Utc> {
    data["previous_secret_expires_at"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_old_secret_is_good_for_the_grace_and_no_older_one_is() {
    let rotating = rotating().await;
    assert_eq!(rotating.kept().await.previous_webhook_secret, None);

    let rotated = rotating.rotate(&json!({"grace_period_s": 600})).await;
    let data = rotated.data(200);
    let second = secret(data);
    assert_ne!(second, rotating.first);
    assert_eq!(data["version"], 2);
    let changed_at: DateTime<Utc> = data["updated_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(expires_at(data), changed_at + TimeDelta::seconds(600));
    assert!(rotated.body["webhook_url"].is_string());
    let kept = rotating.kept().await;
    assert_eq!(kept.webhook_secret, second);
    let previous = (rotating.first.clone(), expires_at(data));
    assert_eq!(kept.previous_webhook_secret, Some(previous));

    // Within the grace: the first one is over.
    let rotated = rotating.rotate(&json!({})).await;
    let data = rotated.data(200);
    let kept = rotating.kept().await;
    assert_eq!(kept.webhook_secret, secret(data));
    assert_eq!(kept.previous_webhook_secret, Some((second, expires_at(data))));

    let rotated = rotating.rotate(&json!({"grace_period_s": 0})).await;
    assert_eq!(rotated.data(200)["previous_secret_expires_at"], Value::Null);
    let kept = rotating.kept().await;
    assert_eq!(kept.webhook_secret, secret(rotated.data(200)));
    assert_eq!(kept.previous_webhook_secret, None);
}

#[tokio::test]
async fn no_body_is_needed_and_a_wrong_one_rotates_nothing() {
    let rotating = rotating().await;
    let server = &rotating.server;
    let path = format!("/api/triggers/{}/rotate-secret", rotating.id);
    for wrong in [json!({"grace_period_s": 604_801}), json!({"grace_period_s": null, "x": 1})] {
        assert_eq!(rotating.rotate(&wrong).await.paths().len(), 1, "{wrong}");
    }
    assert_eq!(rotating.kept().await.webhook_secret, rotating.first);

    let editor = (server.ours, Role::Editor);
    let rotated = server.call_as(editor, "POST", &path, None).await;
    let day = expires_at(rotated.data(200)) - TimeDelta::days(1);
    assert_eq!(rotated.data(200)["updated_at"].as_str().unwrap().parse(), Ok(day));

    let viewer = (server.ours, Role::Viewer);
    let refused = server.call_as(viewer, "POST", &path, None).await;
    assert_eq!((refused.status, refused.code()), (403, "insufficient_permissions"));
    server.delete(&format!("/api/triggers/{}", rotating.id)).await.data(200);
    assert_eq!(rotating.rotate(&json!({})).await.code(), "trigger_not_found");
}

#[tokio::test]
async fn of_concurrent_rotations_the_last_two_secrets_are_good() {
    let rotating = rotating().await;
    let bodies = vec![json!({}); 6];
    let answers = join_all(bodies.iter().map(|body| rotating.rotate(body))).await;
    let mut rotations: Vec<(u64, String)> = answers
        .iter()
        .map(|answer| answer.data(200))
        .map(|data| (data["version"].as_u64().unwrap(), secret(data)))
        .collect();
    rotations.sort();
    let versions: Vec<u64> = rotations.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, [2, 3, 4, 5, 6, 7]);

    let kept = rotating.kept().await;
    assert_eq!(kept.webhook_secret, rotations[5].1);
    assert_eq!(kept.previous_webhook_secret.unwrap().0, rotations[4].1);
}

#[tokio::test]
async fn a_rotation_and_a_change_are_both_made() {
    let rotating = rotating().await;
    let path = format!("/api/triggers/{}", rotating.id);
    let (body, change) = (json!({}), json!({"name": "other"}));
    let (rotated, changed) =
        tokio::join!(rotating.rotate(&body), rotating.server.patch(&path, &change));
    changed.data(200);
    assert_eq!(rotating.kept().await.webhook_secret, secret(rotated.data(200)));
    let shown = rotating.server.get(&path).await;
    assert_eq!(
        (&shown.data(200)["name"], &shown.data(200)["version"]),
        (&json!("other"), &json!(3))
    );
}
