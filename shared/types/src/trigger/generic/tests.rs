//! What a generic channel may say, mistake by mistake, and what the worst of it costs.

use std::time::{Duration, Instant};

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
fn complete() -> Value {
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

fn schema(schema: Value) -> Result<InputSchema, SchemaError> {
    InputSchema::compile(&schema)
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
    assert!(matches!(failed, TransformError::Expression { field, .. } if field.ends_with(".n")));
}

#[test]
fn a_message_template_is_not_blank() {
    for template in ["", " \n", "{{", "{{a b}}"] {
        assert_eq!(mistakes(&json!({"messageTemplate": template})), ["messageTemplate"]);
    }
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
fn a_payload_that_does_not_fit_is_told_where() {
    let schema = schema(json!({
        "type": "object",
        "properties": {
            "items": {"items": {"properties": {"n": {"type": "integer"}}}},
            "code": {"pattern": "^[A-Z]{3}$"},
        },
        "required": ["items"],
        "additionalProperties": false,
    }))
    .unwrap();
    let misfit = |payload: Value| schema.check(&payload).unwrap_err();
    assert_eq!(schema.check(&json!({"items": [{"n": 1}], "code": "ABC"})), Ok(()));
    assert_eq!(misfit(json!({"items": [{"n": 1}, {"n": "secret"}]})).path, "items.1.n");
    assert!(!misfit(json!({"items": [{"n": "secret"}]})).reason.contains("secret"));
    assert_eq!(misfit(json!({"items": [], "code": "abc"})).path, "code");
    assert_eq!(misfit(json!({})).path, "body");
    assert!(misfit(json!({})).reason.contains("items"));
    assert_eq!(misfit(json!(7)).path, "body");
}

#[test]
fn a_dialect_is_known_or_refused() {
    let dialect = |uri: &str| schema(json!({"$schema": uri, "items": [{"type": "string"}]}));
    assert!(dialect("http://json-schema.org/draft-07/schema#").is_ok());
    // A list of schemas is not `items` in the newer one.
    let newer = dialect("https://json-schema.org/draft/2020-12/schema");
    assert!(matches!(newer, Err(SchemaError::Invalid { path, .. }) if path == "/items"));
    let older = dialect("http://json-schema.org/draft-04/schema#");
    assert!(matches!(older, Err(SchemaError::Dialect)));
}

#[test]
fn a_schema_that_is_none_is_refused() {
    assert!(matches!(schema(json!({"type": "strng"})), Err(SchemaError::Invalid { .. })));
    assert!(matches!(schema(json!({"pattern": "(?=a)"})), Err(SchemaError::Invalid { .. })));
    assert!(matches!(schema(json!({"pattern": "["})), Err(SchemaError::Invalid { .. })));
    for value in [json!(true), json!("x"), json!([])] {
        assert_eq!(mistakes(&json!({"inputSchema": value})), ["inputSchema"]);
    }
    let large = json!({"description": "x".repeat(65 * 1024)});
    assert!(matches!(schema(large), Err(SchemaError::TooLarge)));
}

#[test]
fn a_schema_refers_to_nothing_but_itself() {
    for reference in
        ["https://example.com/s.json", "file:///etc/passwd", "other.json", "#name", "#/$defs/none"]
    {
        let refused = schema(json!({"properties": {"a": {"$ref": reference}}}));
        assert!(matches!(refused, Err(SchemaError::Reference(named)) if named == reference));
    }
    let embedded = json!({"$defs": {"a": {"$id": "https://example.com"}}, "$ref": "#/$defs/a"});
    assert!(matches!(schema(embedded), Err(SchemaError::Embedded)));
    for keyword in ["unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"] {
        let refused = schema(json!({ keyword: "#" }));
        assert!(matches!(refused, Err(SchemaError::Keyword { .. })), "{keyword}");
    }
    let named = schema(json!({"$id": "https://example.com/s", "$defs": {"a b": {"type": "null"}},
                              "properties": {"x": {"$ref": "#/$defs/a%20b"}}}))
    .unwrap();
    assert!(named.check(&json!({"x": 1})).is_err());
}

#[test]
fn a_tree_may_refer_to_itself() {
    let tree = schema(json!({
        "$defs": {"named": {"required": ["name"]}},
        "allOf": [{"$ref": "#/$defs/named"}],
        "properties": {
            "name": {"type": "string"},
            "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
            "children": {"items": {"$ref": "#"}},
        },
    }))
    .unwrap();
    let good = json!({"name": "a", "children": [{"name": "b", "next": {"name": "c"}}]});
    assert_eq!(tree.check(&good), Ok(()));
    let bad = json!({"name": "a", "children": [{"name": "b"}, {"children": []}]});
    assert_eq!(tree.check(&bad).unwrap_err().path, "children.1");
}

#[test]
fn what_would_never_end_is_refused() {
    let deep = |schema: Value| matches!(InputSchema::compile(&schema), Err(SchemaError::TooDeep));
    assert!(deep(json!({"$ref": "#"})));
    assert!(deep(json!({"allOf": [{"not": {"$ref": "#"}}]})));
    assert!(deep(json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
                        "properties": {"x": {"$ref": "#/$defs/a"}}})));
}

