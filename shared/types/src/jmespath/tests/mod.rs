//! What expressions mean, and which are refused.

mod limits;
mod oracle;

use serde_json::{Value, json};

use super::*;

fn parse(text: &str) -> Result<Expression, ExpressionError> {
    text.parse()
}

fn evaluate(text: &str, payload: &Value) -> Result<Value, EvaluationError> {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).evaluate(payload)
}

#[test]
fn fields_indices_slices_and_pipes_select() {
    let value = json!({"a": {"b c": [1, 2, 3, 4]}, "list": [{"x": 1}, {"x": 2}, {"y": 3}]});
    for (text, expected) in [
        ("@", value.clone()),
        ("a.\"b c\"[0]", json!(1)),
        ("a.\"b c\"[-1]", json!(4)),
        ("a.\"b c\"[9]", json!(null)),
        ("a.\"b c\"[1:3]", json!([2, 3])),
        ("a.\"b c\"[::-2]", json!([4, 2])),
        ("missing.field", json!(null)),
        ("list[*].x", json!([1, 2])),
        ("list[*].x | [0]", json!(1)),
        ("list[?x > `1`].x", json!([2])),
        ("list[?x == `1` || y == `3`]", json!([{"x": 1}, {"y": 3}])),
        ("list[?!x]", json!([{"y": 3}])),
        ("list[0].[x, y]", json!([1, null])),
        ("list[0].{first: x, second: y}", json!({"first": 1, "second": null})),
        ("a.*[]", json!([1, 2, 3, 4])),
        ("*.x", json!([])),
        ("missing || 'or'", json!("or")),
        ("list && 'and'", json!("and")),
        ("`{\"a\": [1, 2.5]}`", json!({"a": [1, 2.5]})),
    ] {
        assert_eq!(evaluate(text, &value), Ok(expected), "{text}");
    }
}

#[test]
fn functions_compute() {
    let value = json!({
        "names": ["b", "a"], "numbers": [3, 1, 2], "text": "água",
        "people": [{"n": "x", "age": 30}, {"n": "y", "age": 5}], "object": {"k": 1},
    });
    for (text, expected) in [
        ("length(text)", json!(4)),
        ("length(people)", json!(2)),
        ("join(', ', names)", json!("b, a")),
        ("sort(names)", json!(["a", "b"])),
        ("sort_by(people, &age)[*].n", json!(["y", "x"])),
        ("max_by(people, &age).n", json!("x")),
        ("min_by(people, &n).age", json!(30)),
        ("max_by(`[]`, &age)", json!(null)),
        ("map(&age, people)", json!([30, 5])),
        ("contains(names, 'a')", json!(true)),
        ("contains(text, 'gu')", json!(true)),
        ("contains(numbers, '1')", json!(false)),
        ("to_string(object)", json!("{\"k\":1}")),
        ("to_number('12')", json!(12)),
        ("to_number('-1.5e1')", json!(-15)),
        ("to_number('[12]')", json!(null)),
        ("to_number('1e999')", json!(null)),
        ("sum(numbers)", json!(6)),
        ("avg(numbers)", json!(2)),
        ("avg(`[1, 2]`)", json!(1.5)),
        ("merge(object, {l: `2`})", json!({"k": 1, "l": 2})),
        ("keys(object)", json!(["k"])),
        ("values(object)", json!([1])),
        ("reverse(numbers)", json!([2, 1, 3])),
        ("not_null(missing, text)", json!("água")),
        ("type(people)", json!("array")),
        ("starts_with(text, 'á')", json!(true)),
        ("to_array(text)", json!(["água"])),
    ] {
        assert_eq!(evaluate(text, &value), Ok(expected), "{text}");
    }
}

#[test]
fn whole_numbers_stay_whole_and_exact() {
    let value = json!({"id": 9_007_199_254_740_993_u64, "other": 9_007_199_254_740_992_u64,
        "max": u64::MAX, "float": 1.5, "whole": 2.0});
    let text = |expression| evaluate(expression, &value).unwrap().to_string();
    assert_eq!(text("id"), "9007199254740993");
    assert_eq!(text("[max]"), "[18446744073709551615]");
    assert_eq!(text("id == other"), "false");
    assert_eq!(text("id > other"), "true");
    assert_eq!(text("contains([other], id)"), "false");
    assert_eq!(text("sort_by([{n: id}, {n: other}], &n)[0].n"), "9007199254740992");
    assert_eq!(text("sum([float, float])"), "3");
    assert_eq!(text("[float, whole]"), "[1.5,2]");
}

