//! Channels: no request is anybody's who does not know the key, what a provider signs is authentic
//! and nothing else is, and no payload makes an adapter panic.
//!
//! Input: the channel (an ASCII digit is its number in [`CHANNELS`]), a byte and a bit to turn over,
//! then a request (`src/request.rs`).

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use recado_fuzz::providers::{self, Headers};
use recado_fuzz::request::{NOW, Parts};
use recado_fuzz::{STACK, holds_nul, json, on_a_stack_of, secret_for, twilio};
use recado_intake::fuzzing::{Message, PUBLIC_URL, Request, Trigger, form_fields};
use recado_types::trigger::TriggerConfig;
use serde_json::{Value, json};

/// What a provider signs; nothing if the provider never sends such a body.
type Sign = fn(&[u8], &str) -> Option<Headers>;

/// Each channel, how it signs, and a request of its provider.
const CHANNELS: [(&str, Sign, &str); 10] = [
    ("twilio_whatsapp", sign_twilio, include_str!("../seeds/channels/twilio_whatsapp")),
    ("twilio_sms", sign_twilio, include_str!("../seeds/channels/twilio_sms")),
    ("meta_whatsapp", sign_meta, include_str!("../seeds/channels/meta_whatsapp")),
    ("slack", sign_slack, include_str!("../seeds/channels/slack")),
    ("teams", sign_teams, include_str!("../seeds/channels/teams")),
    ("github", sign_github, include_str!("../seeds/channels/github")),
    ("stripe", sign_stripe, include_str!("../seeds/channels/stripe")),
    ("standard_webhooks", sign_standard, include_str!("../seeds/channels/standard_webhooks")),
    ("svix", sign_svix, include_str!("../seeds/channels/svix")),
    ("generic", sign_meta, include_str!("../seeds/channels/generic")),
];
const PATH: &str = "/api/triggers/webhook/1";

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    channel: u8,
    at: u16,
    bit: u8,
    request: &'a [u8],
}

fuzz_target!(|data: &[u8]| {
    if let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) {
        on_a_stack_of(STACK, data, || check(&input));
    }
});

fn check(input: &Input<'_>) {
    let (kind, sign, sample) =
        CHANNELS[usize::from(input.channel.wrapping_sub(b'0')) % CHANNELS.len()];
    let key = secret_for(input.request);
    let secret = match kind {
        "twilio_whatsapp" | "twilio_sms" => format!("AC1:{key}"),
        _ => key.clone(),
    };
    let config = TriggerConfig::parse(&config(kind)).expect("the target's configuration is valid");
    let trigger = Trigger::new(config, &secret);
    let parts = Parts::of(input.request);
    let request = parts.received();
    assert!(!trigger.is_authentic(&request) && !trigger.passes_challenge(&request));
    only_what_was_signed_is_authentic(&trigger, sign, &key, input, parts.body);
    let sample = Parts::of(sample.as_bytes().split_at(4).1).received();
    for payload in [request.payload(), sample.payload()].into_iter().flatten() {
        becomes_messages(&trigger, &request, &payload);
        let nearly = json::changed(payload, &mut Unstructured::new(parts.body));
        if !holds_nul(&nearly) {
            becomes_messages(&trigger, &request, &nearly);
        }
    }
}

fn config(kind: &str) -> Value {
    let channel = match kind {
        "twilio_whatsapp" | "twilio_sms" => {
            json!({"type": kind, "auth": {"type": "basic", "secret_ref": "S"}})
        }
        "generic" => json!({
            "type": kind,
            "signingSecretCredentialReferenceId": "S",
            "signatureVerification": {
                "algorithm": "sha256", "encoding": "hex",
                "signature": {"source": "header", "key": "X-Hub-Signature-256",
                              "prefix": "sha256="},
                "signedComponents": [{"source": "body"}],
                "componentJoin": {"strategy": "concatenate", "separator": ""},
            },
            "messageTemplate": "{{sender.login}}: {{action}}",
        }),
        _ => json!({"type": kind, "signing_secret_ref": "S"}),
    };
    json!({"channel": channel, "execution": {"mode": "async"}})
}

fn only_what_was_signed_is_authentic(
    trigger: &Trigger,
    sign: Sign,
    key: &str,
    input: &Input<'_>,
    body: &[u8],
) {
    let Some(headers) = sign(body, key) else { return };
    let accepts = |headers: &Headers, body: &[u8]| {
        trigger.is_authentic(&Request::new(PATH, headers, body, NOW))
    };
    assert!(accepts(&headers, body), "a signed body");
    assert!(!accepts(&Headers::new(), body), "an unsigned body");
    if !body.is_empty() {
        let flipped = flipped(body, input);
        // A form may be spelled in several ways.
        let is_same = sign(&flipped, key).is_some_and(|others| others == headers);
        assert_eq!(accepts(&headers, &flipped), is_same, "a flipped bit of the body");
    }
    let mut altered = headers.clone();
    let value = &mut altered[0].1;
    *value = String::from_utf8_lossy(&flipped(value.as_bytes(), input)).into_owned();
    // Hexadecimal digits may be large or small, and HTTP takes spaces off a value.
    let is_same = value.trim().eq_ignore_ascii_case(&headers[0].1);
    assert!(is_same || !accepts(&altered, body), "a flipped bit of a header");
}

fn flipped(bytes: &[u8], input: &Input<'_>) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[usize::from(input.at) % bytes.len()] ^= 1 << (input.bit % 8);
    flipped
}

fn becomes_messages(trigger: &Trigger, request: &Request, payload: &Value) {
    let messages = trigger.messages(request, payload.clone());
    assert_eq!(messages, trigger.messages(request, payload.clone()));
    for Message { text, context } in messages.into_iter().flatten().flatten() {
        assert!(!text.trim().is_empty());
        assert!(!text.contains('\0') && !holds_nul(&Value::Object(context)));
    }
}

fn sign_twilio(body: &[u8], key: &str) -> Option<Headers> {
    let fields = form_fields(body, 1_000)?;
    let signature = twilio::sign(key, &format!("{PUBLIC_URL}{PATH}"), &fields);
    Some(vec![("X-Twilio-Signature", signature)])
}

fn sign_meta(body: &[u8], key: &str) -> Option<Headers> {
    Some(providers::meta(body, key))
}

fn sign_slack(body: &[u8], key: &str) -> Option<Headers> {
    Some(providers::slack(body, key, NOW))
}

fn sign_teams(body: &[u8], key: &str) -> Option<Headers> {
    Some(providers::teams(body, key))
}

fn sign_github(body: &[u8], key: &str) -> Option<Headers> {
    Some(providers::github(body, key, "push", "1"))
}

fn sign_stripe(body: &[u8], key: &str) -> Option<Headers> {
    Some(providers::stripe(body, key, NOW))
}

fn sign_standard(body: &[u8], key: &str) -> Option<Headers> {
    Some(providers::standard_webhooks("msg_1", NOW, body, key))
}

fn sign_svix(body: &[u8], key: &str) -> Option<Headers> {
    Some(providers::svix("msg_1", NOW, body, key))
}
