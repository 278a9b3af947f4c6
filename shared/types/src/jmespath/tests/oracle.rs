//! Any expression on any payload: the crate's own interpreter says what is right.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::parse;
use crate::jmespath::{MAX_RESULT, values};

fn payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (-3_i32..4).prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "@",
        "*",
        "[*]",
        "[]",
        "[0]",
        "[-1]",
        "[1:]",
        "[::-1]",
        "'a'",
        "`1`",
        "`[1, [\"a\"]]`",
        "`null`",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 16, 3, |inner| {
        let one = prop::sample::select(vec![
            "({})",
            "!({})",
            "[{}]",
            "{x: {}}",
            "[?{}]",
            "({}).a",
            "({})[0]",
            "({})[]",
            "({}).*",
            "({})[*].b",
            "({})[?a]",
            "length({})",
            "to_string({})",
            "type({})",
            "keys({})",
            "reverse({})",
            "sort({})",
            "map(&a, {})",
            "sort_by({}, &a)",
            "max_by({}, &@)",
            "min_by({}, &b)",
            "max({})",
            "sum({})",
            "abs({})",
            "to_array({})",
            "values({})",
        ]);
        let two = prop::sample::select(vec![
            "({}) | ({})",
            "({}) || ({})",
            "({}) && ({})",
            "({}) == ({})",
            "({}) < ({})",
            "({}) != ({})",
            "[{}, {}]",
            "{x: {}, y: {}}",
            "contains({}, {})",
            "join({}, {})",
            "not_null({}, {})",
            "merge({}, {})",
            "starts_with({}, {})",
        ]);
        prop_oneof![
            (one, inner.clone()).prop_map(|(form, a)| form.replacen("{}", &a, 1)),
            (two, inner.clone(), inner).prop_map(|(form, a, b)| {
                let (head, tail) = form.split_once("{}").expect("it has two places");
                [head, &a, &tail.replacen("{}", &b, 1)].concat()
            }),
        ]
    })
}

/// What the crate's own interpreter makes of it.
fn by_the_crate(text: &str, payload: &Value) -> Option<Value> {
    let found = ::jmespath::compile(text).unwrap().search(payload).ok()?;
    let found: Value = serde_json::from_str(&found.to_string()).unwrap();
    Some(without_point_zero(found))
}

fn without_point_zero(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]
            Some(float) if float.fract() == 0.0 => json!(float as i64),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(without_point_zero).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key, without_point_zero(value))).collect()
        }
        other => other,
    }
}

proptest! {
    #[test]
    fn results_are_those_of_the_crate(text in expression(), payload in payload()) {
        if let Ok(expression) = parse(&text) {
            prop_assert_eq!(expression.evaluate(&payload).ok(), by_the_crate(&text, &payload));
        }
    }

    #[test]
    fn nothing_panics_and_results_are_bounded(
        text in r#"[a-b.*@|&!=<>\[\]{}()?:,0-9'"`\\ -]{0,60}"#,
        payload in payload(),
    ) {
        if let Ok(expression) = parse(&text)
            && let Ok(result) = expression.evaluate(&payload)
        {
            prop_assert!(result.to_string().len() <= MAX_RESULT);
        }
    }

    #[test]
    fn any_text_at_all_is_parsed_or_refused(text in any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn the_counted_length_is_the_length_of_the_json(payload in payload(), text in any::<String>()) {
        let payload = json!({"p": payload, "t": text});
        let fits = serde_json::to_string(&payload).unwrap().len();
        prop_assert_eq!(values::json_len(&payload), fits);
    }
}