#[test]
fn a_syntax_error_names_its_place() {
    let position = |text: &str| match parse(text) {
        Err(ExpressionError::Syntax { position, .. }) => position,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(position("a..b"), 3);
    assert_eq!(position("'é' = b"), 5);
    assert_eq!(position(""), 1);
    let error = parse("a..b").unwrap_err().to_string();
    assert_eq!(error, "mend the expression at character 3: it is not JMESPath there");
}

#[test]
fn references_cannot_be_kept_and_called_again() {
    for text in [
        "&a",
        "[&a]",
        "{f: &map(@.f, [@])}",
        "[{f: &map(@.f, [@])}] | map([0].f, @)",
        "not_null(&a)",
        "map(@, &a)",
        "map(a, @)",
        "sort_by(&a, @)",
        "type(&a)",
    ] {
        assert_eq!(parse(text), Err(ExpressionError::Reference), "{text}");
    }
}

#[test]
fn wrong_calls_are_refused_when_parsed() {
    let arguments = |name: &str, expected: &str| ExpressionError::Arguments {
        name: name.to_owned(),
        expected: expected.to_owned(),
    };
    assert_eq!(parse("nope(@)"), Err(ExpressionError::UnknownFunction("nope".to_owned())));
    assert_eq!(parse("a[?nope(@)]"), Err(ExpressionError::UnknownFunction("nope".to_owned())));
    assert_eq!(parse("length()"), Err(arguments("length", "one argument")));
    assert_eq!(parse("join(@)"), Err(arguments("join", "two arguments")));
    assert_eq!(parse("not_null()"), Err(arguments("not_null", "at least one argument")));
}

#[test]
fn indices_and_steps_are_limited() {
    for good in ["[1000000]", "[-1000000]", "[::1000000]", "[::-1000000]"] {
        assert_eq!(evaluate(good, &json!({})), Ok(json!(null)), "{good}");
    }
    for bad in ["[1000001]", "[-1000001]", "[::2147483647]", "[::-2147483647]", "[1:2:0]"] {
        assert_eq!(parse(bad), Err(ExpressionError::Index), "{bad}");
    }
}

#[test]
fn a_function_says_what_it_cannot_take() {
    let reason = |text: &str| evaluate(text, &json!({"n": 1, "l": [1, "x"]})).unwrap_err();
    assert_eq!(
        reason("length(n)").to_string(),
        "give `length` values that it takes (Argument 0 expects type array|object|string, \
         given number), with a filter or `||` for example"
    );
    for text in ["sort_by(l, &@)", "max_by(l, &@)", "map(&@, n)", "sort(l)", "avg(`[]`)"] {
        assert!(matches!(reason(text), EvaluationError::Function { .. }), "{text}");
    }
}

#[test]
fn an_expression_is_its_text() {
    let expression = parse("a . b").unwrap();
    assert_eq!(expression.to_string(), "a . b");
    assert_eq!(expression.as_str(), "a . b");
    assert_eq!(expression, expression.clone());
    assert_ne!(expression, parse("a.b").unwrap());
    assert_eq!(format!("{expression:?}"), r#"Expression("a . b")"#);
}

#[test]
fn every_function_of_the_crate_is_known() {
    for name in [
        "abs",
        "avg",
        "ceil",
        "contains",
        "ends_with",
        "floor",
        "join",
        "keys",
        "length",
        "map",
        "max",
        "max_by",
        "merge",
        "min",
        "min_by",
        "not_null",
        "reverse",
        "sort",
        "sort_by",
        "starts_with",
        "sum",
        "to_array",
        "to_number",
        "to_string",
        "type",
        "values",
    ] {
        assert!(functions::signature(name).is_some(), "{name}");
        assert!(::jmespath::DEFAULT_RUNTIME.get_function(name).is_some(), "{name}");
    }
}
