//! Schemes of well-known senders, described as the documentation describes them.

use super::*;

const PAGE: &str = include_str!("../../../../../../docs/generic-channel.md");

/// The channel of the documentation's example of this title.
fn documented(title: &str, secret: &str) -> Arc<dyn Channel> {
    let (_, section) = PAGE.split_once(&format!("\n### {title}\n")).expect("it has that title");
    let (_, example) = section.split_once("```json\n").expect("it has an example");
    let (example, _) = example.split_once("```").expect("the example has an end");
    let example: Value = serde_json::from_str(example).expect("the example is JSON");
    channel(example["channel"].clone(), secret)
}

#[test]
fn github_can_be_described() {
    let github = documented("Like GitHub", "It's a Secret to Everybody");
    let code = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let sent = |body: &str, value: &str| {
        is_authentic(&*github, &Request::post(body).header("X-Hub-Signature-256", value))
    };
    assert!(sent("Hello, World!", &format!("sha256={code}")));
    assert!(sent("Hello, World!", &format!("sha256={}", code.to_uppercase())));
    assert!(!sent("Hello, World!", code));
    assert!(!sent("Hello, World!", &format!("sha1={code}")));
    assert!(!sent("Hello, World", &format!("sha256={code}")));
    assert!(!sent("Hello, World!", &format!("sha256={}", &code[..62])));
    assert!(!sent("Hello, World!", "sha256="));
    assert!(!is_authentic(&*github, &Request::post("Hello, World!")));
}

#[test]
fn slack_can_be_described() {
    let slack = documented("Like Slack", "8f742231b10e8888abcd99yyyzzz85a5");
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
                &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
                &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com\
                %2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
                &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let code = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let sent = |body: &str, at: &str, code: &str| {
        let request = Request::post(body).header("X-Slack-Signature", code);
        is_authentic(&*slack, &request.header("X-Slack-Request-Timestamp", at))
    };
    assert!(sent(body, "1531420618", code));
    assert!(!sent(body, "1531420619", code));
    assert!(!sent(body, "x", code));
    assert!(!sent(&body[1..], "1531420618", code));
    let without_time = Request::post(body).header("X-Slack-Signature", code);
    assert!(!is_authentic(&*slack, &without_time));
}

#[test]
fn stripe_can_be_described() {
    let secret = "whsec_test";
    let stripe = documented("Like Stripe", secret);
    let body = r#"{"id":"evt_1","object":"event"}"#;
    let code = hmac(secret, format!("1492774577.{body}"));
    let sent = |header: &str| {
        is_authentic(&*stripe, &Request::post(body).header("Stripe-Signature", header))
    };
    assert!(sent(&format!("t=1492774577,v1={code},v0=6ffbb59b")));
    assert!(sent(&format!("v0=6ffbb59b,v1={code},t=1492774577")));
    assert!(!sent(&format!("t=1492774578,v1={code}")));
    assert!(!sent(&format!("t=1492774577,v0={code}")));
    assert!(!sent(&format!("v1={code}")));
    assert!(!sent(""));
}

#[test]
fn a_stripe_event_is_told() {
    let event =
        r#"{"id": "evt_1", "type": "charge.failed", "data": {"object": {"customer": "cus_1"}}}"#;
    let stripe = documented("Like Stripe", "whsec_test");
    let message = messages(&*stripe, &Request::post(event)).swap_remove(0);
    assert_eq!(message.says, Says::Text("Customer cus_1: charge.failed".into()));
    let payload = json!({"id": "evt_1", "what": "charge.failed", "customer": "cus_1"});
    assert_eq!(message.payload, payload);
}

#[test]
fn a_token_in_a_header_can_be_described() {
    let channel = documented("A token in a header", "unused");
    assert!(is_authentic(&*channel, &Request::post("").header("X-Token", "t0ken")));
    assert!(!is_authentic(&*channel, &Request::post("").header("X-Token", "token")));
}
