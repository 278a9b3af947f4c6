//! What each field of a description does.

use proptest::prelude::*;

use super::*;
use crate::auth::Proof;

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
            let rules = rules(json!({"algorithm": algorithm, "encoding": encoding}));
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
    let rules = rules(json!({
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
        rules(json!({
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
    let rules = rules(json!({
        "signedComponents": [{"source": "header", "key": "X-Id"},
                             {"source": "body", "key": "id", "required": false}],
    }));
    let channel = signed_by(&rules, SECRET);
    assert!(is_authentic(&*channel, &request("{}", "1").header("X-Id", "1")));
    assert!(!is_authentic(&*channel, &request(r#"{"id": {}}"#, "1").header("X-Id", "1")));
}

#[test]
fn a_signature_may_be_in_the_body() {
    let rules = rules(json!({
        "signature": {"source": "body", "key": "meta.sign", "regex": "^v1:(.+)$"},
        "signedComponents": [{"source": "body", "key": "id"}],
    }));
    let channel = signed_by(&rules, SECRET);
    let code = hmac(SECRET, "e1");
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
fn a_signature_may_be_in_the_query() {
    let rules = rules(json!({
        "encoding": "base64",
        "signature": {"source": "query", "key": "sig"},
        "signedComponents": [
            {"source": "literal", "value": "https://recado.example.com/"},
            {"source": "body", "key": "hash"},
        ],
    }));
    let channel = signed_by(&rules, SECRET);
    let code = hex::decode(hmac(SECRET, "https://recado.example.com/0a1f")).unwrap();
    let code = spellings_of(&code).swap_remove(0);
    let encoded: String = url::form_urlencoded::byte_serialize(code.as_bytes()).collect();
    let sent =
        |query: &str| is_authentic(&*channel, &Request::post(r#"{"hash":"0a1f"}"#).query(query));
    assert!(sent(&format!("a=b&sig={encoded}")));
    assert!(!sent(&format!("a=b&SIG={encoded}")) && !sent("sig") && !sent(""));
}

#[test]
fn an_empty_body_is_refused_if_so_configured() {
    for allowed in [true, false] {
        let rules = rules(json!({"validation": {"allowEmptyBody": allowed}}));
        let channel = signed_by(&rules, SECRET);
        assert_eq!(is_authentic(&*channel, &request("", "")), allowed);
        assert!(is_authentic(&*channel, &request("x", "x")));
    }
}

#[test]
fn unicode_is_normalized_if_so_configured() {
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    for normalized in [true, false] {
        let rules = rules(json!({"validation": {"normalizeUnicode": normalized}}));
        let channel = signed_by(&rules, SECRET);
        assert!(is_authentic(&*channel, &request(composed, composed)));
        assert_eq!(is_authentic(&*channel, &request(decomposed, composed)), normalized);
        assert_eq!(is_authentic(&*channel, &request(decomposed, decomposed)), !normalized);
    }
}

#[test]
fn each_line_of_the_secret_is_a_key() {
    let rotating = signed_by(&rules(json!({})), "old\ns3cret\n");
    assert!(is_authentic(&*rotating, &request("x", "x")));
    let empty = signed_by(&rules(json!({})), " \n");
    let by_nobody = hmac("", "x");
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
    assert_eq!(channel.proof(), Proof::HeaderSecret);
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
fn a_header_that_counts_stands_there_once() {
    let token = channel(
        json!({"authentication": {"headers": [{"name": "X-Token", "secret_ref": "TOKEN"}]}}),
        SECRET,
    );
    let twice = Request::post("x").header("X-Token", "t0ken").header("X-Token", "t0ken");
    assert!(!is_authentic(&*token, &twice));

    let rules = rules(json!({
        "signedComponents": [{"source": "header", "key": "X-Id", "required": false},
                             {"source": "body"}],
    }));
    let signed = signed_by(&rules, SECRET);
    assert!(is_authentic(&*signed, &request("x", "ax").header("X-Id", "a")));
    // Neither as one of them, nor as if there were none.
    for signed_as in ["ax", "bx", "aax", "x"] {
        let twice = request("x", signed_as).header("X-Id", "a").header("X-Id", "b");
        assert!(!is_authentic(&*signed, &twice), "{signed_as}");
    }
    let signature = hmac(SECRET, "x");
    assert!(!is_authentic(&*signed, &request("x", "x").header("X-Signature", &signature)));
}

#[test]
fn headers_and_signature_are_both_checked() {
    let both = channel(
        json!({
            "signatureVerification": rules(json!({})),
            "authentication": {"headers": [{"name": "X-Token", "secret_ref": "TOKEN"}]},
        }),
        SECRET,
    );
    assert!(is_authentic(&*both, &request("x", "x").header("X-Token", "t0ken")));
    assert!(!is_authentic(&*both, &request("x", "y").header("X-Token", "t0ken")));
    assert!(!is_authentic(&*both, &request("x", "x")));
    assert_eq!(both.proof(), Proof::SignatureAndHeaderSecret);
}

#[test]
fn without_a_secret_nothing_is_authentic() {
    let described = json!({"type": "generic", "signatureVerification": rules(json!({})),
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

proptest! {
    #[test]
    fn exactly_the_signed_bytes_are_accepted(
        body in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<prop::sample::Index>(),
    ) {
        let channel = signed_by(&rules(json!({})), SECRET);
        let code = hmac(SECRET, &body);
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
            let rules = rules(json!({
                "signature": place,
                "signedComponents": [{"source": "body", "key": "b", "required": false},
                                     {"source": "header", "key": "X-Signature", "regex": "(a+)"}],
            }));
            let request = Request::post(body.clone()).query(&query).header("X-Signature", &header);
            prop_assert!(!is_authentic(&*signed_by(&rules, SECRET), &request));
        }
    }
}
