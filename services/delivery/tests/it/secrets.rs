//! What was sent as a secret is not kept, however a receiver repeats it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recado_testkit::stub::{Reply, Request, Stub};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::running::System;

const TOKEN: &str = "canary/\"&=+k3y";
const PAIR: &str = "AC12:canary/\"&=+k3y";
const KEY: &str = "Y2FuYXJ5L2NhbmFyeS9jYW5hcnk=";
const PREFIXED_KEY: &str = "whsec_Y2FuYXJ5L2NhbmFyeS9jYW5hcnk=";

/// Everything that arrived, and the secrets in the forms that a text may have them in.
fn echo(request: &Request, secrets: &[&str]) -> Reply {
    let percent =
        |text: &&str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let base64 = |text: &&str| BASE64.encode(text);
    let body = json!({
        "sid": secrets[0],
        "url": format!("{}?{}", request.path, request.query),
        "headers": request.headers,
        "body": request.text(),
        "known": secrets,
        "base64": secrets.iter().map(base64).collect::<Vec<_>>(),
        "percent": secrets.iter().map(percent).collect::<Vec<_>>(),
        "quoted": json!(secrets).to_string(),
    });
    Reply::json(200, &body)
}

/// Sends an answer with `auth`, and returns all that is kept of it.
async fn kept(auth: &Value, secret: &str, receiver: &Stub) -> String {
    let system = System::new().await;
    system.add_secret("S", secret).await;
    let trigger = system.trigger(&json!({"url": receiver.url(), "auth": auth}), &Value::Null).await;
    let delivery = system.answer(trigger, 1, "Olá").await;
    let instance = system.start();
    system.wait_until("delivered", delivery).await;
    instance.stop().await;
    let rows = "SELECT (SELECT string_agg(row_to_json(attempts)::text, ' ') FROM attempts)
                       || (SELECT string_agg(row_to_json(chunks)::text, ' ') FROM chunks)";
    system.text(rows).await
}

#[tokio::test]
async fn a_receiver_that_echoes_its_request_has_no_secret_kept() {
    let cases: [(Value, &[&str]); 6] = [
        (json!({"type": "basic", "secret_ref": "S"}), &[PAIR, TOKEN]),
        (json!({"type": "bearer", "secret_ref": "S"}), &[TOKEN]),
        (json!({"type": "api_key", "secret_ref": "S"}), &[TOKEN]),
        (json!({"type": "api_key", "secret_ref": "S", "in": "query", "name": "k"}), &[TOKEN]),
        (
            json!({"type": "hmac", "secret_ref": "S", "format": "standard_webhooks"}),
            &[PREFIXED_KEY, KEY],
        ),
        (json!({"type": "hmac", "secret_ref": "S", "format": "sha256"}), &[PREFIXED_KEY, KEY]),
    ];
    for (auth, secrets) in cases {
        let known: Vec<&'static str> = secrets.to_vec();
        let receiver = Stub::start(move |request| echo(request, &known));
        let kept = kept(&auth, secrets[0], &receiver).await;
        assert!(kept.contains(r#""provider_id":"[hidden]""#), "{auth}: {kept}");
        assert!(kept.contains("idempotency-key"), "{auth}: {kept}");
        let encoded = [TOKEN, PAIR, KEY].map(|text| BASE64.encode(text)[..12].to_owned());
        for part in ["canary", "k3y", "whsec_", &KEY[..12], &encoded[0], &encoded[1], &encoded[2]] {
            assert!(!kept.contains(part), "{auth}: {part} in {kept}");
        }
    }
}

#[tokio::test]
async fn nothing_of_a_secret_is_left_where_an_answer_is_cut() {
    let auth = json!({"type": "bearer", "secret_ref": "S"});
    for before in [19_990, 20_000, 20_050, 20_080] {
        let secret = "canary-1234567890";
        let body = format!("{}{secret}{}", "x".repeat(before), "y".repeat(30_000));
        let receiver = Stub::start(move |_| Reply::text(200, &body));
        let kept = kept(&auth, secret, &receiver).await;
        assert!(kept.contains("xxx") && !kept.contains("xc"), "{before}");
    }
}
