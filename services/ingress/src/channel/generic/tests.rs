//! Other people's schemes described as generic channels, and what a description may get wrong.

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;
use crate::channel::tests::{Request, adapter_of, messages};

/// A generic channel with these fields, signed with `SIGNING` as far as they say so.
fn channel(fields: Value, secret: &str) -> std::sync::Arc<dyn Channel> {
    let mut channel = fields;
    channel["type"] = json!("generic");
    if channel.get("signatureVerification").is_some() {
        channel["signingSecretCredentialReferenceId"] = json!("SIGNING");
    }
    adapter_of(&channel, &[("SIGNING", secret), ("TOKEN", "t0ken\nother"), ("SECOND", "s3cond")])
}

fn signed_by(rules: &Value, secret: &str) -> std::sync::Arc<dyn Channel> {
    channel(json!({ "signatureVerification": rules }), secret)
}

fn is_authentic(channel: &dyn Channel, request: &Request) -> bool {
    channel.is_authentic(&request.received())
}

fn hmac(secret: &[u8], signed: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.chain_update(signed).finalize().into_bytes().to_vec()
}

/// A signature over the raw body in a header, in hexadecimal.
fn plain() -> Value {
    json!({
        "algorithm": "sha256", "encoding": "hex",
        "signature": {"source": "header", "key": "X-Signature"},
        "signedComponents": [{"source": "body"}],
        "componentJoin": {"strategy": "concatenate", "separator": ""},
    })
}

/// [`plain`] with other fields.
fn plain_with(fields: Value) -> Value {
    let mut rules = plain();
    let Value::Object(fields) = fields else { panic!("{fields}") };
    rules.as_object_mut().unwrap().extend(fields);
    rules
}

const SECRET: &str = "s3cret";

/// A request with this body whose signature in `X-Signature` is made over `signed`.
fn request(body: &str, signed: impl AsRef<[u8]>) -> Request {
    let code = hex::encode(hmac(SECRET.as_bytes(), signed.as_ref()));
    Request::post(body).header("X-Signature", &code)
}

// Published vectors, where the bytes of the whole request are known.

