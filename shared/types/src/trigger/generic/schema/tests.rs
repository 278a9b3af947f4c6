//! Which schemas are accepted, and what the worst of them cost.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::json_schema::MAX_SHOWN;
use crate::shape::Problems;
use crate::trigger::generic::tests::{scramble, values};

fn schema(schema: &Value) -> Result<InputSchema, SchemaError> {
    InputSchema::compile(schema)
}

#[test]
fn a_payload_that_does_not_fit_is_told_where() {
    let schema = schema(&json!({
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
    assert_eq!(misfit(json!({"items": {}, "a/b": 1})).path, "body");
    assert_eq!(misfit(json!({})).path, "body");
    assert!(misfit(json!({})).reason.contains("items"));
    assert_eq!(misfit(json!(7)).path, "body");
}

#[test]
fn a_path_shows_names_as_they_are_and_has_an_end() {
    let schema = schema(&json!({"additionalProperties": {"type": "null"}})).unwrap();
    let path = |name: &str| schema.check(&json!({ name: 1 })).unwrap_err().path;
    assert_eq!(path("a/b~c d\u{e9}"), "a/b~c d\u{e9}");
    assert_eq!(path(&"x".repeat(10_000)).len(), MAX_SHOWN);
}

#[test]
fn a_dialect_is_known_or_refused() {
    let dialect = |uri: &str| schema(&json!({"$schema": uri, "items": [{"type": "string"}]}));
    assert!(dialect("http://json-schema.org/draft-07/schema#").is_ok());
    // A list of schemas is not `items` in the newer one.
    let newer = dialect("https://json-schema.org/draft/2020-12/schema");
    assert!(matches!(newer, Err(SchemaError::Invalid { path, .. }) if path == "/items"));
    let older = dialect("http://json-schema.org/draft-04/schema#");
    assert!(matches!(older, Err(SchemaError::Dialect)));
}

#[test]
fn a_schema_that_is_none_is_refused() {
    assert!(matches!(schema(&json!({"type": "strng"})), Err(SchemaError::Invalid { .. })));
    assert!(matches!(schema(&json!({"pattern": "(?=a)"})), Err(SchemaError::Invalid { .. })));
    assert!(matches!(schema(&json!({"pattern": "["})), Err(SchemaError::Invalid { .. })));
    let read = |value: &Value| {
        let (channel, problems) = (json!({ "inputSchema": value }), Problems::default());
        InputSchema::read(&mut ObjectReader::new(&channel, "", &problems).unwrap()).is_some()
    };
    assert!(read(&json!({})));
    for value in [json!(true), json!("x"), json!([])] {
        assert!(!read(&value), "{value}");
    }
    let large = json!({"description": "x".repeat(65 * 1024)});
    assert!(matches!(schema(&large), Err(SchemaError::TooLarge)));
}

#[test]
fn a_schema_refers_to_nothing_but_itself() {
    for reference in
        ["https://example.com/s.json", "file:///etc/passwd", "other.json", "#name", "#/$defs/none"]
    {
        let refused = schema(&json!({"properties": {"a": {"$ref": reference}}}));
        assert!(matches!(refused, Err(SchemaError::Reference(named)) if named == reference));
    }
    let embedded = json!({"$defs": {"a": {"$id": "https://example.com"}}, "$ref": "#/$defs/a"});
    assert!(matches!(schema(&embedded), Err(SchemaError::Embedded)));
    for keyword in ["unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"] {
        let refused = schema(&json!({ keyword: "#" }));
        assert!(matches!(refused, Err(SchemaError::Keyword { .. })), "{keyword}");
    }
    let named = schema(&json!({"$id": "https://example.com/s", "$defs": {"a b": {"type": "null"}},
                              "properties": {"x": {"$ref": "#/$defs/a%20b"}}}))
    .unwrap();
    assert!(named.check(&json!({"x": 1})).is_err());
}

/// `length` definitions, each of which refers to the next one as `step` says.
fn chained(length: usize, step: impl Fn(Value) -> Value) -> serde_json::Map<String, Value> {
    let next = |n: usize| json!({"$ref": format!("#/$defs/d{n}")});
    let steps = (0..length).map(|n| (format!("d{n}"), step(next(n + 1))));
    steps.chain([(format!("d{length}"), json!(true))]).collect()
}

#[test]
fn no_reference_leads_elsewhere_than_it_is_weighed() {
    let doubling = chained(40, |next| json!({"allOf": [next, next]}));
    let long = chained(1_000, |next| next);
    for mut hidden in [doubling, long] {
        hidden.insert("x".into(), json!({"$ref": "#/$defs/d0"}));
        let within = |evil: Value| {
            let defs = json!({"d0": {}, "evil": evil});
            json!({"$ref": "#/$defs/evil/$defs/x", "$defs": defs})
        };
        for name in ["$id", "$schema"] {
            let evil = json!({name: "http://e/", "$defs": hidden});
            let refused = schema(&within(evil.clone()));
            assert!(matches!(refused, Err(SchemaError::Embedded)), "{refused:?}");
            // Where nothing is applied, a pointer may still lead.
            for keyword in ["const", "default", "x-unknown", "properties"] {
                let refused = schema(&json!({ keyword: {"evil": evil} }));
                assert!(matches!(refused, Err(SchemaError::Embedded)), "{refused:?}");
            }
            // By the name that a schema without one has.
            let evil = json!({name: "json-schema:///", "d0": {"allOf": []}});
            let defs = json!({"d0": {}, "evil": evil});
            assert!(schema(&json!({"$ref": "#/$defs/d0", "$defs": defs})).is_err());
        }
        // Without a name it is what it is.
        let plain = schema(&within(json!({ "$defs": hidden })));
        assert!(plain.is_ok(), "{plain:?}");
    }
}

#[test]
fn a_schema_by_the_name_of_a_dialect_is_itself() {
    for name in ["https://json-schema.org/draft/2020-12/schema", "json-schema:///", "#", ""] {
        let fields = json!({"b": {"$ref": "#"}});
        let own = schema(&json!({"$id": name, "required": ["a"], "properties": fields})).unwrap();
        assert_eq!(own.check(&json!({"a": 1, "b": {"a": 1}})), Ok(()));
        assert_eq!(own.check(&json!({"a": 1, "b": {}})).unwrap_err().path, "b", "{name}");
    }
}

#[test]
fn patterns_are_counted_wherever_they_are() {
    let several = |patterns: usize| {
        let fields = (0..patterns / 2).map(|n| (format!("f{n}"), json!({"pattern": "^a"})));
        let fields: serde_json::Map<_, _> = fields.collect();
        let named = |n: usize| json!({"patternProperties": {"^a": true, "^b": {"minimum": n}}});
        let named: Vec<_> = (0..patterns / 4).map(named).collect();
        schema(&json!({"properties": fields, "prefixItems": named}))
    };
    assert!(several(64).is_ok());
    assert!(matches!(several(68), Err(SchemaError::TooManyPatterns)));
    let property = schema(&json!({"properties": {"pattern": {"type": "string"}}}));
    assert!(property.is_ok());
}

#[test]
fn unique_items_are_read_as_often_as_lists_are_around_them() {
    let lists = |depth: usize| {
        (0..depth).fold(json!({}), |inner, _| json!({"uniqueItems": true, "items": inner}))
    };
    let weight = |depth: usize| schema(&lists(depth)).unwrap().0.weight();
    assert!(weight(10) > 9 * (weight(2) - weight(1)), "{} {}", weight(10), weight(2));
    for keyword in ["items", "contains", "additionalItems"] {
        let item = json!({"properties": {"a": {"$ref": "#"}}});
        let again = schema(&json!({"uniqueItems": true, keyword: item}));
        assert!(matches!(again, Err(SchemaError::TooCostly)), "{keyword}: {again:?}");
    }
    let tree = json!({"properties": {"tags": {"uniqueItems": true}, "next": {"$ref": "#"}}});
    assert!(schema(&tree).is_ok());
}

#[test]
fn a_tree_may_refer_to_itself() {
    let tree = schema(&json!({
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
    let deep = |value: Value| matches!(schema(&value), Err(SchemaError::TooDeep));
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
    let doubling = schema(&json!({"$defs": defs, "$ref": "#/$defs/d0"}));
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
    let schema = schema(&json!({"$defs": defs, "$ref": "#/$defs/d0"})).unwrap();
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
        let schema = schema(&applied).unwrap();
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
        assert!(schema(&long).is_ok());
        let nested = |n: usize| (0..n).fold(json!({}), |inner, _| json!({"items": inner}));
        assert!(schema(&nested(127)).is_ok());
        assert!(matches!(schema(&nested(600)), Err(SchemaError::TooDeep)));
    });
}

#[test]
fn a_large_payload_and_a_heavy_schema_do_not_meet() {
    let heavy = schema(&json!({"items": {"enum": (0..3_000).collect::<Vec<_>>()}})).unwrap();
    assert_eq!(heavy.check(&json!([1, 2, 2_999])), Ok(()));
    let refused = heavy.check(&json!(vec![0; 500_000])).unwrap_err();
    assert!(refused.reason.contains("too large"), "{refused}");
    let light = schema(&json!({"items": {"type": "integer"}})).unwrap();
    assert_eq!(light.check(&json!(vec![0; 500_000])), Ok(()));
    assert_eq!(light.check(&json!(["x"])).unwrap_err().path, "0");
}

#[test]
fn the_worst_schema_pattern_ends_soon() {
    // Whatever it reads, it has to follow as many ways at once as it has repetitions.
    let worst =
        |repeats: usize| schema(&json!({"pattern": format!("1[012]{{{repeats}}}0{{20}}[12]")}));
    let (repeats, worst) =
        (1..2_000).rev().step_by(10).find_map(|n| Some((n, worst(n).ok()?))).unwrap();
    assert!(repeats > 100, "{repeats}");
    let started = Instant::now();
    assert!(worst.check(&json!(scramble(1 << 16))).is_err());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
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
}
