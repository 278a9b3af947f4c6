//! Nothing that is hidden survives, in whatever form.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn redactor(context: &Value, secrets: &[&str]) -> Redactor {
    Redactor::of(context.as_object().unwrap(), secrets)
}

#[test]
fn hidden_values_of_the_context_are_hidden_and_others_are_not() {
    let context = json!({
        "_sid": "SM12345678", "token": "t0k&n/é\"", "host": "https://api.x.y", "phone": "5511999",
        "_n": 7_654_321, "_short": "abcde", "_deep": {"list": ["inner-1", {"k": "inner-2"}]},
        "user": {"name": "visible-1", "_id": "inner-3"}, "userName": "Ana Maria",
    });
    let redactor = redactor(&context, &["s3cr3t"]);
    let shown = |text: &str| redactor.redact(text).into_owned();
    for hidden in [
        "SM12345678",
        "sm12345678",
        "t0k&n/é\"",
        "https://api.x.y",
        "7654321",
        "inner-1",
        "inner-2",
        "inner-3",
        "s3cr3t",
    ] {
        assert_eq!(shown(&format!("<{hidden}>")), "<[hidden]>");
    }
    for visible in ["5511999", "abcde", "visible-1", "Ana Maria", "SM1234567", ""] {
        assert!(matches!(redactor.redact(visible), Cow::Borrowed(text) if text == visible));
    }
}

#[test]
fn a_hidden_value_is_found_in_every_form() {
    let token = "t0k&n/é\"+?>~~~ x";
    let redactor = redactor(&json!({"token": token}), &[]);
    let forms = [
        token.to_owned(),
        json!(token).to_string(),
        r#"{"a":"t0k&n\/\u00e9\"+?>~~~ x"}"#.to_owned(),
        r#"{"a":"t0k&n\/é\"+?>~~~ x"}"#.to_owned(),
        r#"{"a":"t0k\u0026n/é\"+?\u003e~~~ x"}"#.to_owned(),
        url::form_urlencoded::byte_serialize(token.as_bytes()).collect(),
        "t0k%26n%2F%C3%A9%22%2B%3F%3E~~~%20x".to_owned(),
        "t0k%26n%2f%c3%a9%22%2b%3f%3e~~~%20x".to_owned(),
        "t0k%26n/%C3%A9%22%2B%3F%3E~~~%20x".to_owned(),
        "t0k&amp;n/é&quot;+?&gt;~~~ x".to_owned(),
        json!(json!(token).to_string()).to_string(),
        token.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02X}")),
        STANDARD.encode(token),
        URL_SAFE_NO_PAD.encode(token),
        STANDARD.encode(format!("u:{token}!")),
        STANDARD.encode(format!("u{token}?")),
    ];
    for form in forms {
        assert_ne!(redactor.redact(&form), form);
    }
}

#[test]
fn what_overlaps_is_hidden_as_a_whole() {
    let redactor = redactor(&json!({"_a": "abcdef", "_b": "defghi", "_c": "abcdefgh"}), &[]);
    assert_eq!(
        redactor.redact("xabcdefghiz abcdefg abcdefabcdef"),
        "x[hidden]z [hidden]g [hidden]"
    );
}

#[test]
fn what_a_visible_field_shows_is_not_hidden_but_a_secret_is() {
    let context = json!({"_waId": "5511999", "phoneNumber": "whatsapp:+5511999"});
    assert_eq!(redactor(&context, &[]).redact("+5511999"), "+5511999");
    assert_eq!(redactor(&context, &["5511999"]).redact("+5511999"), "+[hidden]");
}

#[test]
fn json_is_redacted_in_values_and_names() {
    let redactor = redactor(&json!({"_a": "secret-1", "_n": 7_654_321}), &[]);
    let value = json!({
        "secret-1": 1, "list": ["a secret-1", 7_654_321, 7, null, true], "token": {"any": "thing"},
    });
    let expected = json!({
        "[hidden]": 1, "list": ["a [hidden]", "[hidden]", 7, null, true], "token": {"any": "thing"},
    });
    assert_eq!(redactor.redact_json(&value), expected);
    let stripped = redactor.strip_hidden_names().redact_json(&value);
    assert_eq!(stripped["token"], HIDDEN);
}

#[test]
fn names_are_left_out_at_any_depth() {
    let value = json!({"a": 1, "_b": 2, "c": [{"token": 3, "d": {"host": 4, "userName": 5}}, 6]});
    assert_eq!(*without_hidden_names(&value), json!({"a": 1, "c": [{"d": {}}, 6]}));
    let free = json!({"a": [{"b": 1}]});
    assert!(matches!(without_hidden_names(&free), Cow::Borrowed(_)));
}

