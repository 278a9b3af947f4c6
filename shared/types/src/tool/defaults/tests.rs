//! Whatever the model says, the context decides.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::shape::Problems;

fn defaults(value: &Value, implied: &[&str]) -> Result<DefaultsFromContext, Vec<String>> {
    let config = json!({"defaults_from_context": value});
    let problems = Problems::default();
    let mut fields = ObjectReader::new(&config, "", &problems).unwrap();
    let read = DefaultsFromContext::read(&mut fields, implied);
    let named = |problems: Vec<_>| {
        problems.into_iter().map(|p: crate::shape::FieldProblem| p.path).collect()
    };
    problems.finish(read).map_err(named)
}

fn applied(paths: &Value, mut args: Value, context: &Value) -> Result<Value, DefaultsError> {
    let defaults = defaults(paths, &[]).unwrap();
    defaults.apply(&mut args, context.as_object().unwrap()).map(|()| args)
}

#[test]
fn every_item_gets_the_value_of_the_context() {
    let paths = json!({"body[].requesterId": "requesterId"});
    let context = json!({"requesterId": "me"});
    let args = json!({"body": [
        {"requesterId": "other", "REQUESTERID": 1, "reque\u{17f}terId": 2}, {"requesterId": null},
        {"requesterId": ["a", {"requesterId": 3}]}, {}, {"x": 1},
    ], "BODY": [{"requesterId": "other"}], "Body": 7});
    let me = json!({"requesterId": "me"});
    let expected = json!({"body": [me, me, me, me, {"x": 1, "requesterId": "me"}]});
    assert_eq!(applied(&paths, args, &context).unwrap(), expected);
    let one = applied(&paths, json!({"body": {"requesterId": "other"}}), &context).unwrap();
    assert_eq!(one, json!({"body": me}));
    assert_eq!(applied(&paths, json!({"body": []}), &context).unwrap(), json!({"body": []}));
}

#[test]
fn objects_on_the_way_are_made_and_nothing_else_is_taken_for_one() {
    let context = json!({"id": 7});
    let set = |args: Value| applied(&json!({"a.b.c": "id"}), args, &context);
    let expected = json!({"a": {"b": {"c": 7}}});
    for args in [json!({}), json!({"a": null}), json!({"a": {"b": null, "B": 1}}), json!({"A": {}})]
    {
        assert_eq!(set(args).unwrap(), expected);
    }
    for args in [json!({"a": [{}]}), json!({"a": 1}), json!({"a": "x"}), json!([]), json!(null)] {
        assert!(matches!(set(args.clone()), Err(DefaultsError::NotThere { .. })), "{args}");
    }
}

#[test]
fn a_list_that_is_not_there_refuses_the_call() {
    let context = json!({"id": 7});
    let set = |args: Value| applied(&json!({"a[].b[].c": "id"}), args, &context);
    for args in [
        json!({}),
        json!({"a": null}),
        json!({"a": 1}),
        json!({"a": [1]}),
        json!({"a": [[{}]]}),
        json!({"a": [{"b": [{}]}, {}]}),
        json!({"a": [{"b": "x"}]}),
    ] {
        assert!(matches!(set(args.clone()), Err(DefaultsError::NotThere { .. })), "{args}");
    }
    let error = set(json!({"a": [{"b": []}, {"b": [{}, 1]}]})).unwrap_err();
    assert_eq!(error.to_string(), "`a[1].b[1]` must be an object");
    let many = vec![json!({"b": []}); 1_001];
    assert!(matches!(set(json!({"a": many})), Err(DefaultsError::TooMany { .. })));
}

#[test]
fn without_a_value_there_is_no_call() {
    for context in [json!({}), json!({"id": null}), json!({"ID": 1})] {
        let error = applied(&json!({"a": "id"}), json!({"a": "model"}), &context).unwrap_err();
        assert_eq!(error.to_string(), "the context has no value for `id`, which decides `a`");
    }
    for value in [json!(false), json!(""), json!(0), json!({"x": [1]})] {
        let args = applied(&json!({"a": "id"}), json!({"a": 1}), &json!({"id": value})).unwrap();
        assert_eq!(args, json!({"a": value}));
    }
}

#[test]
fn a_large_value_does_not_multiply_without_end() {
    let context = json!({"id": "x".repeat(100_000)});
    let items = |n: usize| json!({"a": vec![json!({}); n]});
    let paths = json!({"a[].b": "id"});
    assert!(applied(&paths, items(10), &context).is_ok());
    let error = applied(&paths, items(11), &context).unwrap_err();
    assert!(matches!(error, DefaultsError::TooLarge { .. }));
}

