//! What a generic channel may say, mistake by mistake.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::shape::{FieldProblem, Problems};
use crate::trigger::TriggerConfig;

fn read(channel: &Value) -> Result<Generic, Vec<FieldProblem>> {
    let problems = Problems::default();
    let mut reader = ObjectReader::new(channel, "", &problems).unwrap();
    let generic = Generic::read(&mut reader);
    reader.done();
    problems.finish(generic)
}

/// Where the mistakes of a channel are.
fn mistakes(channel: &Value) -> Vec<String> {
    read(channel).unwrap_err().into_iter().map(|problem| problem.path).collect()
}

fn reason(channel: &Value) -> String {
    read(channel).unwrap_err().swap_remove(0).reason
}

/// Everything that seed 001 shows, filled in.
pub(in crate::trigger) fn complete() -> Value {
    json!({
        "signatureVerification": {
            "algorithm": "sha256",
            "encoding": "hex",
            "signature":
                {"source": "header", "key": "X-Sig", "prefix": "v1=", "regex": "^([0-9a-f]+)"},
            "signedComponents": [
                {"source": "header", "key": "X-Time", "regex": "t=([0-9]+)", "required": false},
                {"source": "body", "key": "event.id"},
                {"source": "body"},
                {"source": "literal", "value": "v1"},
            ],
            "componentJoin": {"strategy": "concatenate", "separator": "."},
            "validation":
                {"headerCaseSensitive": true, "allowEmptyBody": false, "normalizeUnicode": true},
        },
        "signingSecretCredentialReferenceId": "SIGNING",
        "authentication": {"headers": [{"name": "X-Token", "secret_ref": "TOKEN"}]},
        "inputSchema": {"type": "object", "required": ["event"]},
        "outputTransform": {"objectTransformation": {"id": "event.id"}},
        "messageTemplate": "Event {{id}}",
    })
}

/// The complete channel with `value` at `pointer`; `null` takes the field away.
fn with(pointer: &str, value: Value) -> Value {
    let mut channel = complete();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    channel.pointer_mut(parent).unwrap()[key] = value;
    channel
}

#[test]
fn everything_of_the_seed_is_understood() {
    let generic = read(&complete()).unwrap();
    let rules = generic.signature.as_ref().unwrap();
    assert_eq!((rules.hash, rules.encoding), (SigningHash::Sha256, Encoding::Hex));
    assert_eq!(rules.spot.place, Place::Header("x-sig".into()));
    assert_eq!(rules.components.len(), 4);
    assert!(!rules.components[0].is_required && rules.components[1].is_required);
    assert_eq!(rules.components[2].part, Part::RawBody);
    assert_eq!(rules.separator, ".");
    assert!(!rules.allow_empty_body && rules.normalize_unicode);
    assert!(generic.is_guarded());
    let refs = generic.secret_refs();
    let paths: Vec<&str> = refs.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "channel.signingSecretCredentialReferenceId",
            "channel.authentication.headers[0].secret_ref"
        ]
    );
}

#[test]
fn the_defaults_are_those_of_the_seed() {
    let mut channel = complete();
    channel["signatureVerification"].as_object_mut().unwrap().remove("validation");
    let rules = read(&channel).unwrap().signature.unwrap();
    assert!(rules.allow_empty_body && !rules.normalize_unicode);
    let nothing = read(&json!({})).unwrap();
    assert!(!nothing.is_guarded() && nothing.secret_refs().is_empty());
}

