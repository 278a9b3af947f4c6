//! Nothing that a payload or a model says leads elsewhere.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(text: &str) -> Result<UrlTemplate, UrlTemplateError> {
    text.parse()
}

fn render(template: &str, context: &Value, arguments: &Value) -> Result<String, RenderError> {
    let (context, arguments) = (context.as_object().unwrap(), arguments.as_object().unwrap());
    parse(template).unwrap().render(context, arguments).map(String::from)
}

#[test]
fn values_are_encoded_where_they_stand() {
    let context = json!({"_v": "a&b=c", "n": 7});
    let url = |arguments: Value| {
        render(
            "https://x.y/v${context.n}/u/{{id}}.json?k=${context._v}&q={{q}}&z=1",
            &context,
            &arguments,
        )
    };
    assert_eq!(
        url(json!({"id": "a/b?c#d%\\é", "q": "x y\n&"})).unwrap(),
        "https://x.y/v7/u/a%2Fb%3Fc%23d%25%5C%C3%A9.json?k=a%26b%3Dc&q=x+y%0A%26&z=1"
    );
    assert_eq!(url(json!({"id": 1})).unwrap(), "https://x.y/v7/u/1.json?k=a%26b%3Dc&z=1");
    assert_eq!(url(json!({"q": 1})), Err(RenderError::MissingArgument("id".into())));
    let missing = render("https://x.y/?a=${context.gone}", &context, &json!({}));
    assert_eq!(missing, Err(RenderError::MissingContext("gone".into())));
    let only = render("https://x.y/a?q={{q}}", &context, &json!({}));
    assert_eq!(only.unwrap(), "https://x.y/a");
}

#[test]
fn a_segment_is_neither_empty_nor_dots_nor_broken() {
    let url = |template: &str, value: &str| render(template, &json!({}), &json!({"v": value}));
    for (template, value) in [
        ("https://x.y/a/{{v}}/b", ""),
        ("https://x.y/a/{{v}}/b", "."),
        ("https://x.y/a/{{v}}", ".."),
        ("https://x.y/a/.{{v}}", "."),
        ("https://x.y/a/%2e{{v}}", "."),
        ("https://x.y/a/{{v}}%2E/b", "."),
    ] {
        assert_eq!(
            url(template, value),
            Err(RenderError::Segment("v".into())),
            "{template} {value}"
        );
    }
    assert_eq!(url("https://x.y/{{v}}", "a\r\nb"), Err(RenderError::Control("v".into())));
    assert_eq!(url("https://x.y/{{v}}", "%2e%2e").unwrap(), "https://x.y/%252e%252e");
    assert_eq!(url("https://x.y/{{v}}", &"x".repeat(9_000)), Err(RenderError::TooLong(MAX_URL)));
}

#[test]
fn a_host_may_come_from_the_context() {
    for template in [
        "${context.host}/v1/a",
        "https://${context.host}/v1",
        "https://api.${context.host}",
        "https://x.y:${context.host}/",
        "${context.host}://x.y/",
        "{{host}}/a",
        "${context.host}",
    ] {
        assert!(parse(template).is_ok_and(|url| url.host_is_dynamic()), "{template}");
    }
    for template in
        ["https://x.y/${context.host}", "https://x.y?h=${context.host}", "http://[::1]:80/{{a}}"]
    {
        assert!(parse(template).is_ok_and(|url| !url.host_is_dynamic()), "{template}");
    }
    let url = |template: &str, host: &str| render(template, &json!({"host": host}), &json!({}));
    assert_eq!(
        url("${context.host}/v1", "https://a.b:8443/base/").unwrap(),
        "https://a.b:8443/base/v1"
    );
    assert_eq!(url("${context.host}", "https://a.b/base").unwrap(), "https://a.b/base");
    assert_eq!(url("${context.host}?x=1", "https://a.b/").unwrap(), "https://a.b/?x=1");
    assert_eq!(url("https://${context.host}/v1", "a.b:1").unwrap(), "https://a.b:1/v1");
    assert_eq!(url("https://${context.host}/v1", "[::1]").unwrap(), "https://[::1]/v1");
    for bad in ["a.b/c", "a@b", "a?b", "a#b", "a\\b", "a b", "a%2eb", "", "a\nb", "//a"] {
        let error = url("https://${context.host}/v1", bad).unwrap_err();
        assert_eq!(error, RenderError::Host("host".into()), "{bad:?}");
    }
    for bad in
        ["https://a.b/..", "https://a.b/x/./y", "https://u@a.b", "https://a.b?x", "https://a.b#"]
    {
        let error = url("${context.host}/v1", bad).unwrap_err();
        assert_eq!(error, RenderError::Host("host".into()), "{bad:?}");
    }
    for bad in ["ftp://a.b", "file:///etc/passwd", "javascript:alert", "a.b", "https://"] {
        let error = url("${context.host}/v1", bad).unwrap_err();
        assert!(
            matches!(error, RenderError::Malformed(_) | RenderError::NotPlain),
            "{bad:?} {error}"
        );
    }
}