#[test]
fn what_doubles_with_each_level_is_refused() {
    let costly =
        |schema: Value| matches!(InputSchema::compile(&schema), Err(SchemaError::TooCostly));
    // With each level of the payload.
    let again = json!({"properties": {"a": {"$ref": "#"}}});
    assert!(costly(json!({"anyOf": [again, again]})));
    assert!(costly(json!({"patternProperties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}})));
    // With each definition.
    let mut defs = serde_json::Map::new();
    for n in 0..14 {
        let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        defs.insert(format!("d{n}"), json!({"allOf": [next, next]}));
    }
    defs.insert("d14".into(), json!({"type": "object"}));
    let doubling = InputSchema::compile(&json!({"$defs": defs, "$ref": "#/$defs/d0"}));
    assert!(matches!(doubling, Err(SchemaError::TooDeep | SchemaError::TooCostly)));
}

#[test]
fn definitions_that_share_others_compile_once() {
    let mut defs = serde_json::Map::new();
    for n in 0..40 {
        let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        defs.insert(format!("d{n}"), json!({"properties": {"a": next, "b": next}}));
    }
    defs.insert("d40".into(), json!({"type": "string"}));
    let started = Instant::now();
    let schema = schema(json!({"$defs": defs, "$ref": "#/$defs/d0"})).unwrap();
    let nested = |leaf: Value| (0..40).fold(leaf, |inner, _| json!({"a": inner}));
    assert_eq!(schema.check(&nested(json!("x"))), Ok(()));
    assert!(schema.check(&nested(json!(1))).is_err());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// Runs `check` with half of the stack that our threads have.
fn on_half_a_stack(check: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(check).unwrap();
    thread.join().unwrap();
}

#[test]
fn the_deepest_check_fits_the_stack() {
    on_half_a_stack(|| {
        let parts = json!({"properties": {"a": {"$ref": "#"}, "b": {"type": "null"}}});
        let applied = (0..14).fold(parts, |inner, _| json!({"anyOf": [inner]}));
        let schema = schema(applied).unwrap();
        let nested =
            |depth, leaf| (2..depth).fold(json!({"b": leaf}), |inner, _| json!({"a": inner}));
        assert_eq!(schema.check(&nested(32, Value::Null)), Ok(()));
        assert_eq!(schema.check(&nested(32, json!(1))).unwrap_err().path, "body");
        let refused = schema.check(&nested(33, Value::Null)).unwrap_err();
        assert!(refused.reason.contains("too deeply"), "{refused}");
    });
}

#[test]
fn the_longest_way_through_a_schema_compiles() {
    let mut defs = serde_json::Map::new();
    for n in 0..120 {
        defs.insert(format!("d{n}"), json!({"items": {"$ref": format!("#/$defs/d{}", n + 1)}}));
    }
    defs.insert("d120".into(), json!({"type": "string"}));
    on_half_a_stack(move || {
        let long = json!({"$defs": defs, "$ref": "#/$defs/d0"});
        assert!(schema(long).is_ok());
        let nested = |n: usize| (0..n).fold(json!({}), |inner, _| json!({"items": inner}));
        assert!(schema(nested(127)).is_ok());
        assert!(matches!(schema(nested(600)), Err(SchemaError::TooDeep)));
    });
}

#[test]
fn a_large_payload_and_a_heavy_schema_do_not_meet() {
    let heavy = schema(json!({"items": {"enum": (0..3_000).collect::<Vec<_>>()}})).unwrap();
    assert_eq!(heavy.check(&json!([1, 2, 2_999])), Ok(()));
    let refused = heavy.check(&json!(vec![0; 500_000])).unwrap_err();
    assert!(refused.reason.contains("too large"), "{refused}");
    let light = schema(json!({"items": {"type": "integer"}})).unwrap();
    assert_eq!(light.check(&json!(vec![0; 500_000])), Ok(()));
    assert_eq!(light.check(&json!(["x"])).unwrap_err().path, "0");
}

#[test]
fn the_worst_pattern_ends_soon() {
    let worst = |repeats: usize| format!("1[012]{{{repeats}}}0{{20}}([12])").parse::<Pattern>();
    let (repeats, pattern) =
        (1..9_000).rev().step_by(50).find_map(|n| Some((n, worst(n).ok()?))).unwrap();
    let text = scramble(MAX_MATCHED);
    let started = Instant::now();
    assert_eq!(pattern.find(&text), None);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!("(a+)+$".parse::<Pattern>().unwrap().find(&"a".repeat(MAX_MATCHED + 1)), None);
}

/// Digits 0 to 2 in no order that a pattern could make use of.
fn scramble(length: usize) -> String {
    let mut state = 1_u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'0' + u8::try_from((state >> 16) % 3).unwrap())
    };
    std::iter::repeat_with(&mut next).take(length).collect()
}

#[test]
fn the_worst_schema_pattern_ends_soon() {
    // Whatever it reads, it has to follow as many ways at once as it has repetitions.
    let worst = |repeats: usize| {
        schema(json!({"pattern": format!("1[012]{{{repeats}}}0{{20}}[12]")}))
    };
    let (repeats, worst) =
        (1..2_000).rev().step_by(10).find_map(|n| Some((n, worst(n).ok()?))).unwrap();
    assert!(repeats > 100, "{repeats}");
    let started = Instant::now();
    assert!(worst.check(&json!(scramble(1 << 18))).is_err());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_pattern_finds_its_first_group() {
    let find = |pattern: &str, text: &'static str| pattern.parse::<Pattern>().unwrap().find(text);
    assert_eq!(find("(?:^|,)v1=([0-9a-f]+)", "t=1,v1=ab,v1=cd"), Some("ab"));
    assert_eq!(find("v1=([0-9]*)", "v1="), None);
    assert_eq!(find("(a)|b", "b"), None);
    assert_eq!("a".parse::<Pattern>(), Err(PatternError::NoGroup));
    assert_eq!("(\\w{99}){99}".parse::<Pattern>(), Err(PatternError::TooLarge));
}

/// Small JSON values.
fn values() -> impl Strategy<Value = Value> {
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

/// Schemas with all keywords that apply others, some of them nonsense.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"$ref": "#"})),
        Just(json!({"$ref": "#/properties/a"})),
        Just(json!({"pattern": "^(a|b)*$"})),
        Just(json!(false)),
        values(),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let keywords = prop::sample::select(vec![
            "properties",
            "allOf",
            "anyOf",
            "not",
            "items",
            "additionalProperties",
            "if",
            "then",
            "patternProperties",
            "contains",
            "prefixItems",
            "propertyNames",
            "dependentSchemas",
        ]);
        prop::collection::btree_map(keywords, inner, 0..3).prop_map(|fields| {
            let shaped = fields.into_iter().map(|(keyword, part)| {
                let part = match keyword {
                    "properties" | "patternProperties" | "dependentSchemas" => json!({"a": part}),
                    "allOf" | "anyOf" | "prefixItems" => json!([part, true]),
                    _ => part,
                };
                (keyword.to_owned(), part)
            });
            Value::Object(shaped.collect())
        })
    })
}

proptest! {
    #[test]
    fn no_schema_and_no_payload_does_harm(schema in schemas(), payload in values()) {
        if let Ok(schema) = InputSchema::compile(&schema) {
            let _ = schema.check(&payload);
        }
    }

    #[test]
    fn no_configuration_does_harm(value in values()) {
        for key in ["signatureVerification", "authentication", "inputSchema", "outputTransform",
                    "messageTemplate", "signingSecretCredentialReferenceId"] {
            let _ = read(&json!({ key: value }));
        }
    }

    #[test]
    fn no_pattern_does_harm(pattern in "[()\\[\\]{}a-c0-9*+?|.\\\\^$]{0,40}", text in "[a-c0-9]{0,60}") {
        if let Ok(pattern) = pattern.parse::<Pattern>() {
            let _ = pattern.find(&text);
        }
    }
}
