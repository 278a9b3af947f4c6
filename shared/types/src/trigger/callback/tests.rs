//! What a callback can be configured to do, and how each mistake is named.

use serde_json::{Value, json};

use super::*;
use crate::shape::{FieldProblem, Problems};
use crate::trigger::ResponseFormat;

/// Reads a callback with these fields besides its URL.
fn read(fields: &Value) -> Result<Callback, Vec<String>> {
    let mut callback = json!({"url": "https://x.y/z"});
    callback.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let (problems, value) = (Problems::default(), json!({"callback": callback}));
    let mut reader = ObjectReader::new(&value, "", &problems).unwrap();
    let derived = Transform::derived_from(ResponseFormat::Raw);
    let callback = Callback::read(&mut reader, derived, &[]);
    let shown = |p: FieldProblem| format!("{}: {}", p.path, p.reason);
    let judged = problems.finish(callback);
    judged.map(Option::unwrap).map_err(|problems| problems.into_iter().map(shown).collect())
}

/// The only mistake.
fn mistake(fields: &Value) -> String {
    let mut problems = read(fields).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn by_default_a_callback_posts_json_once_and_twice_more_and_takes_2xx() {
    let callback = read(&json!({})).unwrap();
    assert_eq!(callback.method, Method::Post);
    assert_eq!(callback.body, CallbackBody::Json(Fields::Standard));
    assert_eq!(callback.auth, CallbackAuth::Credential(crate::credential::Credential::None));
    assert_eq!((callback.success, callback.retry.max_attempts), (StatusSet::default(), 3));
}

#[test]
fn a_text_is_a_template_of_its_own() {
    let text = |body: &str| CallbackBody::Text(Template::parse(body).unwrap());
    let config = json!({"content_type": "text/plain"});
    assert_eq!(read(&config).unwrap().body, text("{{agent_response}}"));
    let config = json!({"content_type": "text/plain", "body_template": "> {{agent_response}}"});
    assert_eq!(read(&config).unwrap().body, text("> {{agent_response}}"));
    let config = json!({"content_type": "text/plain", "body_template": {"a": "b"}});
    assert_eq!(mistake(&config), "callback.body_template: must be a string");
}

#[test]
fn xml_needs_a_template_that_is_well_formed() {
    let xml = |body: Value| json!({"content_type": "application/xml", "body_template": body});
    let callback = read(&xml(json!("<m>{{agent_response}}</m>"))).unwrap();
    assert!(matches!(callback.body, CallbackBody::Xml(_)));
    assert_eq!(mistake(&xml(Value::Null)), "callback.body_template: is required");
    for body in ["<m>{{agent_response}}", "<{{agent_response}}/>", "<m/><m/>"] {
        let mistake = mistake(&xml(json!(body)));
        assert!(mistake.starts_with("callback.body_template: "), "{mistake}");
    }
}

#[test]
fn statuses_are_numbers_or_classes() {
    let success = |status: Value| read(&json!({"success_status": status})).unwrap().success;
    let listed = success(json!([204, "4xx"]));
    for (status, expected) in
        [(200, false), (204, true), (301, false), (400, true), (499, true), (500, false)]
    {
        assert_eq!(listed.contains(status), expected, "{status}");
    }
    assert_eq!(success(json!(["2xx"])), StatusSet::default());
    for wrong in [
        json!([]),
        json!("2xx"),
        json!([500]),
        json!(["5xx"]),
        json!([199]),
        json!([2.5]),
        json!(["3xx"]),
        json!([200, 302]),
    ] {
        let mistake = mistake(&json!({"success_status": wrong}));
        assert!(mistake.starts_with("callback.success_status: must be a list"), "{mistake}");
        assert!(mistake.contains("a redirect is never a success"), "{mistake}");
    }
}

#[test]
fn the_path_of_a_url_with_placeholders_leads_where_it_says() {
    for url in
        ["https://x.y/a/{{v}}", "https://x.y/{{v}}.{{v}}/..b?q=../{{v}} x", "https://x.y/a/.."]
    {
        assert!(read(&json!({"url": url})).is_ok(), "{url}");
    }
    for path in ["../{{v}}", "a/./{{v}}", "{{v}}/%2E.", "{{v}}\\b", ".\t/{{v}}", "{{v}}/\n"] {
        let mistake = mistake(&json!({"url": format!("https://x.y/{path}")}));
        assert!(mistake.starts_with("callback.url: must not "), "{path}: {mistake}");
    }
}

#[test]
fn markdown_is_taken_out_or_rewritten_not_both() {
    let transform = |fields| read(&json!({"response_transform": fields})).map(|c| c.transform);
    let rewritten = transform(json!({"to_whatsapp": true})).unwrap();
    assert!(rewritten.to_whatsapp && !rewritten.strip_markdown);
    let problems = transform(json!({"to_whatsapp": true, "strip_markdown": true})).unwrap_err();
    assert!(problems[0].starts_with("callback.response_transform.to_whatsapp: "), "{problems:?}");
}

#[test]
fn signatures_are_configured_like_credentials() {
    let hmac = |format| CallbackAuth::Hmac { secret_ref: "S".into(), format };
    let sha256 = |header: &str| hmac(HmacFormat::Sha256 { header: header.into() });
    for (auth, expected) in [
        (
            json!({"type": "hmac", "secret_ref": "S", "format": "standard_webhooks"}),
            hmac(HmacFormat::StandardWebhooks),
        ),
        (
            json!({"type": "hmac", "secret_ref": "S", "format": "sha256"}),
            sha256("X-Webhook-Signature"),
        ),
        (
            json!({"type": "hmac", "secret_ref": "S", "format": "sha256", "header": "X-Sig"}),
            sha256("X-Sig"),
        ),
    ] {
        let read = read(&json!({"auth": auth})).unwrap().auth;
        assert_eq!(read, expected);
        assert_eq!(read.secret_ref(), Some("S"));
    }
}

#[test]
fn mistakes_in_a_signature_are_named() {
    for (auth, path) in [
        (json!({"type": "hmac", "secret_ref": "S"}), "callback.auth.format"),
        (json!({"type": "hmac", "format": "sha256"}), "callback.auth.secret_ref"),
        (json!({"type": "hmac", "secret_ref": "S", "format": "md5"}), "callback.auth.format"),
        (
            json!({"type": "hmac", "secret_ref": "S", "format": "sha256", "header": "a b"}),
            "callback.auth.header",
        ),
        (
            json!({"type": "hmac", "secret_ref": "S", "format": "sha256", "header": "Host"}),
            "callback.auth.header",
        ),
        (
            json!({"type": "hmac", "secret_ref": "S", "format": "standard_webhooks",
                "header": "X-Sig"}),
            "callback.auth.header",
        ),
        (json!({"type": "bearer", "secret_ref": "S", "format": "sha256"}), "callback.auth.format"),
    ] {
        let mistake = mistake(&json!({"auth": auth}));
        assert!(mistake.starts_with(&format!("{path}: ")), "{auth}: {mistake}");
    }
}

#[test]
fn nobody_else_fills_in_the_headers_of_a_signature() {
    let signed = json!({"type": "hmac", "secret_ref": "S", "format": "standard_webhooks"});
    let config = json!({"auth": signed, "headers": {"Webhook-Id": "1", "X-Other": "2"}});
    assert_eq!(mistake(&config), "callback.headers.Webhook-Id: is set by `auth`");
    let plain = json!({"headers": {"Webhook-Id": "1"}});
    assert_eq!(read(&plain).unwrap().headers.len(), 1);
}

#[test]
fn an_address_leads_where_it_says() {
    for url in [
        "https:x.y/z",
        "https:///x.y",
        " https://x.y/",
        "https://x.y/\n",
        "https://x.y\\z",
        "https://x.y/#{{v}}",
        "https://x.y/{{v}}#a",
        "https://{{v}}/",
        "https://ana@x.y/",
    ] {
        assert!(mistake(&json!({"url": url})).starts_with("callback.url: "), "{url}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_named() {
    let auth = |kind: &str| json!({"type": kind, "secret_ref": "S"});
    let key =
        |place: &str| json!({"type": "api_key", "secret_ref": "S", "name": "key", "in": place});
    for (config, path) in [
        (json!({"headers": {"X-A": "1", "x-a": "2"}}), "callback.headers.x-a"),
        (
            json!({"headers": {"authorization": "x"}, "auth": auth("basic")}),
            "callback.headers.authorization",
        ),
        (
            json!({"headers": {"Authorization": "x"}, "auth": auth("bearer")}),
            "callback.headers.Authorization",
        ),
        (json!({"headers": {"KEY": "x"}, "auth": key("header")}), "callback.headers.KEY"),
        (json!({"url": "https://x.y/?k%65y={{v}}", "auth": key("query")}), "callback.auth.name"),
        (
            json!({"retry": {"initial_delay_ms": 501, "max_delay_ms": 500}}),
            "callback.retry.initial_delay_ms",
        ),
        (json!({"body_template": {"a": [{"{{v}}": 1}]}}), "callback.body_template"),
    ] {
        let mistake = mistake(&config);
        assert!(mistake.starts_with(&format!("{path}: ")), "{config}: {mistake}");
    }
    for config in [
        json!({"headers": {"Authorization": "x"}, "auth": key("header")}),
        json!({"headers": {"key": "x"}, "auth": key("query")}),
        json!({"url": "https://x.y/?Key=1", "auth": key("query")}),
        json!({"retry": {"max_delay_ms": 500}}),
    ] {
        assert_eq!(read(&config).err(), None, "{config}");
    }
}

#[test]
fn the_documented_examples_are_accepted() {
    let page = include_str!("../../../../../docs/triggers.md");
    let (_, examples) = page.split_once("### Examples\n").unwrap();
    let examples = examples.split("\n## ").next().unwrap();
    let examples: Vec<&str> = examples.split("```json\n").skip(1).collect();
    assert!(examples.len() >= 5);
    for example in examples {
        let (example, _) = example.split_once("```").unwrap();
        let config: Value = serde_json::from_str(example).unwrap();
        assert_eq!(read(&config).err(), None, "{example}");
    }
}
