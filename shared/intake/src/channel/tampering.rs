//! What holds of every adapter: only what was signed is authentic, and nothing makes one panic.

use std::sync::Arc;

use proptest::prelude::*;
use recado_testkit::providers::Headers;
use recado_types::trigger::ChannelKind;
use serde_json::{Map, Value, json};

use super::Channel;
use super::tests::{Request, adapter_of};

/// Which bit of something is turned over.
pub(super) type Flip = (usize, u8);

pub(super) fn signed_request(body: &[u8], headers: &[(&'static str, String)], at: i64) -> Request {
    let request = Request::post(body).at(at);
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// Asserts that `channel` takes the request, but not with another body, nor with one of `headers`
/// missing, repeated or changed.
pub(super) fn assert_only_what_was_signed_is_authentic(
    channel: &dyn Channel,
    body: &[u8],
    headers: &Headers,
    at: i64,
    flip: Flip,
) {
    let accepts = |body: &[u8], headers: &Headers| {
        channel.is_authentic(&signed_request(body, headers, at).received())
    };
    assert!(accepts(body, headers), "{headers:?}");
    assert!(!accepts(&[body, b" "].concat(), headers), "a longer body");
    if !body.is_empty() {
        assert!(!accepts(&flipped(body, flip), headers), "a flipped bit of the body");
        assert!(!accepts(&body[1..], headers), "a shorter body");
    }
    for index in 0..headers.len() {
        let name = headers[index].0;
        let mut others = headers.clone();
        let (_, value) = others.remove(index);
        assert!(!accepts(body, &others), "without {name}");

        let mut repeated = headers.clone();
        repeated.push((name, value.clone()));
        assert!(!accepts(body, &repeated), "{name} twice");

        let changed = String::from_utf8(flipped(value.as_bytes(), flip)).ok();
        let is_header = |text: &String| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        // The digits of hex may be large or small.
        let is_another = |text: &String| !text.eq_ignore_ascii_case(&value);
        if let Some(changed) = changed.filter(is_header).filter(is_another) {
            let mut altered = headers.clone();
            altered[index].1.clone_from(&changed);
            assert!(!accepts(body, &altered), "{name}: {changed} for {value}");
        }
    }
}

fn flipped(bytes: &[u8], (at, bit): Flip) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[at % bytes.len()] ^= 1_u8 << (bit % 8);
    flipped
}

/// An adapter of each kind.
fn adapters() -> Vec<Arc<dyn Channel>> {
    let kinds = ChannelKind::ALL.iter().filter(|(_, kind)| *kind != ChannelKind::Generic);
    let of_kind = |(name, kind): &(&'static str, ChannelKind)| {
        let channel = match kind {
            ChannelKind::TwilioWhatsapp | ChannelKind::TwilioSms => {
                json!({"type": name, "auth": {"type": "basic", "secret_ref": "S"}})
            }
            _ => json!({"type": name, "signing_secret_ref": "S"}),
        };
        // A Twilio credential, a base64 key, and a text.
        adapter_of(&channel, &[("S", "AC1:token\nc2VjcmV0cw==\nsecret")])
    };
    kinds.map(of_kind).collect()
}

/// Headers that adapters look at.
const HEADERS: [&str; 15] = [
    "Authorization",
    "Stripe-Signature",
    "X-GitHub-Delivery",
    "X-GitHub-Event",
    "X-Hub-Signature-256",
    "X-Slack-Request-Timestamp",
    "X-Slack-Retry-Num",
    "X-Slack-Signature",
    "X-Twilio-Signature",
    "svix-id",
    "svix-signature",
    "svix-timestamp",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// Fields that adapters look for, and values that mean something to them.
const NAMES: &str = "type|event|event_callback|message|app_mention|url_verification|challenge|text|\
    user|subtype|authorizations|user_id|files|command|payload|actions|block_actions|object|entry|\
    changes|field|value|messages|contacts|from|wa_id|id|image|caption|location|interactive|\
    button_reply|title|NumMedia|MessageStatus|Latitude|Body|aadObjectId|attachments";

fn name() -> impl Strategy<Value = String> {
    prop_oneof![9 => prop::sample::select(NAMES.split('|').collect::<Vec<_>>()).prop_map(str::to_owned),
                1 => "\\PC{0,8}"]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        name().prop_map(Value::from),
        "[<>&;#x0-9a-z/ ]{0,24}".prop_map(Value::from),
    ];
    leaf.prop_recursive(7, 64, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..5)
                .prop_map(|fields| Value::from(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Requests that are nearly right, with one value replaced.
fn nearly_right() -> impl Strategy<Value = Value> {
    let samples = vec![
        json!({"type": "event_callback", "event_id": "Ev1", "authorizations": [{"user_id": "U2"}],
               "event": {"type": "message", "user": "U1", "text": "",
                         "files": [{"mimetype": "image/png", "name": "a.png"}]}}),
        json!({"type": "block_actions", "trigger_id": "1", "user": {"id": "U1"},
               "actions": [{"text": {"text": "Yes"}}]}),
        json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{
               "field": "messages", "value": {
                   "metadata": {"phone_number_id": "1"},
                   "contacts": [{"wa_id": "5511", "profile": {"name": "Ana"}}],
                   "messages": [{"from": "5511", "id": "wamid.1", "type": "location",
                                 "location": {"latitude": 1.5, "longitude": 2.5}}]}}]}]}),
        json!({"type": "message", "id": "1", "text": "<at>R</at>&nbsp;hi", "from": {"id": "1"}}),
        json!({"NumMedia": "1", "MediaUrl0": "u", "Latitude": "1", "Longitude": "2"}),
    ];
    (prop::sample::select(samples), any::<usize>(), json_value()).prop_map(
        |(mut sample, at, other)| {
            let size = size(&sample);
            *nth(&mut sample, &mut (at % size)).expect("it has that many values") = other;
            sample
        },
    )
}

/// How many values there are in a value, itself included.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.values().map(size).sum::<usize>(),
        _ => 0,
    }
}

fn nth<'v>(value: &'v mut Value, left: &mut usize) -> Option<&'v mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, left)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, left)),
        _ => None,
    }
}

proptest! {
    #[test]
    fn no_header_makes_an_adapter_panic_or_believe_it(
        texts in prop::collection::vec("(v1|v0|sha256|t|HMAC|[0-9a-f=, ]|\\PC){0,12}", HEADERS.len()),
    ) {
        let headers: Headers = HEADERS.into_iter().zip(texts).collect();
        let request = signed_request(b"{}", &headers, 1_800_000_000);
        for adapter in adapters() {
            prop_assert!(!adapter.is_authentic(&request.received()), "{adapter:?}");
        }
    }

    #[test]
    fn no_payload_makes_an_adapter_panic(payload in prop_oneof![json_value(), nearly_right()]) {
        let request = Request::post(payload.to_string());
        for adapter in adapters() {
            let _arrival = adapter.interpret(&request.received(), payload.clone());
        }
    }

    #[test]
    fn no_query_makes_an_adapter_panic(
        query in "(hub\\.mode=subscribe|hub\\.verify_token=|hub\\.challenge=|[a-z%&=.]){0,8}",
    ) {
        let request = Request::post("").query(&query);
        for adapter in adapters() {
            let _challenge = adapter.challenge(&request.received());
        }
    }
}
