//! What the adapter makes of Slack's requests, rule by rule.

use std::sync::Arc;

use proptest::prelude::*;
use recado_testkit::providers;
use serde_json::json;

use super::super::tampering::{Flip, assert_only_what_was_signed_is_authentic, signed_request};
use super::super::tests::{Request, adapter_of, messages, notice};
use super::*;

/// The example of Slack's documentation.
const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const AT: i64 = 1_531_420_618;
const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
    &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
    &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands\
    %2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
    &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

fn slack(secrets: &str) -> Arc<dyn Channel> {
    let channel = json!({"type": "slack", "signing_secret_ref": "S"});
    adapter_of(&channel, &[("S", secrets)])
}

fn message(payload: &Value) -> Incoming {
    messages(&*slack(SECRET), &Request::post(payload.to_string())).remove(0)
}

fn answer(payload: &Value) -> Answer {
    notice(&*slack(SECRET), &Request::post(payload.to_string()))
}

/// An event as Slack sends it, with `fields` in place of its own.
fn event(fields: &Value) -> Value {
    let mut event = json!({"type": "message", "channel": "C1", "user": "U061F7AUR",
                           "text": "Olá", "ts": "1515449522.000016"});
    let fields = fields.as_object().unwrap().clone();
    event.as_object_mut().unwrap().extend(fields);
    json!({"type": "event_callback", "team_id": "T1", "event_id": "Ev9UQ52YNA", "event": event,
           "authorizations": [{"team_id": "T1", "user_id": "U0BOT", "is_bot": true}]})
}

#[test]
fn the_published_example_is_accepted() {
    let accepts = |secrets: &str, timestamp: &str, signature: &str| {
        let request = Request::post(BODY)
            .header("X-Slack-Request-Timestamp", timestamp)
            .header("X-Slack-Signature", signature)
            .at(AT);
        slack(secrets).is_authentic(&request.received())
    };
    let timestamp = AT.to_string();
    assert!(accepts(SECRET, &timestamp, SIGNATURE));
    assert!(accepts(&format!("new\n{SECRET}"), &timestamp, SIGNATURE));
    assert!(!accepts("new", &timestamp, SIGNATURE));
    assert!(!accepts(SECRET, "1531420619", SIGNATURE));
    for other in ["", "v0=", &SIGNATURE[3..], &SIGNATURE.replace("v0", "v1"), "v0=xyz"] {
        assert!(!accepts(SECRET, &timestamp, other), "{other}");
    }
}

#[test]
fn a_signature_is_good_for_five_minutes() {
    for (now, is_good) in [(AT - 300, true), (AT + 300, true), (AT - 301, false), (AT + 301, false)]
    {
        let headers = providers::slack(b"{}", SECRET, AT);
        let request = signed_request(b"{}", &headers, now);
        assert_eq!(slack(SECRET).is_authentic(&request.received()), is_good, "{now}");
    }
}

#[test]
fn the_challenge_is_repeated() {
    let challenge = |text: Value| json!({"type": "url_verification", "challenge": text});
    let echoed = Answer::new(StatusCode::OK, "text/plain", "3eZbrw1aBm2rZgRNFdxV".to_owned());
    assert_eq!(answer(&challenge(json!("3eZbrw1aBm2rZgRNFdxV"))), echoed);
    for odd in [json!(null), json!(1), json!(""), json!("é"), json!("a\nb"), json!("a".repeat(513))]
    {
        let request = Request::post("");
        let arrival = slack(SECRET).interpret(&request.received(), challenge(odd));
        assert!(matches!(arrival, Err(Refusal::InvalidInput { .. })), "{arrival:?}");
    }
}

#[test]
fn a_message_is_named_by_its_event() {
    for kind in ["message", "app_mention"] {
        let payload = event(&json!({"type": kind}));
        let expected = Incoming {
            provider_id: Some("Ev9UQ52YNA".into()),
            says: Says::Text("Olá".into()),
            sender: Some("U061F7AUR".into()),
            ..Incoming::of(payload.clone())
        };
        assert_eq!(message(&payload), expected);
    }
}

