//! `/v1/apps/…`: the webhook channels of a published app, guarded by a token.

use futures_util::future::{join, join_all};
use recado_store::apps::{self, AppPatch, AppStatus};
use recado_store::executions;
use recado_testkit::{http_client, wait_for};
use recado_types::{AppId, SessionId, TriggerId};
use reqwest::{Body, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::requests::{Answered, answered, open};
use crate::running::{Running, SOON, WEBHOOK_SECRET};

const TOKEN_HEADER: &str = "X-Everruns-Webhook-Token";

async fn app(running: &Running, status: AppStatus) -> AppId {
    let id: AppId = running.fresh_id();
    let now = running.now();
    apps::create(&running.store, running.tenant, id, "Support", status, now).await.unwrap().id
}

async fn change(running: &Running, app: AppId, status: AppStatus) {
    let patch = AppPatch { status: Some(status), ..AppPatch::default() };
    let changed =
        apps::change(&running.store, running.tenant, app, None, &patch, running.now()).await;
    changed.unwrap().expect("the app is there");
}

/// A channel whose messages are all of one session.
fn shared() -> Value {
    let mut config = open();
    config["session_strategy"] = json!({"mode": "shared"});
    config
}

fn path(app: AppId, channel: TriggerId) -> String {
    format!("/v1/apps/app_{}/webhooks/appchan_{}", app.0.simple(), channel.0.simple())
}

fn request(running: &Running, path: &str) -> RequestBuilder {
    http_client().post(format!("{}{path}", running.url))
}

async fn post(running: &Running, path: &str, body: impl Into<Body>) -> Answered {
    answered(request(running, path).header(TOKEN_HEADER, WEBHOOK_SECRET).body(body)).await
}

/// A problem document with what seed 003 wants to see in it.
fn assert_problem(answer: &Answered, path: &str, status: u16, code: &str) {
    let shown = (answer.status, answer.header("content-type"));
    assert_eq!(shown, (status, Some("application/problem+json")), "{}", answer.body);
    let document = answer.json();
    assert_eq!(document["status"], status);
    assert_eq!(document["code"], code);
    assert_eq!(document["instance"], path);
    assert!(document["allowed_actions"].is_array(), "{document}");
}

#[tokio::test]
async fn the_token_comes_in_its_header_or_as_a_bearer() {
    let running = Running::start().await;
    let app = app(&running, AppStatus::Published).await;
    let path = path(app, running.channel_of(app, open()).await);
    let bearer = |scheme: &str, token: &str| format!("{scheme} {token}");
    let request = || request(&running, &path).body("Olá");
    for good in [
        request().header(TOKEN_HEADER, WEBHOOK_SECRET),
        request().header("authorization", bearer("Bearer", WEBHOOK_SECRET)),
        request().header("authorization", bearer("bearer", WEBHOOK_SECRET)),
        request().header("authorization", bearer("BEARER", WEBHOOK_SECRET)),
        // Of the two, the header counts.
        request().header(TOKEN_HEADER, WEBHOOK_SECRET).header("authorization", "Bearer wrong"),
    ] {
        assert_eq!(answered(good).await.status, 202);
    }
    let mut documents = Vec::new();
    for bad in [
        request(),
        request().header(TOKEN_HEADER, ""),
        request().header(TOKEN_HEADER, "wrong"),
        request().header(TOKEN_HEADER, &WEBHOOK_SECRET[1..]),
        request().header("authorization", bearer("Basic", WEBHOOK_SECRET)),
        request().header("authorization", WEBHOOK_SECRET),
        request()
            .header(TOKEN_HEADER, "wrong")
            .header("authorization", bearer("Bearer", WEBHOOK_SECRET)),
        request().header("X-Webhook-Signature", crate::requests::signature("Olá".as_bytes())),
    ] {
        let answer = answered(bad).await;
        assert_problem(&answer, &path, 401, "invalid_token");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let action = &answer.json()["allowed_actions"][0];
        assert_eq!((&action["rel"], &action["method"]), (&json!("retry"), &json!("POST")));
        documents.push(answer.json());
    }
    assert!(documents.iter().all(|document| *document == documents[0]), "{documents:?}");
    running.stop().await;
}

#[tokio::test]
async fn the_body_is_the_message_whatever_its_type_says() {
    let running = Running::start().await;
    let app = app(&running, AppStatus::Published).await;
    let path = path(app, running.channel_of(app, open()).await);
    let queue = running.requested();
    for (content_type, body, text) in [
        ("application/octet-stream", "Olá, tudo bem?", "Olá, tudo bem?"),
        ("application/octet-stream", r#"{"a": 1}"#, r#"{"a":1}"#),
        ("application/json", r#"{"a": 1}"#, r#"{"a":1}"#),
        ("application/json", r#""Olá""#, "Olá"),
        ("application/json", "{no json", "{no json"),
        ("image/png", "a picture of a text", "a picture of a text"),
    ] {
        let request = request(&running, &path).header(TOKEN_HEADER, WEBHOOK_SECRET);
        let answer = answered(request.header("content-type", content_type).body(body)).await;
        assert_eq!(answer.status, 202, "{content_type}: {}", answer.body);
        let message = queue.next().await.messages.remove(0);
        assert_eq!(message.text, text, "{content_type}");
        let session = format!("session_{}", message.session_id.0.simple());
        assert_eq!(answer.json()["session_id"], json!(session));
        assert_eq!(answer.json()["accepted"], json!(true));
    }
    for (body, code) in [(b"\xff\xfe".to_vec(), "malformed_body"), (Vec::new(), "invalid_input")] {
        assert_problem(&post(&running, &path, body).await, &path, 400, code);
    }
    running.stop().await;
}

#[tokio::test]
async fn one_of_the_messages_of_a_session_begins_it() {
    let mut running = Running::start().await;
    let other = running.another_instance().await;
    let app = app(&running, AppStatus::Published).await;
    let channel = running.channel_of(app, shared()).await;
    let path = path(app, channel);
    let queue = running.requested();
    let there = |body: &'static str| {
        let request = http_client().post(format!("{}{path}", other.url));
        answered(request.header(TOKEN_HEADER, WEBHOOK_SECRET).body(body))
    };
    let session = SessionId::derived(running.tenant, channel, &[] as &[&str]);
    let told = |answer: &Answered| {
        let body = answer.json();
        assert_eq!(answer.status, 202, "{body}");
        assert_eq!(body["session_id"], format!("session_{}", session.0.simple()));
        body["created_session"].as_bool().unwrap()
    };
    let here = (0..10).map(|_| post(&running, &path, "Olá"));
    let (here, there_too) = join(join_all(here), join_all((0..10).map(|_| there("Oi")))).await;
    let n_created = here.iter().chain(&there_too).filter(|answer| told(answer)).count();
    assert_eq!(n_created, 1);

    // Redis may forget it; the database does not.
    let requested = queue.wait_for(20).await.remove(0);
    assert_eq!(requested.messages[0].session_id, session);
    executions::admit(&running.store, &[&requested], running.now()).await.unwrap();
    running.redis().wipe().await.unwrap();
    assert!(!told(&post(&running, &path, "Olá").await));
    other.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn without_a_session_strategy_each_message_begins_one() {
    let running = Running::start().await;
    let app = app(&running, AppStatus::Published).await;
    let path = path(app, running.channel_of(app, open()).await);
    let queue = running.requested();
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let answer = post(&running, &path, "Olá").await;
        assert_eq!(answer.json()["created_session"], json!(true));
        let requested = queue.next().await;
        executions::admit(&running.store, &[&requested], running.now()).await.unwrap();
        sessions.push(answer.json()["session_id"].clone());
    }
    assert_ne!(sessions[0], sessions[1]);
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_live_takes_nothing_and_says_so() {
    let running = Running::start().await;
    for status in [AppStatus::Draft, AppStatus::Archived] {
        let app = app(&running, status).await;
        let path = path(app, running.channel_of(app, open()).await);
        let answer = post(&running, &path, "Olá").await;
        assert_problem(&answer, &path, 403, "app_not_published");
        assert_eq!(answer.json()["allowed_actions"][0]["rel"], "retry-later");
    }
    let app = app(&running, AppStatus::Published).await;
    let disabled = running.channel_of(app, open()).await;
    running.set_enabled(disabled, false).await;
    let path = path(app, disabled);
    assert_problem(&post(&running, &path, "Olá").await, &path, 403, "app_not_published");
    running.stop().await;
}

#[tokio::test]
async fn publishing_and_archiving_are_noticed_at_once() {
    let running = Running::start().await;
    let app = app(&running, AppStatus::Draft).await;
    let path = path(app, running.channel_of(app, open()).await);
    for (status, expected) in [
        (AppStatus::Draft, 403),
        (AppStatus::Published, 202),
        (AppStatus::Archived, 403),
        (AppStatus::Published, 202),
    ] {
        change(&running, app, status).await;
        let level = async || (post(&running, &path, "Olá").await.status == expected).then_some(());
        wait_for(&format!("a {expected}"), SOON, level).await.unwrap();
    }
    running.stop().await;
}

#[tokio::test]
async fn a_stranger_cannot_tell_which_apps_and_channels_there_are() {
    let running = Running::start().await;
    let ours = app(&running, AppStatus::Published).await;
    let another = app(&running, AppStatus::Published).await;
    let channel = running.channel_of(ours, open()).await;
    let of_another = running.channel_of(another, open()).await;
    let of_none = running.trigger(open()).await;
    assert_eq!(post(&running, &path(ours, channel), "Olá").await.status, 202);

    let unknown = Uuid::from_u128(1);
    let (app_id, channel_id) = (ours.0.simple().to_string(), channel.0.simple().to_string());
    let written = |app: &str, channel: &str| format!("/v1/apps/{app}/webhooks/{channel}");
    let app = format!("app_{app_id}");
    let paths = [
        path(AppId(unknown), channel),
        path(ours, TriggerId(unknown)),
        path(ours, of_another),
        path(ours, of_none),
        path(another, channel),
        written(&app_id, &format!("appchan_{channel_id}")),
        written(&app, &channel_id),
        written(&format!("app_{ours}"), &format!("appchan_{channel}")),
        written(&app, &format!("appchan_{}", channel_id.to_uppercase())),
        written(&app, "appchan_"),
        written(&app, &format!("appchan_{channel_id}0")),
    ];
    let mut documents = Vec::new();
    for path in paths {
        let answer = post(&running, &path, "Olá").await;
        assert_problem(&answer, &path, 404, "app_not_found");
        let mut document = answer.json();
        document["instance"] = Value::Null;
        documents.push(document);
    }
    assert!(documents.iter().all(|document| *document == documents[0]), "{documents:?}");
    running.stop().await;
}