#[test]
fn every_mistake_is_named_by_its_path() {
    let signature = "/signatureVerification";
    let cases = [
        ("/algorithm", json!("sha3"), "algorithm"),
        ("/algorithm", Value::Null, "algorithm"),
        ("/encoding", json!("HEX"), "encoding"),
        ("/encoding", Value::Null, "encoding"),
        ("/typo", json!(1), "typo"),
        ("/signature", Value::Null, "signature"),
        ("/signature/source", json!("cookie"), "signature.source"),
        ("/signature/source", Value::Null, "signature.source"),
        ("/signature/key", Value::Null, "signature.key"),
        ("/signature/key", json!("not a name"), "signature.key"),
        ("/signature/prefix", json!(""), "signature.prefix"),
        ("/signature/regex", json!("(["), "signature.regex"),
        ("/signature/regex", json!("abc"), "signature.regex"),
        ("/signature/regex", json!("(?=a)(b)"), "signature.regex"),
        ("/signature/regex", json!("(\\w{100}){100}"), "signature.regex"),
        ("/signature/regex", json!(format!("({})", "a".repeat(511))), "signature.regex"),
        ("/signature/typo", json!(1), "signature.typo"),
        ("/signedComponents", Value::Null, "signedComponents"),
        ("/signedComponents", json!([]), "signedComponents"),
        ("/signedComponents", json!(vec![json!({"source": "body"}); 17]), "signedComponents"),
        ("/signedComponents", json!([{"source": "literal", "value": "x"}]), "signedComponents"),
        (
            "/signedComponents",
            json!([
                {"source": "header", "key": "X-Time", "required": false},
                {"source": "body", "required": false},
                {"source": "literal", "value": "x", "required": true},
            ]),
            "signedComponents",
        ),
        ("/signedComponents/0", json!("body"), "signedComponents[0]"),
        ("/signedComponents/0/key", Value::Null, "signedComponents[0].key"),
        ("/signedComponents/0/value", json!("x"), "signedComponents[0].value"),
        ("/signedComponents/0/required", json!("yes"), "signedComponents[0].required"),
        ("/signedComponents/1/key", json!("a."), "signedComponents[1].key"),
        ("/signedComponents/2/regex", json!("(a)"), "signedComponents[2].regex"),
        ("/signedComponents/3/value", Value::Null, "signedComponents[3].value"),
        ("/signedComponents/3/key", json!("x"), "signedComponents[3].key"),
        ("/signedComponents/3/regex", json!("(x)"), "signedComponents[3].regex"),
        ("/signedComponents/3/source", json!("query"), "signedComponents[3].source"),
        ("/componentJoin", Value::Null, "componentJoin"),
        ("/componentJoin/strategy", json!("hash"), "componentJoin.strategy"),
        ("/componentJoin/separator", Value::Null, "componentJoin.separator"),
        ("/componentJoin/separator", json!(".".repeat(65)), "componentJoin.separator"),
        ("/validation/allowEmptyBody", json!(1), "validation.allowEmptyBody"),
        ("/validation/headerCaseSensitive", json!(1), "validation.headerCaseSensitive"),
        ("/validation/normalizeUnicode", json!(1), "validation.normalizeUnicode"),
        ("/validation/typo", json!(1), "validation.typo"),
    ];
    for (pointer, value, path) in cases {
        let channel = with_index(&format!("{signature}{pointer}"), value);
        assert_eq!(mistakes(&channel)[0], format!("signatureVerification.{path}"), "{pointer}");
    }
}

/// [`with`], for pointers that may end in an index.
fn with_index(pointer: &str, value: Value) -> Value {
    let mut channel = complete();
    if let Some(place) = channel.pointer_mut(pointer) {
        *place = value;
        return channel;
    }
    with(pointer, value)
}

#[test]
fn half_a_signature_is_refused() {
    let name = "signingSecretCredentialReferenceId";
    assert_eq!(mistakes(&with(&format!("/{name}"), Value::Null)), [name]);
    let without_rules = with("/signatureVerification", Value::Null);
    assert_eq!(mistakes(&without_rules), ["signatureVerification"]);
}

#[test]
fn a_secret_is_named_and_never_written_down() {
    let headers = |list: Value| json!({"authentication": {"headers": list}});
    let at = |index: usize, field: &str| format!("authentication.headers[{index}].{field}");
    let written = headers(json!([{"name": "X-Token", "value": "s3cret"}]));
    assert_eq!(mistakes(&written), [at(0, "value"), at(0, "secret_ref")]);
    assert!(reason(&written).contains("secret_ref"));
    assert!(!reason(&written).contains("s3cret"));

    let twice = headers(json!([
        {"name": "X-Token", "secret_ref": "A"}, {"name": "x-token", "secret_ref": "B"},
    ]));
    assert_eq!(mistakes(&twice), [at(1, "name")]);
    let odd = headers(json!([{"name": "X Token", "secret_ref": ""}, 7, {"typo": 1}]));
    assert_eq!(
        mistakes(&odd),
        [
            at(0, "name"),
            at(0, "secret_ref"),
            "authentication.headers[1]".into(),
            at(2, "name"),
            at(2, "secret_ref"),
            at(2, "typo"),
        ]
    );
    let one = json!({"name": "X-Token", "secret_ref": "A"});
    for list in [json!([]), json!(vec![one; 17]), json!({}), Value::Null] {
        assert_eq!(mistakes(&headers(list)), ["authentication.headers"]);
    }
    assert_eq!(mistakes(&json!({"authentication": {"type": "x"}}))[1], "authentication.type");
}

#[test]
fn a_transform_says_something() {
    let at = |transform: Value| mistakes(&json!({"outputTransform": transform}));
    assert_eq!(at(json!({})), ["outputTransform.jmespath"]);
    assert_eq!(at(json!({"jmespath": "a."})), ["outputTransform.jmespath"]);
    assert_eq!(at(json!({"jmespath": 7})), ["outputTransform.jmespath"]);
    assert_eq!(at(json!({"jmespath": "a", "typo": 1})), ["outputTransform.typo"]);
    let object = "outputTransform.objectTransformation";
    assert_eq!(at(json!({"objectTransformation": {}})), [object]);
    assert_eq!(at(json!({"objectTransformation": []})), [object]);
    assert_eq!(at(json!({"objectTransformation": {"a": "b["}})), [format!("{object}.a")]);
    assert_eq!(at(json!({"objectTransformation": {"": "b"}})), [format!("{object}.")]);
    let many: serde_json::Map<_, _> = (0..65).map(|n| (format!("k{n}"), json!("a"))).collect();
    assert_eq!(at(json!({"objectTransformation": many}))[0], object);
    // Both are judged, though only one is used.
    let both = json!({"jmespath": "a", "objectTransformation": {"a": "b["}});
    assert_eq!(at(both), [format!("{object}.a")]);
}