#[test]
fn what_is_no_url_is_refused() {
    let refused = |text: &str| parse(text).unwrap_err();
    for text in [
        "",
        "/a",
        "a.b/c",
        "ftp://a.b",
        "mailto:a@b",
        "http:a.b",
        "x${context.a}",
        "http${context.a}://x.y",
    ] {
        assert_eq!(refused(text), UrlTemplateError::Scheme, "{text}");
    }
    for text in ["https://a.b/#x", "https://a.b\\c", "https://a.b/x y", "https://a.b/#{{x}}"] {
        assert_eq!(refused(text), UrlTemplateError::Mark, "{text}");
    }
    for text in
        ["https://u@a.b", "https://u:p@a.b/", "https://{{x}}@a.b/", "https://u@${context.host}"]
    {
        assert_eq!(refused(text), UrlTemplateError::UserInfo, "{text}");
    }
    for text in ["https://", "https:///a.b/c", "https://?x", "https://a.b:99999/", "https://:80/"] {
        assert!(matches!(refused(text), UrlTemplateError::NoUrl(_)), "{text}");
    }
    for text in ["https://a.b/../c", "https://a.b/%2E/c", "https://a.b/."] {
        assert_eq!(refused(text), UrlTemplateError::Dots, "{text}");
    }
    assert!(matches!(refused("https://a.b/\r\n"), UrlTemplateError::Template(_)));
    assert_eq!(
        parse("https://a.b/{{x}}").unwrap().without_arguments(),
        Err(UrlTemplateError::NoArguments("x".into()))
    );
}

proptest! {
    #[test]
    fn no_value_leads_elsewhere(value in "[./%\\\\?#@:2e&=\\PC]{0,12}", prefix in "[.a]{0,1}") {
        let template = format!("https://x.y/a/{prefix}{{{{v}}}}/b?q={{{{v}}}}&z=1");
        if let Ok(url) = render(&template, &json!({}), &json!({"v": value})) {
            let url = Url::parse(&url).unwrap();
            let segments: Vec<&str> = url.path_segments().unwrap().collect();
            prop_assert_eq!((segments[0], segments.len(), segments[2]), ("a", 3, "b"));
            prop_assert_eq!(url.host_str(), Some("x.y"));
            let query: Vec<_> = url.query_pairs().collect();
            prop_assert_eq!(query, [("q".into(), value.into()), ("z".into(), "1".into())]);
        }
    }

    #[test]
    fn a_host_is_what_it_seems_to_be(host in "[a-z0-9.:/@?#%\\\\\\[\\] é-]{0,14}") {
        if let Ok(url) = render("https://${context.host}/v1", &json!({"host": host}), &json!({})) {
            let url = Url::parse(&url).unwrap();
            prop_assert_eq!(url.path(), "/v1");
            prop_assert_eq!((url.username(), url.password(), url.query()), ("", None, None));
        }
        if let Ok(url) = render("${context.host}/v1", &json!({"host": format!("https://{host}")}), &json!({})) {
            prop_assert!(Url::parse(&url).unwrap().path().ends_with("/v1"));
        }
    }

    #[test]
    fn parsing_never_panics(text in "(https?:/{0,3})?[{}$a-c.:/?&#@\\[\\]é]{0,30}") {
        if let Ok(template) = text.parse::<UrlTemplate>() {
            let values = json!({"a": "x", "b": 1, "c": "https://a.b"});
            let values = values.as_object().unwrap();
            let _ = template.render(values, values);
            prop_assert_eq!(template.to_string(), text);
        }
    }
}
