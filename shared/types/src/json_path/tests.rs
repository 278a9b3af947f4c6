//! What paths find, each limit, and the crate's own evaluation as the judge.

use jsonpath_rust::query::js_path_process;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn parse(text: &str) -> Result<JsonPath, JsonPathError> {
    text.parse()
}

fn all(text: &str, payload: &Value) -> Vec<Value> {
    let path = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    path.find_all(&mut Subject::new(payload), usize::MAX).unwrap()
}

fn some(text: &str, payload: &Value, limit: usize) -> Result<Vec<Value>, SearchError> {
    parse(text).unwrap().find_all(&mut Subject::new(payload), limit)
}

fn find(text: &str, payload: &Value) -> Result<Option<Value>, SearchError> {
    parse(text).unwrap().find(&mut Subject::new(payload))
}

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap();
    thread.join().unwrap();
}

fn store() -> Value {
    json!({"store": {"books": [
        {"title": "A", "price": 8, "tags": ["x", "y"]},
        {"title": "B", "price": 12.5, "isbn": "1"},
        {"title": "C", "price": 22, "isbn": null},
    ], "limit": 10, "open": true}})
}

#[test]
fn segments_and_selectors_select() {
    for (path, expected) in [
        ("$", vec![store()]),
        ("$.store.limit", vec![json!(10)]),
        ("$['store'][\"open\"]", vec![json!(true)]),
        ("$.store.books[0].title", vec![json!("A")]),
        ("$.store.books[-1].title", vec![json!("C")]),
        ("$.store.books[3]", vec![]),
        ("$.store.books[-4]", vec![]),
        ("$.store.books[*].title", vec![json!("A"), json!("B"), json!("C")]),
        ("$.store.books[1:].title", vec![json!("B"), json!("C")]),
        ("$.store.books[::-2].title", vec![json!("C"), json!("A")]),
        ("$.store.books[0, 2].price", vec![json!(8), json!(22)]),
        ("$..price", vec![json!(8), json!(12.5), json!(22)]),
        ("$..tags[*]", vec![json!("x"), json!("y")]),
        ("$.missing.field", vec![]),
        ("$.store.limit[0]", vec![]),
    ] {
        assert_eq!(all(path, &store()), expected, "{path}");
    }
}

#[test]
fn filters_compare_and_test() {
    let titles = |filter: &str| -> String {
        let found = all(&format!("$.store.books[?{filter}].title"), &store());
        found.iter().filter_map(Value::as_str).collect()
    };
    for (filter, expected) in [
        ("@.price < 10", "A"),
        ("@.price >= 12.5", "BC"),
        ("@.price < $.store.limit", "A"),
        ("@.isbn", "BC"),
        ("!@.isbn", "A"),
        ("@.isbn == null", "C"),
        ("@.isbn == @.missing", "A"),
        ("@.title == 'B' || @.price == 8", "AB"),
        ("@.price > 8 && @.isbn != null", "B"),
        ("!(@.title == 'A' || @.title == 'B')", "C"),
        ("@.tags == $.store.books[0].tags", "A"),
        ("@.title > 'A'", "BC"),
        // The crate finds nothing with a filter in a filter.
        ("@.tags[?@ == 'y']", "A"),
        ("length(@.tags) == 2", "A"),
        ("length(@.title) == 1", "ABC"),
        ("count(@.*) == 3", "ABC"),
        ("value(@..isbn) == '1'", "B"),
        ("$.store.open == true", "ABC"),
    ] {
        assert_eq!(titles(filter), expected, "{filter}");
    }
}

#[test]
fn one_match_is_its_value_and_several_are_a_list() {
    for (path, expected) in [
        ("$.store.limit", Some(json!(10))),
        ("$.store.books[*].title", Some(json!(["A", "B", "C"]))),
        ("$.store.books[0].tags", Some(json!(["x", "y"]))),
        ("$.missing", None),
    ] {
        assert_eq!(find(path, &store()), Ok(expected), "{path}");
    }
    let many = Value::Array((0..1_000).map(Value::from).collect());
    let first = Value::Array((0..100).map(Value::from).collect());
    assert_eq!(find("$[*]", &many), Ok(Some(first)));
    assert_eq!(some("$[*]", &many, 0), Ok(vec![]));
    assert_eq!(some("$[*]", &many, 1), Ok(vec![json!(0)]));
}