#[test]
fn what_people_write_in_other_ways_is_a_message_too() {
    for subtype in
        [json!(null), json!("file_share"), json!("thread_broadcast"), json!("me_message")]
    {
        assert_eq!(message(&event(&json!({"subtype": subtype}))).says, Says::Text("Olá".into()));
    }
}

#[test]
fn what_no_person_wrote_is_a_notice() {
    for fields in [
        json!({"bot_id": "B1"}),
        json!({"bot_profile": {"id": "B1"}}),
        json!({"subtype": "bot_message"}),
        json!({"subtype": "message_changed"}),
        json!({"subtype": "message_deleted"}),
        json!({"subtype": "channel_join"}),
        json!({"subtype": "something_new"}),
        json!({"subtype": 1}),
        json!({"type": "reaction_added"}),
        json!({"user": "U0BOT"}),
        json!({"user": "USLACKBOT"}),
        json!({"user": null}),
        json!({"text": " "}),
        json!({"text": null, "files": []}),
    ] {
        assert_eq!(answer(&event(&fields)), nothing_to_say(), "{fields}");
    }
    for payload in [
        json!({"type": "app_rate_limited", "minute_rate_limited": 1}),
        json!({"type": "event_callback"}),
        json!({"type": "something_new"}),
        json!({"ssl_check": "1", "token": "x"}),
        json!({"ssl_check": "1", "command": "/ask", "text": "x"}),
        json!({}),
        json!([]),
        json!(null),
    ] {
        assert_eq!(answer(&payload), nothing_to_say(), "{payload}");
    }
}

#[test]
fn files_stand_in_for_a_text() {
    let files = json!([{"mimetype": "image/png", "name": "plan.png"}, {"name": "odd"}, {}]);
    let shared = message(&event(&json!({"subtype": "file_share", "text": "", "files": files})));
    assert_eq!(shared.says, Says::Text(String::new()));
    assert_eq!(shared.description.as_deref(), Some("[image/png] plan.png\n[file] odd\n[file]"));
}

#[test]
fn a_command_says_its_text_or_else_itself() {
    let payload =
        json!({"command": "/ask", "text": "the time", "user_id": "U1", "trigger_id": "1.2"});
    let expected = Incoming {
        provider_id: Some("1.2".into()),
        says: Says::Text("the time".into()),
        description: Some("/ask".into()),
        sender: Some("U1".into()),
        ..Incoming::of(payload.clone())
    };
    assert_eq!(message(&payload), expected);
}

#[test]
fn an_interaction_says_what_was_chosen() {
    let of = |fields: Value| {
        let mut payload = json!({"user": {"id": "U1"}, "trigger_id": "1.2"});
        payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let message = message(&json!({"payload": payload.to_string()}));
        assert_eq!(message.payload, payload);
        assert_eq!(message.provider_id.as_deref(), Some("1.2"));
        assert_eq!(message.sender.as_deref(), Some("U1"));
        message.says
    };
    let text = |text: &str| Says::Text(text.to_owned());
    let button = json!([{"type": "button", "text": {"text": "Yes"}, "value": "y"}]);
    assert_eq!(of(json!({"type": "block_actions", "actions": button})), text("Yes"));
    let options = json!([{"selected_option": {"text": {"text": "Red"}}}, {"value": "free text"}]);
    assert_eq!(of(json!({"type": "block_actions", "actions": options})), text("Red\nfree text"));
    let about = json!({"type": "message_action", "message": {"text": "look at this"}});
    assert_eq!(of(about), text("look at this"));
    for other in [
        json!({"type": "block_actions", "actions": []}),
        json!({"type": "view_submission", "view": {"state": {}}}),
        json!({"type": "shortcut", "callback_id": "new_ticket"}),
    ] {
        assert_eq!(of(other), Says::Payload);
    }
}

proptest! {
    #[test]
    fn exactly_what_was_signed_is_authentic(
        body in prop::collection::vec(any::<u8>(), 0..100), flip in any::<Flip>(),
    ) {
        let headers = providers::slack(&body, SECRET, AT);
        assert_only_what_was_signed_is_authentic(&*slack(SECRET), &body, &headers, AT, flip);
    }
}
