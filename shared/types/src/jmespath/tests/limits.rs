//! Hostile expressions and payloads: each limit at, under and over.

use serde_json::{Value, json};

use super::{evaluate, parse};
use crate::jmespath::*;

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap();
    thread.join().unwrap();
}

/// `times` nested or chained pieces, closed again.
fn chain(before: &str, middle: &str, after: &str, times: usize) -> String {
    [&before.repeat(times), middle, &after.repeat(times)].concat()
}

/// The kinds of expression that make the parser recurse or the tree deep. Each has a number of
/// pieces so that its tree is as deep as is allowed; one more piece is too deep.
const WORST: [(&str, &str, &str, usize); 26] = [
    ("(", "a", ")", 64),
    ("!", "a", "", 64),
    ("[", "a", "]", 64),
    ("{a:", "a", "}", 64),
    ("a.", "a", "", 64),
    ("a|", "a", "", 64),
    ("a||", "a", "", 64),
    ("a&&", "a", "", 64),
    ("a==", "a", "", 64),
    ("a<=", "a", "", 64),
    ("", "a", "[0]", 64),
    ("", "a", "[]", 64),
    ("", "a", "[0:1]", 64),
    ("", "a", "[*]", 32),
    ("", "a", ".*", 32),
    ("", "a", "[?a]", 64),
    ("[?", "a", "]", 64),
    ("a[?", "a", "]", 64),
    ("*.", "a", "", 32),
    ("a||(", "a", ")", 32),
    ("[*].[", "a", "]", 16),
    ("a.{a:", "a", "}", 32),
    ("to_string(", "a", ")", 64),
    ("not_null(a, ", "a", ")", 64),
    ("map(&", "a", ", @)", 32),
    ("sort_by(@, &(", "a", "))", 21),
];

#[test]
fn the_length_is_limited() {
    assert!(parse(&"a".repeat(MAX_EXPRESSION)).is_ok());
    assert_eq!(parse(&"a".repeat(MAX_EXPRESSION + 1)), Err(ExpressionError::TooLong));
}

#[test]
fn the_depth_is_limited_for_each_kind() {
    for (before, middle, after, times) in WORST {
        let at = chain(before, middle, after, times);
        assert!(parse(&at).is_ok(), "{at}: {:?}", parse(&at));
        let over = chain(before, middle, after, times + 1);
        assert_eq!(parse(&over), Err(ExpressionError::TooDeep), "{over}");
    }
}

#[test]
fn the_deepest_expressions_fit_half_a_stack() {
    on_a_small_stack(|| {
        let deep = serde_json::from_str::<Value>(&chain("[", "0", "]", 120)).unwrap();
        let wide = json!({"a": {"a": [[{"a": deep}]]}});
        for (before, middle, after, times) in WORST {
            let text = chain(before, middle, after, times);
            let expression = parse(&text).unwrap();
            for payload in [&deep, &wide] {
                // Whether it fits the payload does not matter here.
                let _ = expression.evaluate(payload);
            }
        }
    });
}

#[test]
fn the_deepest_values_fit_half_a_stack() {
    on_a_small_stack(|| {
        let literal = chain("[", "0", "]", 126);
        let payload: Value = serde_json::from_str(&literal).unwrap();
        for text in [
            format!("`{literal}`"),
            chain("[", "@", "]", 60),
            format!("to_string({})", chain("[", "@", "]", 60)),
            chain("[", "to_string(@)", "]", 60),
            chain("[", "[@] == [@]", "]", 60),
            chain("(", "contains([@], @)", ")", 60),
            "contains([[@]], [@])".to_owned(),
            format!("{} | {}", chain("[", "@", "]", 31), chain("{a:", "@", "}", 31)),
        ] {
            evaluate(&text, &payload).unwrap();
        }
        assert!(matches!(
            parse(&format!("`{}`", chain("[", "0", "]", 400))),
            Err(ExpressionError::Syntax { .. })
        ));
    });
}

#[test]
fn a_payload_nested_too_deep_is_refused() {
    let nest = |levels| (0..levels).fold(json!(0), |value, _| json!([value]));
    assert_eq!(evaluate("'x'", &nest(MAX_PAYLOAD_DEPTH)), Ok(json!("x")));
    assert_eq!(evaluate("'x'", &nest(MAX_PAYLOAD_DEPTH + 1)), Err(EvaluationError::TooDeep));
}

#[test]
fn doubling_is_stopped_before_it_explodes() {
    let payload = json!({"a": "0123456789abcdef", "list": ["x"]});
    let lists = |stages| vec!["[@,@,@,@]"; stages].join("|");
    let flat_lists = |stages| vec!["[@,@,@,@][]"; stages].join("|");
    for text in [
        lists(30),
        vec!["{a: @, b: @}"; 20].join("|"),
        flat_lists(15),
        vec!["to_string([@,@])"; 20].join("|"),
        format!("a|{}", vec!["join('0123456789abcdef', [@,@,@,@])"; 18].join("|")),
        format!("{} == `1`", lists(30)),
        format!("({}) == ({0})", lists(14)),
        format!("contains([{}], {0})", lists(14)),
        format!("length(to_string({}))", lists(30)),
        format!("length(sort({}))", flat_lists(15)),
        format!("list|{}|join(to_string(@), @)", flat_lists(8)),
        format!("list|{}|map(&[@,@,@,@], @)|length(@)", flat_lists(10)),
    ] {
        let result = evaluate(&text, &payload);
        if text.ends_with("== `1`") {
            // Comparing with another kind of value looks at neither.
            assert_eq!(result, Ok(json!(false)));
            continue;
        }
        assert!(
            matches!(
                result,
                Err(EvaluationError::TooMuchWork
                    | EvaluationError::TooMuchMemory
                    | EvaluationError::TooLarge)
            ),
            "{text}: {:?}",
            result.map(|value| value.to_string().len())
        );
    }
}