#[test]
fn where_too_much_is_hidden_secrets_and_short_values_come_first() {
    let many: Vec<String> = (0..60_000).map(|n| format!("{n:08}")).collect();
    let context = json!({"_many": many, "_sid": "SM1234"});
    let redactor = redactor(&context, &["a secret that is longer than all of them"]);
    let shown = |text: &str| redactor.redact(text).into_owned();
    assert_eq!(shown("<SM1234>, 00000000"), "<[hidden]>, [hidden]");
    assert_eq!(shown("<a secret that is longer than all of them>"), "<[hidden]>");
    assert_eq!(shown("anything else"), "anything else");
}

#[test]
fn where_too_much_is_hidden_a_long_value_is_found_by_its_beginning() {
    let long = "The whole payload, é. ".repeat(1_000);
    let context = json!({"_raw": &long, "_token": "t0k3n-1234"});
    let redactor = redactor(&context, &["s3cr3t"]);
    let shown = redactor.redact(&long);
    assert!(shown.starts_with("[hidden]") && !shown.contains(&long[..BEGINNING]), "{shown:.40}");
    assert_eq!(redactor.redact("t0k3n-1234 s3cr3t hello"), "[hidden] [hidden] hello");
    let encoded = STANDARD.encode(&long);
    assert!(redactor.redact(&encoded).starts_with("[hidden]"));
}

#[test]
fn a_long_value_that_fits_is_hidden_as_a_whole() {
    let long = "0123456789".repeat(1_000);
    assert_eq!(redactor(&json!({"_raw": &long}), &[]).redact(&long), HIDDEN);
}

#[test]
fn a_value_whose_forms_do_not_fit_is_found_by_its_beginning() {
    let value = "\u{1}é/".repeat(2_000);
    let redactor = redactor(&json!({"_raw": &value}), &[]);
    assert!(redactor.redact(&value).starts_with("[hidden]"));
    assert_eq!(redactor.redact("hello"), "hello");
}

#[test]
fn what_is_looked_for_is_bounded() {
    let many: Vec<String> = (0..60_000).map(|n| format!("{n:08}")).collect();
    let Search::Any(automaton) = redactor(&json!({"_many": many}), &[]).search else {
        panic!("something is looked for");
    };
    assert!(automaton.memory_usage() < 4 << 20, "{}", automaton.memory_usage());
}

#[test]
fn more_secrets_than_can_be_looked_for_hide_everything() {
    let many: Vec<String> = (0..60_000).map(|n| format!("{n:06}")).collect();
    let redactor = Redactor::of(&Map::new(), &many);
    assert_eq!(redactor.redact("anything"), HIDDEN);
    assert_eq!(redactor.redact(""), "");
    assert_eq!(redactor.redact_json(&json!({"a": [1, true]})), json!({HIDDEN: [HIDDEN, true]}));
}

#[test]
fn the_worst_text_takes_as_long_as_any() {
    let nested: Vec<String> = (6..300).map(|length| "a".repeat(length)).collect();
    let redactor = redactor(&json!({"_nested": nested}), &[]);
    let started = Instant::now();
    assert_eq!(redactor.redact(&"a".repeat(1 << 20)), HIDDEN);
    assert_eq!(redactor.redact(&"aaaaab".repeat(1 << 17)).len(), 6 << 17);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

proptest! {
    #[test]
    fn no_secret_survives(
        secrets in prop::collection::vec("[a-c/\"é%+ ]{1,3}[a-cé]{6,12}", 1..4),
        pieces in prop::collection::vec(("[a-z\\[\\]é\"%+ ]{0,12}", 0_usize..4, 0_usize..7), 0..12),
    ) {
        let fields: Map<String, Value> =
            secrets.iter().enumerate().map(|(n, s)| (format!("_{n}"), json!(s))).collect();
        let redactor = Redactor::of(&fields, [""; 0]);
        let mut text = String::new();
        for (noise, secret, form) in pieces {
            let secret = secrets[secret % secrets.len()].trim();
            let forms = forms::of(secret);
            text.push_str(&noise);
            text.push_str(&forms[form % forms.len()]);
        }
        let shown = redactor.redact(&text);
        for secret in &secrets {
            for form in forms::of(secret.trim()) {
                prop_assert!(!shown.contains(&form), "{form:?} in {shown:?}");
            }
        }
    }

    #[test]
    fn a_secret_inside_of_base64_is_found(before in "\\PC{0,7}", secret in "[!-~]{8,20}", after in "\\PC{0,7}") {
        let redactor = Redactor::of(&Map::new(), [&secret]);
        let encoded = STANDARD.encode(format!("{before}{secret}{after}"));
        prop_assert_ne!(redactor.redact(&encoded), encoded.as_str());
    }

    #[test]
    fn texts_without_secrets_stay(text in "[g-z é\"]{0,60}") {
        let redactor = Redactor::of(&Map::new(), ["abcdef123"]);
        prop_assert_eq!(redactor.redact(&text), text.as_str());
    }
}