#[test]
fn what_is_not_a_path_is_refused() {
    for text in ["", "a", "$.", "$[", "$[?]", "$ .a\u{0}", "$['a]"] {
        assert!(matches!(parse(text), Err(JsonPathError::Syntax(_))), "{text:?}");
    }
    assert_eq!(
        parse("x").unwrap_err().to_string(),
        "write a JSONPath (RFC 9535), for example `$.user.id`"
    );
}

#[test]
fn functions_that_cost_or_mean_too_much_are_refused() {
    for filter in [
        "match(@.a, '(a*)*b')",
        "!search(@.a, 'x')",
        "@.a && (search(@.a, 'x'))",
        "in(@.a, $.b)",
        "count(@[?match(@, 'x')]) > 1",
    ] {
        assert_eq!(parse(&format!("$[?{filter}]")), Err(JsonPathError::Function), "{filter}");
    }
    assert_eq!(parse("$[?length(@.a)]"), Err(JsonPathError::Uncompared));
}

#[test]
fn length_nesting_and_segments_are_limited() {
    let long = |len: usize| format!("$.{}", "a".repeat(len - 2));
    assert!(parse(&long(MAX_PATH)).is_ok());
    assert_eq!(parse(&long(MAX_PATH + 1)), Err(JsonPathError::TooLong));
    let nested = |levels: usize| {
        format!("{}@.a{}", "$[?".to_owned() + &"(".repeat(levels - 1), ")".repeat(levels - 1) + "]")
    };
    assert!(parse(&nested(MAX_NESTING)).is_ok());
    assert_eq!(parse(&nested(MAX_NESTING + 1)), Err(JsonPathError::TooComplex));
    let chained = |segments: usize| format!("${}", ".a".repeat(segments));
    assert!(parse(&chained(MAX_SEGMENTS)).is_ok());
    assert_eq!(parse(&chained(MAX_SEGMENTS + 1)), Err(JsonPathError::TooComplex));
    assert_eq!(parse(&format!("$[?@{}]", ".a".repeat(33))), Err(JsonPathError::TooComplex));
    assert_eq!(parse(&format!("$[?@{} == 1]", ".a".repeat(33))), Err(JsonPathError::TooComplex));
    assert!(parse("$['((((((((((']").is_ok());
}

#[test]
fn the_worst_paths_and_payloads_fit_half_a_stack() {
    on_a_small_stack(|| {
        let nest = |levels: usize| format!("{}0{}", "[".repeat(levels), "]".repeat(levels));
        let deep: Value = serde_json::from_str(&nest(126)).unwrap();
        let object = "{\"a\":".repeat(126) + "0" + &"}".repeat(126);
        let object: Value = serde_json::from_str(&object).unwrap();
        for text in [
            "$..*".to_owned(),
            format!("${}", "..*".repeat(MAX_SEGMENTS)),
            format!("${}", "..a".repeat(MAX_SEGMENTS)),
            format!("$..[?{}@..a{}]", "(".repeat(7), ")".repeat(7)),
            "$..[?@..[?@..[?@..[?@..[?@..[?@..[?@..a]]]]]]]".to_owned(),
            "$..[?count(@..[?count(@..*) > 1]) > 0]".to_owned(),
            "$..[?@ == $[0]]".to_owned(),
            format!("$[?{}a", "length(".repeat(7)),
            "(".repeat(512),
            "[".repeat(512),
            format!("$[?{}", "!".repeat(500)),
            format!("$[?{}@]", "@||".repeat(168)),
            format!("$[{}0]", "0,".repeat(254)),
        ] {
            if let Ok(path) = parse(&text) {
                for payload in [&deep, &object] {
                    // Whether there are steps enough does not matter here.
                    let found = path.find_all(&mut Subject::new(payload), 100);
                    assert!(found.is_ok_and(|found| found.len() <= 100) || text.contains(".."));
                }
            }
        }
    });
}

#[test]
fn a_long_key_is_not_copied_for_each_match() {
    let payload = json!({"k".repeat(500_000): vec![0; 100_000]});
    assert_eq!(some("$.*[*]", &payload, 100).unwrap().len(), 100);
    assert_eq!(find("$[?count(@[*]) == 100000][0]", &payload), Ok(Some(json!(0))));
}