#[test]
fn a_long_glue_is_paid_for() {
    let payload = json!({"glue": "x".repeat(100_000), "list": vec![""; 10_000]});
    assert_eq!(evaluate("join(glue, list)", &payload), Err(EvaluationError::TooMuchWork));
    assert_eq!(evaluate("length(join('-', list))", &payload), Ok(json!(9_999)));
}

#[test]
fn names_are_paid_for_however_short() {
    // Objects that differ in their last name only, compared again and again.
    let names = |last: &str| (0..40).map(|n| format!("a{n:02}")).chain([last.to_owned()]);
    let object = |last| Value::Object(names(last).map(|name| (name, json!(0))).collect());
    let payload = json!({"copies": vec![object("y"); 400], "needle": object("z")});
    let all = "map(&contains(@, `0`), copies[*].*) | length(@)";
    assert_eq!(evaluate(all, &payload), Ok(json!(400)));
    assert_eq!(evaluate("contains(copies, needle)", &payload), Ok(json!(false)));
    let again = format!("[{}]", vec!["contains(copies, needle)"; 39].join(","));
    assert_eq!(evaluate(&again, &payload), Err(EvaluationError::TooMuchWork));
}

#[test]
fn what_is_made_on_the_way_is_bounded_before_it_is_there() {
    // Each control character takes six bytes.
    let text = json!({"a": "\u{1}".repeat(500_000)});
    assert_eq!(evaluate("length(to_string([a]))", &text), Ok(json!(3_000_004)));
    let six = evaluate("length(to_string([a, a, a, a, a, a]))", &text);
    assert_eq!(six, Err(EvaluationError::TooMuchMemory));
    let nested = evaluate("length(to_string([to_string([to_string([a])])]))", &text);
    assert_eq!(nested, Err(EvaluationError::TooMuchWork));
    let list = Value::Array(vec![json!(0); 60_000]);
    assert_eq!(evaluate("length([*].{a: @})", &json!(vec![0; 10_000])), Ok(json!(10_000)));
    assert_eq!(evaluate("length([*].{a: @})", &list), Err(EvaluationError::TooMuchMemory));
    assert_eq!(evaluate("length([?@ == `0` && !(@ > `1`)])", &list), Ok(json!(60_000)));
}

#[test]
fn all_expressions_of_a_payload_share_its_steps() {
    let payload = Value::Array(vec![json!(0); 10_000]);
    let mut subject = Subject::take_in(&payload).unwrap();
    let filter = parse("length([?@ == `0`])").unwrap();
    let done = std::iter::repeat_with(|| filter.evaluate_on(&mut subject))
        .take_while(Result::is_ok)
        .count();
    assert!((1..10).contains(&done), "{done}");
    assert_eq!(filter.evaluate_on(&mut subject), Err(EvaluationError::TooMuchWork));
    assert_eq!(filter.evaluate(&payload), Ok(json!(10_000)));
}

#[test]
fn a_literal_in_a_projection_is_counted() {
    let payload = Value::Array(vec![json!(0); 20_000]);
    let text = format!("[*].['{}']", "x".repeat(200));
    assert_eq!(evaluate(&text, &payload), Err(EvaluationError::TooLarge));
}

#[test]
fn the_result_is_limited_to_the_byte() {
    let payload = json!({"under": "x".repeat(MAX_RESULT - 2), "over": "x".repeat(MAX_RESULT - 1)});
    assert!(evaluate("under", &payload).is_ok());
    assert_eq!(evaluate("over", &payload), Err(EvaluationError::TooLarge));
}

#[test]
fn a_payload_of_a_mebibyte_can_be_worked_with() {
    let numbers = Value::Array(vec![json!(0); 1 << 19]);
    assert_eq!(evaluate("length(@)", &numbers), Ok(json!(1 << 19)));
    let orders: Vec<Value> = (0..10_000)
        .map(|n| json!({"id": n, "text": "x".repeat(60), "price": n % 7, "state": "open"}))
        .collect();
    let payload = json!({"orders": orders});
    let text = "sort_by(orders[?price > `3` && state == 'open'], &price)[-2:].{id: id, text: text}";
    assert_eq!(evaluate(text, &payload).unwrap()[1]["id"], json!(9_995));
    let text = "length(to_string(orders[?contains(text, 'x')]))";
    assert!(evaluate(text, &payload).unwrap().as_u64() > Some(900_000));
}