#[test]
fn github_can_be_described() {
    let github = signed_by(
        &json!({
            "algorithm": "sha256", "encoding": "hex",
            "signature": {"source": "header", "key": "X-Hub-Signature-256", "prefix": "sha256="},
            "signedComponents": [{"source": "body"}],
            "componentJoin": {"strategy": "concatenate", "separator": ""},
        }),
        "It's a Secret to Everybody",
    );
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
    let slack = signed_by(
        &json!({
            "algorithm": "sha256", "encoding": "hex",
            "signature": {"source": "header", "key": "X-Slack-Signature", "prefix": "v0="},
            "signedComponents": [
                {"source": "literal", "value": "v0"},
                {"source": "header", "key": "X-Slack-Request-Timestamp", "regex": "^([0-9]+)$"},
                {"source": "body"},
            ],
            "componentJoin": {"strategy": "concatenate", "separator": ":"},
        }),
        "8f742231b10e8888abcd99yyyzzz85a5",
    );
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
    let stripe = signed_by(
        &json!({
            "algorithm": "sha256", "encoding": "hex",
            "signature":
                {"source": "header", "key": "Stripe-Signature", "regex": "(?:^|,)v1=([0-9a-f]{64})"},
            "signedComponents": [
                {"source": "header", "key": "Stripe-Signature", "regex": "(?:^|,)t=([0-9]+)"},
                {"source": "body"},
            ],
            "componentJoin": {"strategy": "concatenate", "separator": "."},
        }),
        secret,
    );
    let body = r#"{"id":"evt_1","object":"event"}"#;
    let code = hex::encode(hmac(secret.as_bytes(), format!("1492774577.{body}").as_bytes()));
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

/// Twilio's published example of a JSON body: what it signs is its own address, a literal here.
#[test]
fn twilio_json_can_be_described_with_sha1_and_base64() {
    let address = "https://mycompany.com/myapp.php?foo=1&bar=2";
    let short = signed_by(
        &json!({
            "algorithm": "sha1", "encoding": "base64",
            "signature": {"source": "query", "key": "sig"},
            "signedComponents":
                [{"source": "literal", "value": address}, {"source": "body", "key": "hash"}],
            "componentJoin": {"strategy": "concatenate", "separator": ""},
        }),
        "12345",
    );
    let mac = Hmac::<sha1::Sha1>::new_from_slice(b"12345").unwrap();
    let signed = mac.chain_update(address).chain_update("0a1f").finalize().into_bytes();
    let code = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, signed);
    let query = form_urlencoded(&code);
    let sent = |query: &str| {
        is_authentic(&*short, &Request::post(r#"{"hash":"0a1f"}"#).query(query))
    };
    assert!(sent(&format!("a=b&sig={query}")));
    assert!(!sent("a=b"));
}

fn form_urlencoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

// What each field does.

#[test]
fn every_algorithm_and_spelling_is_verified() {
    // HMAC with the key `key` over "The quick brown fox jumps over the lazy dog", as is printed in
    // many places.
    let vectors = [
        ("md5", "80070713463e7749b90c2dc24911e275"),
        ("sha1", "de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9"),
        ("sha256", "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"),
        (
            "sha384",
            "d7f4727e2c0b39ae0f1e40cc96f60242d5b7801841cea6fc592c5d3e1ae50700\
             582a96cf35e1e554995fe4e03381c237",
        ),
        (
            "sha512",
            "b42af09057bac1e2d41708e48a902e09b5ff7f12ab428a4fe86653c73dd248fb\
             82f948a549f7b791a5b41915ee4d1ec3935357e4e2317250d0372afa2ebeeb3a",
        ),
    ];
    let body = "The quick brown fox jumps over the lazy dog";
    for (algorithm, code) in vectors {
        for encoding in ["hex", "base64"] {
            let rules = plain_with(json!({"algorithm": algorithm, "encoding": encoding}));
            let channel = signed_by(&rules, "key");
            let spellings = match encoding {
                "hex" => vec![code.to_owned(), code.to_uppercase()],
                _ => spellings_of(&hex::decode(code).unwrap()),
            };
            for spelling in spellings {
                let sent = |body: &str| Request::post(body).header("X-Signature", &spelling);
                assert!(is_authentic(&*channel, &sent(body)), "{algorithm} {spelling}");
                assert!(!is_authentic(&*channel, &sent("another")), "{algorithm} {spelling}");
            }
        }
    }
}

/// Base64 in all its forms.
fn spellings_of(code: &[u8]) -> Vec<String> {
    use base64::Engine;
    use base64::prelude::{
        BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD,
    };
    vec![
        BASE64_STANDARD.encode(code),
        BASE64_STANDARD_NO_PAD.encode(code),
        BASE64_URL_SAFE.encode(code),
        BASE64_URL_SAFE_NO_PAD.encode(code),
    ]
}

#[test]
fn a_part_of_the_body_is_a_text_or_is_refused() {
    let rules = plain_with(json!({
        "signedComponents": [{"source": "body", "key": "id"}, {"source": "body", "key": "n"}],
        "componentJoin": {"strategy": "concatenate", "separator": "|"},
    }));
    let channel = signed_by(&rules, SECRET);
    let sent = |body: &str, signed: &str| is_authentic(&*channel, &request(body, signed));
    assert!(sent(r#"{"id": "e1", "n": 7}"#, "e1|7"));
    assert!(sent(r#"{"id": "e1", "n": true, "more": "not signed"}"#, "e1|true"));
    for body in [
        r#"{"id": "e1"}"#,
        r#"{"id": "e1", "n": null}"#,
        r#"{"id": "e1", "n": {}}"#,
        r#"{"id": "e1", "n": []}"#,
        "not json",
        "",
    ] {
        for signed in ["e1|", "e1|null", "e1|{}", "e1|[]", "|", ""] {
            assert!(!sent(body, signed), "{body} {signed}");
        }
    }
}

#[test]
fn an_optional_part_leaves_its_separator() {
    let rules = |required: bool| {
        plain_with(json!({
            "signedComponents": [
                {"source": "header", "key": "X-Id", "required": required},
                {"source": "body", "key": "id", "regex": "^e([0-9]+)$", "required": required},
                {"source": "body"},
            ],
            "componentJoin": {"strategy": "concatenate", "separator": "."},
        }))
    };
    let (optional, required) = (signed_by(&rules(false), SECRET), signed_by(&rules(true), SECRET));
    let body = r#"{"id":"x"}"#;
    assert!(is_authentic(&*optional, &request(body, format!("..{body}"))));
    assert!(!is_authentic(&*optional, &request(body, body)));
    assert!(!is_authentic(&*required, &request(body, format!("..{body}"))));
    let body = r#"{"id":"e12"}"#;
    let complete = || request(body, format!("a.12.{body}")).header("X-Id", "a");
    assert!(is_authentic(&*optional, &complete()) && is_authentic(&*required, &complete()));
}

#[test]
fn an_optional_part_that_is_no_text_is_refused() {
    let rules = plain_with(json!({
        "signedComponents": [{"source": "body", "key": "id", "required": false}],
    }));
    let channel = signed_by(&rules, SECRET);
    assert!(is_authentic(&*channel, &request("{}", "")));
    assert!(!is_authentic(&*channel, &request(r#"{"id": {}}"#, "")));
}

#[test]
fn a_signature_may_be_in_the_body() {
    let rules = plain_with(json!({
        "signature": {"source": "body", "key": "meta.sign", "regex": "^v1:(.+)$"},
        "signedComponents": [{"source": "body", "key": "id"}],
    }));
    let channel = signed_by(&rules, SECRET);
    let code = hex::encode(hmac(SECRET.as_bytes(), b"e1"));
    let sent = |sign: Value| {
        let body = json!({"id": "e1", "meta": {"sign": sign}}).to_string();
        is_authentic(&*channel, &Request::post(body))
    };
    assert!(sent(json!(format!("v1:{code}"))));
    assert!(!sent(json!(code)));
    assert!(!sent(json!([code])));
    assert!(!sent(Value::Null));
}

#[test]
fn an_empty_body_is_refused_if_so_configured() {
    for allowed in [true, false] {
        let rules = plain_with(json!({"validation": {"allowEmptyBody": allowed}}));
        let channel = signed_by(&rules, SECRET);
        assert_eq!(is_authentic(&*channel, &request("", "")), allowed);
        assert!(is_authentic(&*channel, &request("x", "x")));
    }
}

#[test]
fn unicode_is_normalized_if_so_configured() {
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    for normalized in [true, false] {
        let rules = plain_with(json!({"validation": {"normalizeUnicode": normalized}}));
        let channel = signed_by(&rules, SECRET);
        assert!(is_authentic(&*channel, &request(composed, composed)));
        assert_eq!(is_authentic(&*channel, &request(decomposed, composed)), normalized);
        assert_eq!(is_authentic(&*channel, &request(decomposed, decomposed)), !normalized);
    }
}

#[test]
fn each_line_of_the_secret_is_a_key() {
    let rotating = signed_by(&plain(), "old\ns3cret\n");
    assert!(is_authentic(&*rotating, &request("x", "x")));
    let empty = signed_by(&plain(), " \n");
    let by_nobody = hex::encode(hmac(b"", b"x"));
    assert!(!is_authentic(&*empty, &Request::post("x").header("X-Signature", &by_nobody)));
}

#[test]
fn all_headers_have_to_match() {
    let channel = channel(
        json!({"authentication": {"headers": [
            {"name": "X-Token", "secret_ref": "TOKEN"}, {"name": "X-Second", "secret_ref": "SECOND"},
        ]}}),
        SECRET,
    );
    assert!(channel.always_checks());
    let sent = |token: &str, second: &str| {
        let request = Request::post("x").header("X-Token", token).header("x-second", second);
        is_authentic(&*channel, &request)
    };
    assert!(sent("t0ken", "s3cond") && sent("other", "s3cond"));
    assert!(!sent("t0ken", "S3cond") && !sent("t0ke", "s3cond") && !sent("", ""));
    assert!(!is_authentic(&*channel, &Request::post("x").header("X-Token", "t0ken")));
    assert!(!is_authentic(&*channel, &Request::post("x")));
}

#[test]
fn headers_and_signature_are_both_checked() {
    let both = channel(
        json!({
            "signatureVerification": plain(),
            "authentication": {"headers": [{"name": "X-Token", "secret_ref": "TOKEN"}]},
        }),
        SECRET,
    );
    assert!(is_authentic(&*both, &request("x", "x").header("X-Token", "t0ken")));
    assert!(!is_authentic(&*both, &request("x", "y").header("X-Token", "t0ken")));
    assert!(!is_authentic(&*both, &request("x", "x")));
}

#[test]
fn without_a_secret_nothing_is_authentic() {
    let described = json!({"type": "generic", "signatureVerification": plain(),
                           "signingSecretCredentialReferenceId": "GONE"});
    let gone = adapter_of(&described, &[]);
    assert!(gone.always_checks());
    assert!(!is_authentic(&*gone, &request("x", "x")));
    let headers = json!({"type": "generic", "authentication":
                         {"headers": [{"name": "X-Token", "secret_ref": "GONE"}]}});
    let gone = adapter_of(&headers, &[]);
    assert!(!is_authentic(&*gone, &Request::post("x").header("X-Token", "")));
    let nothing = adapter_of(&json!({"type": "generic"}), &[]);
    assert!(!nothing.always_checks() && !is_authentic(&*nothing, &Request::post("x")));
}

// What becomes of the payload.

fn refused(channel: &dyn Channel, payload: Value) -> (String, String) {
    match channel.interpret(&Request::post("").received(), payload) {
        Err(Refusal::InvalidInput { field, reason }) => (field, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_payload_is_checked_transformed_and_told() {
    let channel = channel(
        json!({
            "inputSchema": {"properties": {"user": {"required": ["name"]}}, "required": ["user"]},
            "outputTransform":
                {"objectTransformation": {"who": "user.name", "first": "items[0]", "none": "x"}},
            "messageTemplate": "{{ who }} wrote {{first.text}}{{none}}{{user.name}}!",
        }),
        SECRET,
    );
    let body = r#"{"user": {"name": "Ana"}, "items": [{"text": "hi {{who}}"}]}"#;
    let message = messages(&*channel, &Request::post(body)).swap_remove(0);
    assert_eq!(message.says, Says::Text("Ana wrote hi {{who}}!".into()));
    let transformed = json!({"who": "Ana", "first": {"text": "hi {{who}}"}, "none": null});
    assert_eq!(message.payload, transformed);
    assert_eq!((message.provider_id, message.sender), (None, None));

    let (field, reason) = refused(&*channel, json!({"user": {}}));
    assert_eq!(field, "user");
    assert!(reason.contains("inputSchema") && reason.contains("name"), "{reason}");
    assert_eq!(refused(&*channel, json!({})).0, "body");
}

#[test]
fn what_cannot_be_transformed_is_refused_with_the_reason() {
    let channel = channel(json!({"outputTransform": {"jmespath": "abs(name)"}}), SECRET);
    let (field, reason) = refused(&*channel, json!({"name": "Ana"}));
    assert_eq!(field, "outputTransform");
    assert!(reason.contains("jmespath") && reason.contains("abs"), "{reason}");
}

#[test]
fn a_template_has_an_end() {
    let template = "{{text}}".repeat(1_000);
    let channel = channel(json!({ "messageTemplate": template }), SECRET);
    let (field, _) = refused(&*channel, json!({"text": "x".repeat(10_000)}));
    assert_eq!(field, "messageTemplate");
}

proptest! {
    #[test]
    fn exactly_the_signed_bytes_are_accepted(
        body in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<prop::sample::Index>(),
    ) {
        let channel = signed_by(&plain(), SECRET);
        let code = hex::encode(hmac(SECRET.as_bytes(), &body));
        let sent = |body: Vec<u8>| {
            is_authentic(&*channel, &Request::post(body).header("X-Signature", &code))
        };
        prop_assert!(sent(body.clone()));
        let mut longer = body.clone();
        longer.push(b' ');
        prop_assert!(!sent(longer));
        if !body.is_empty() {
            let mut changed = body.clone();
            changed[at.index(body.len())] ^= 1 << bit;
            prop_assert!(!sent(changed));
            prop_assert!(!sent(body[..cut.index(body.len())].to_vec()));
        }
    }

    #[test]
    fn no_header_query_or_body_does_harm(
        header in "[ -~]{0,80}", query in "[a-z=&%0-9+]{0,40}", body in "[{}\\[\\]\":,a-c0-9]{0,40}",
    ) {
        for place in [json!({"source": "header", "key": "X-Signature", "prefix": "a"}),
                      json!({"source": "query", "key": "a", "regex": "(.)"}),
                      json!({"source": "body", "key": "a"})] {
            let rules = plain_with(json!({
                "signature": place,
                "signedComponents": [{"source": "body", "key": "b", "required": false},
                                     {"source": "header", "key": "X-Signature", "regex": "(a+)"}],
            }));
            let request = Request::post(body.clone()).query(&query).header("X-Signature", &header);
            prop_assert!(!is_authentic(&*signed_by(&rules, SECRET), &request));
        }
    }

    #[test]
    fn interpreting_never_panics(text in "[{}\\[\\]\":,a-c0-9 ]{0,60}") {
        let described = json!({
            "inputSchema": {"properties": {"a": {"type": ["integer", "array"]}}},
            "outputTransform": {"jmespath": "{a: a, b: a[0], c: length(to_array(b))}"},
            "messageTemplate": "{{a}} {{b.c}} {{c}}",
        });
        let payload = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let _ = channel(described, SECRET).interpret(&Request::post("").received(), payload);
    }
}