#[test]
fn a_search_fails_when_its_steps_are_spent() {
    let payload =
        json!({"list": vec![vec![json!({"a": 1}); 100]; 100], "text": "x".repeat(500_000)});
    for text in [
        "$..[?count($..*) == 1]",
        "$..[?$.list == $.list && @.b]",
        "$..[?$.text == $.text && @.b]",
        "$..[?length($.text) == 1]",
        "$..[?$.text < $.text]",
        "$..[?count(@..*) == count($..*)]",
    ] {
        assert_eq!(find(text, &payload), Err(SearchError::TooMuchWork), "{text}");
    }
    // Part of the matches, or of one of them, would look like all of it.
    let copies = "$[*, *, *, *, *, *, *, *, *, *, *, *, *, *, *, *, *, *, *, *]";
    assert_eq!(some(copies, &json!([payload]), usize::MAX), Err(SearchError::TooMuchWork));
    assert_eq!(some(copies, &json!([payload]), 1), Ok(vec![payload]));
}

#[test]
fn all_searches_of_a_payload_share_its_steps() {
    let payload = json!({"list": vec![0; 10_000], "n": 1});
    let mut subject = Subject::new(&payload);
    let (deep, plain) = (parse("$..none").unwrap(), parse("$.n").unwrap());
    let done = std::iter::repeat_with(|| deep.find(&mut subject)).take_while(Result::is_ok).count();
    assert!((10..200).contains(&done), "{done}");
    assert_eq!(plain.find(&mut Subject::new(&payload)), Ok(Some(json!(1))));
}

#[test]
fn a_small_payload_allows_for_fewer_steps() {
    let payload = json!({"list": [vec![0; 30], vec![0; 30], vec![0; 30]]});
    let text = "$..[?count($..*) != count($..[?count($..*) == 1])]";
    let started = std::time::Instant::now();
    assert_eq!(find(text, &payload), Err(SearchError::TooMuchWork));
    // Around a tenth of what `MAX_STEPS` take.
    assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn a_whole_payload_of_a_mebibyte_is_searched() {
    let mut items = vec![json!(0); 500_000];
    items.push(json!({"last": "x"}));
    assert_eq!(all("$..last", &Value::Array(items)), vec![json!("x")]);
}

#[test]
fn a_path_is_its_text() {
    let path = parse("$.a").unwrap();
    assert_eq!((path.to_string().as_str(), path.as_str()), ("$.a", "$.a"));
    assert_eq!(path, path.clone());
    assert_ne!(path, parse("$['a']").unwrap());
    assert_eq!(format!("{path:?}"), r#"JsonPath("$.a")"#);
}

fn payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (-3_i32..4).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-c]", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec![
        ".a",
        ".b",
        "['c']",
        "[0]",
        "[-1]",
        "[1:]",
        "[:-1]",
        "[::2]",
        "[::-1]",
        "[2:0:-1]",
        ".*",
        "[*]",
        "..a",
        "..*",
        "..[0]",
        "[?@.a]",
        "[?!@.a]",
        "[?@ == 1]",
        "[?@.a != 'a']",
        "[?@ < 2]",
        "[?@.a >= @.b]",
        "[?@.a == $.a]",
        "[?@.a && @.b || @ == 'a']",
        "[?count(@.*) > 1]",
        "[?length(@) >= 1]",
        "[?!(@ == null)]",
    ]);
    prop::collection::vec(segment, 0..4).prop_map(|segments| format!("${}", segments.concat()))
}

proptest! {
    #[test]
    fn matches_are_those_of_the_crate(text in path(), payload in payload()) {
        let theirs = js_path_process(&parse_json_path(&text).unwrap(), &payload).unwrap();
        let theirs: Vec<Value> = theirs.into_iter().map(|found| found.val().clone()).collect();
        prop_assert_eq!(all(&text, &payload), theirs);
    }

    #[test]
    fn nothing_panics(text in r#"\$[a-b.*@|&!=<>\[\]()?:,0-9'" -]{0,40}"#, payload in payload()) {
        if let Ok(path) = parse(&text) {
            let found = path.find_all(&mut Subject::new(&payload), 3);
            prop_assert!(found.is_ok_and(|found| found.len() <= 3));
        }
    }

    #[test]
    fn any_text_at_all_is_parsed_or_refused(text in any::<String>()) {
        let _ = parse(&text);
    }
}