#[test]
fn the_arguments_may_be_the_body() {
    let read = defaults(
        &json!({"body[].id": "id", "query.v": "v", "body.query": "q"}),
        &["body", "query"],
    );
    let mut args = json!({"ID": 1, "x": 2});
    let context = json!({"id": 7, "v": 8, "q": 9});
    let read = read.unwrap();
    read.apply(&mut args, context.as_object().unwrap()).unwrap();
    assert_eq!(args, json!({"id": 7, "v": 8, "query": 9, "x": 2}));
    let mut roots: Vec<&str> = read.roots().collect();
    roots.sort_unstable();
    assert_eq!(roots, ["id", "query", "v"]);
}

#[test]
fn paths_that_make_no_sense_are_refused() {
    for bad in ["", "a..b", ".a", "a.", "a[]", "a[0].b", "[].a", "a[", &"a".repeat(257)] {
        assert_eq!(defaults(&json!({bad: "x"}), &[]).unwrap_err().len(), 1, "{bad:?}");
    }
    for (a, b) in [("a", "a.b"), ("a.b", "A.c"), ("a[].x", "a.y"), ("x", "X"), ("a.b.c", "a.b")] {
        assert_eq!(defaults(&json!({a: "x", b: "y"}), &[]).unwrap_err().len(), 1, "{a} {b}");
    }
    assert!(defaults(&json!({"a[].x": "x", "a[].y": "y", "b": "z"}), &[]).is_ok());
    assert_eq!(defaults(&json!({"body.x": "x", "x": "y"}), &["body"]).unwrap_err().len(), 1);
    assert_eq!(defaults(&json!({"x": ""}), &[]).unwrap_err(), ["defaults_from_context.x"]);
}

#[test]
fn a_model_is_not_shown_what_the_context_decides() {
    let schema = json!({
        "type": "object", "required": ["body", "id"],
        "properties": {
            "id": {}, "body": {"type": "array", "items": {"required": ["a", "requesterId"],
                "properties": {"a": {}, "requesterId": {}, "RequesterID": {}}}},
        },
    });
    let defaults = defaults(&json!({"body[].requesterId": "r", "id": "r", "no.such": "r"}), &[]);
    let expected = json!({
        "type": "object", "required": ["body"],
        "properties": {
            "body": {"type": "array", "items": {"required": ["a"], "properties": {"a": {}}}},
        },
    });
    assert_eq!(defaults.unwrap().hide_in(&schema), expected);
}

/// Arguments such as a model might write: keys that differ in case only among them.
fn arguments() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "(forged|me|)".prop_map(Value::from),
    ];
    let key = "(body|Body|BODY|bOdy|requesterId|requesterid|REQUESTERID|reque\u{17f}terId|x)";
    leaf.prop_recursive(4, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Whether `object` says exactly what the context says, in one way.
fn is_decided(object: &Value) -> bool {
    let Some(fields) = object.as_object() else { return false };
    let said: Vec<_> = fields.iter().filter(|(key, _)| folded(key) == "requesterid").collect();
    matches!(said.as_slice(), [(key, value)] if *key == "requesterId" && **value == json!("me"))
}

proptest! {
    #[test]
    fn whatever_the_model_says_the_context_decides(args in arguments(), items in prop::collection::vec(arguments(), 0..4), has_items: bool) {
        let mut args = args;
        if has_items && let Some(fields) = args.as_object_mut() {
            fields.insert("body".into(), Value::Array(items));
        }
        let context = json!({"requester": "me"});
        if let Ok(args) = applied(&json!({"body[].requesterId": "requester"}), args.clone(), &context) {
            let spelled = args.as_object().unwrap().keys().filter(|key| folded(key) == "body");
            prop_assert_eq!(spelled.collect::<Vec<_>>(), ["body"]);
            match &args["body"] {
                Value::Array(items) => prop_assert!(items.iter().all(is_decided), "{args}"),
                body => prop_assert!(is_decided(body), "{args}"),
            }
        }
        if let Ok(args) = applied(&json!({"requesterId": "requester"}), args.clone(), &context) {
            prop_assert!(is_decided(&args), "{args}");
        }
        if let Ok(args) = applied(&json!({"x.body.requesterId": "requester"}), args, &context) {
            prop_assert!(is_decided(&args["x"]["body"]), "{args}");
        }
    }

    #[test]
    fn applying_again_changes_nothing(args in arguments()) {
        let context = json!({"requester": "me"});
        for path in ["body[].requesterId", "requesterId", "body.x.requesterId"] {
            let paths = json!({path: "requester"});
            if let Ok(once) = applied(&paths, args.clone(), &context) {
                prop_assert_eq!(&applied(&paths, once.clone(), &context).unwrap(), &once);
            }
        }
    }
}