#[test]
fn a_transform_cannot_make_what_the_database_refuses() {
    for expression in ["`\"\\u0000\"`", "a\0"] {
        let transform = json!({"outputTransform": {"jmespath": expression}});
        assert!(reason(&transform).contains("U+0000"), "{expression}");
    }
}

#[test]
fn jmespath_wins_over_the_object() {
    let payload = json!({"user": {"name": "Ana"}, "n": 7});
    let transform =
        |value: Value| read(&json!({"outputTransform": value})).unwrap().output_transform;
    let apply = |value: Value| transform(value).unwrap().apply(&payload).unwrap();
    let object = json!({"who": "user.name", "none": "x.y", "n": "n"});
    let made = apply(json!({"objectTransformation": object}));
    assert_eq!(made, json!({"who": "Ana", "none": null, "n": 7}));
    assert_eq!(
        apply(json!({"jmespath": "user", "objectTransformation": object})),
        json!({"name": "Ana"})
    );
}

#[test]
fn a_transformed_payload_has_bounds() {
    let transform =
        |value: Value| read(&json!({"outputTransform": value})).unwrap().output_transform.unwrap();
    let fields: serde_json::Map<_, _> = (0..64).map(|n| (format!("k{n}"), json!("@"))).collect();
    let large = json!("x".repeat(100_000));
    let many = transform(json!({"objectTransformation": fields}));
    assert_eq!(many.apply(&large), Err(TransformError::TooLarge));
    let wrap = transform(json!({"jmespath": format!("{}@{}", "[".repeat(40), "]".repeat(40))}));
    let deep = (0..70).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(wrap.apply(&deep), Err(TransformError::TooDeep));
    let failing = transform(json!({"objectTransformation": {"n": "abs(name)"}}));
    let failed = failing.apply(&json!({"name": "Ana"})).unwrap_err();
    assert!(
        matches!(failed, TransformError::Expression { field, .. } if field == "objectTransformation.n")
    );
}

#[test]
fn the_fields_of_a_transform_share_the_steps_that_a_payload_allows_for() {
    let filters = |fields: usize| {
        let all: serde_json::Map<_, _> =
            (0..fields).map(|n| (format!("k{n}"), json!("length([?a == `1` && b])"))).collect();
        let transform = json!({"outputTransform": {"objectTransformation": all}});
        read(&transform).unwrap().output_transform.unwrap()
    };
    let payload = json!(vec![json!({"a": 1}); 5_000]);
    assert!(filters(8).apply(&payload).is_ok());
    let spent = filters(64).apply(&payload);
    assert!(matches!(spent, Err(TransformError::Expression { .. })), "{spent:?}");
    let zeros = json!(vec![0; 1_100_000]);
    assert!(matches!(filters(1).apply(&zeros), Err(TransformError::Payload(_))));
}

#[test]
fn a_message_template_is_not_blank_and_has_paths() {
    for template in ["", " \n", "{{", "{{a b}}", "{{order..id}}"] {
        assert_eq!(mistakes(&json!({"messageTemplate": template})), ["messageTemplate"]);
    }
    assert!(read(&json!({"messageTemplate": "{{items[0].text}}"})).is_ok());
}

#[test]
fn paths_of_secrets_are_those_of_the_configuration() {
    let mut channel = complete();
    channel["type"] = json!("generic");
    let config = json!({"channel": channel, "execution": {"mode": "async"}});
    let config = TriggerConfig::parse(&config).unwrap();
    let refs = config.secret_refs();
    let header = "trigger_config.channel.authentication.headers[0].secret_ref";
    assert!(refs.contains(&(header.to_owned(), "TOKEN")), "{refs:?}");
}

#[test]
fn the_documented_examples_are_accepted() {
    let page = include_str!("../../../../../docs/generic-channel.md");
    let examples: Vec<&str> = page.split("```json\n").skip(1).collect();
    assert!(examples.len() >= 4);
    for example in examples {
        let (example, _) = example.split_once("```").unwrap();
        let config = serde_json::from_str(example).unwrap();
        assert!(TriggerConfig::parse(&config).is_ok(), "{:?}", TriggerConfig::parse(&config));
    }
}

/// Small JSON values.
pub(in crate::trigger) fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Digits 0 to 2 in no order that a pattern could make use of.
pub(super) fn scramble(length: usize) -> String {
    let mut state = 1_u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'0' + u8::try_from((state >> 16) % 3).unwrap())
    };
    std::iter::repeat_with(&mut next).take(length).collect()
}

proptest! {
    #[test]
    fn no_configuration_does_harm(value in values()) {
        for key in ["signatureVerification", "authentication", "inputSchema", "outputTransform",
                    "messageTemplate", "signingSecretCredentialReferenceId"] {
            let _ = read(&json!({ key: value }));
        }
    }
}
