//! A model that was talked into anything, a payload that names the host, a tool that tells what it
//! was told.

use recado_testkit::receiver::{Receiver, Script};
use recado_testkit::stub::Reply;
use recado_testkit::tool::Tool;
use serde_json::json;

use super::*;

const ME: &str = "user-4711";

/// A tool whose every item has a requester.
fn requesting(url: &str) -> Setup {
    Setup::post(url)
        .with(
            "parameters",
            json!({
                "type": "object",
                "properties": {"body": {"type": "array", "items": {"type": "object"}}},
                "required": ["body"],
            }),
        )
        .with("defaults_from_context", json!({"body[].requesterId": "requesterId"}))
        .knowing(json!({"requesterId": ME}))
}

#[tokio::test]
async fn whoever_the_model_claims_to_be_the_tool_hears_the_context() {
    let tool = Tool::echoing();
    let toolbox = requesting(&tool.url()).open();
    let tricks = [
        r#"{"requesterId": "victim"}"#,
        r#"{"requesterId": null}"#,
        r#"{"requesterId": ["victim"]}"#,
        r#"{"requesterId": {"$ne": ""}}"#,
        r#"{"requesterid": "victim", "REQUESTERID": "victim"}"#,
        r#"{"RequesterId": "victim", "requesterId": "victim"}"#,
        r#"{"requester\u0049d": "victim"}"#,
        r#"{"requester\u0000Id": "victim"}"#,
        r#"{"reque\u017fterId": "victim"}"#,
        r#"{"requesterId": "user-4711", "requesterId": "victim"}"#,
        r#"{"a": 1}"#,
        "{}",
    ];
    let items = tricks.join(",");
    let call = ready(&toolbox, &format!(r#"{{"body": [{items}]}}"#));
    assert!(!call.shown.to_string().contains("victim"), "{}", call.shown);
    toolbox.call(&call, key(), PATIENCE).await;
    let sent = tool.calls()[0].body.clone().unwrap();
    assert_eq!(sent.as_array().unwrap().len(), tricks.len());
    for item in sent.as_array().unwrap() {
        assert_eq!(item["requesterId"], ME);
        assert!(!item.to_string().contains("victim"), "{item}");
    }
}

#[tokio::test]
async fn one_object_in_place_of_the_list_is_one_item() {
    let tool = Tool::echoing();
    let toolbox = requesting(&tool.url())
        .with("parameters", json!({"type": "object", "properties": {"body": {}}}))
        .open();
    called(&toolbox, json!({"body": {"requesterId": "victim"}})).await;
    assert_eq!(tool.calls()[0].body, Some(json!({"requesterId": ME})));
}

#[tokio::test]
async fn what_cannot_be_decided_by_the_context_is_not_sent() {
    let tool = Tool::echoing();
    let toolbox = requesting(&tool.url()).open();
    for arguments in [
        r#"{"body": "requesterId=victim"}"#,
        r#"{"body": [["victim"]]}"#,
        r#"{"body": [null]}"#,
        "{}",
    ] {
        refused(&toolbox, arguments);
    }
    for context in [json!({}), json!({"requesterId": null}), json!({"requesterid": ME})] {
        let toolbox = requesting(&tool.url()).knowing(context).open();
        let told = refused(&toolbox, r#"{"body": [{"requesterId": "victim"}]}"#);
        assert_eq!(told, "this conversation has no value for something that the tool needs");
    }
    assert_eq!(tool.count(), 0);
}

#[tokio::test]
async fn a_requester_in_the_query_cannot_be_repeated() {
    let tool = Tool::echoing();
    let setup = || {
        Setup::of(json!({
            "method": "GET",
            "url": format!("{}/?tenant=mine", tool.url()),
            "query": {"requesterId": "${context.requesterId}"},
            "auth": {"type": "api_key", "secret_ref": "KEY", "name": "key", "in": "query"},
            "defaults_from_context": {"unit": "unit"},
        }))
        .secret("KEY", "hunter22")
        .knowing(json!({"requesterId": ME, "unit": "north"}))
    };
    for name in ["requesterId", "REQUESTERID", "tenant", "Tenant", "key"] {
        let told = refused(&setup().open(), &json!({name: "victim"}).to_string());
        assert_eq!(told, format!("the argument `{name}` is not yours to set"));
    }
    for name in ["requesterId[]", "requesterId[0]", "requesterId ", "a&requesterId", "unit.", ""] {
        let told = refused(&setup().open(), &json!({name: "victim"}).to_string());
        assert_eq!(told, format!("the tool has no argument `{name}`"));
    }
    called(&setup().open(), json!({"unit": "victim", "UNIT": "victim", "x": "a&tenant=b"})).await;
    let sent = tool.calls()[0].query.clone();
    let expected = [
        ("tenant", "mine"),
        ("requesterId", ME),
        ("unit", "north"),
        ("x", "a&tenant=b"),
        ("key", "hunter22"),
    ];
    assert_eq!(sent, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_hidden_requester_is_not_shown_however_short() {
    let tool = Tool::echoing();
    let toolbox = requesting(&tool.url())
        .with("defaults_from_context", json!({"body[].requesterId": "_id"}))
        .knowing(json!({"_id": 42}))
        .open();
    let call = ready(&toolbox, r#"{"body": [{"a": 1}]}"#);
    assert_eq!(call.shown, json!({"body": [{"a": 1, "requesterId": "[hidden]"}]}));
    toolbox.call(&call, key(), PATIENCE).await;
    assert_eq!(tool.calls()[0].body, Some(json!([{"a": 1, "requesterId": 42}])));
}

#[tokio::test]
async fn a_host_of_the_payload_is_gone_to_only_if_the_tenant_allows_it() {
    let talker = Receiver::doing(Script::flood());
    let setup = |host: &str, allowed: &[String]| {
        let mut setup = Setup::post("${context.host}/orders").knowing(json!({"host": host}));
        setup.allowed_hosts = allowed.to_vec();
        setup.with("max_response_bytes", json!(10))
    };
    let address = talker.url().replace("http://", "");
    let allowed = [address.clone()];
    for (host, allowed) in [
        (talker.url(), &[][..]),
        (talker.url(), &["127.0.0.1".to_owned(), "*.127.0.0.1".to_owned()][..]),
        (format!("http://good.example@{address}"), &allowed[..]),
        (format!("http://{address}@evil.example"), &allowed[..]),
        (format!("http://evil.example/{address}"), &allowed[..]),
        (format!("http://evil.example#{address}"), &allowed[..]),
        (format!("http://{address}.evil.example"), &allowed[..]),
        (format!("file://{address}"), &allowed[..]),
        (String::new(), &allowed[..]),
    ] {
        let told = refused(&setup(&host, allowed).open(), "{}");
        assert!(!told.contains("127.0.0.1") && !told.contains("evil"), "{host}: {told}");
    }
    assert_eq!(talker.n_connections(), 0);
    let outcome = called(&setup(&talker.url(), &allowed).open(), json!({})).await;
    assert_eq!((outcome.error, talker.n_connections()), (None, 1));
}

#[tokio::test]
async fn a_tool_goes_only_to_the_tenants_destinations() {
    let tool = Tool::answering([("/orders", json!({"n": 2}))]);
    let setup = |destinations: &[&str]| {
        let mut setup = Setup::post(&format!("{}/orders", tool.url()));
        setup.destination_hosts = destinations.iter().map(ToString::to_string).collect();
        setup
    };
    let told = refused(&setup(&["api.example.com", "127.0.0.1"]).open(), "{}");
    assert_eq!((&*told, tool.count()), ("the destination is not allowed", 0));
    let address = tool.url().replace("http://", "");
    for open in [&[&*address][..], &[]] {
        let outcome = called(&setup(open).open(), json!({})).await;
        assert_eq!(outcome.error, None, "{open:?}");
    }
    assert_eq!(tool.count(), 2);
}

#[test]
fn private_addresses_are_refused_even_if_the_tenant_allows_them() {
    for host in ["http://169.254.169.254", "https://10.0.0.1", "http://[fd00:ec2::254]"] {
        let mut setup = Setup::post("${context.host}/latest").knowing(json!({"host": host}));
        setup.allowed_hosts = vec![host.split_once("//").unwrap().1.to_owned()];
        assert_eq!(refused(&setup.open(), "{}"), "the destination is not allowed", "{host}");
    }
}

#[tokio::test]
async fn a_tool_that_echoes_tells_no_secret_in_any_form() {
    let secret = "canary/\"é\"&secret+1:2";
    let forms = ["canary", "secret", "Y2FuYXJ5", "NhbmFye", "jYW5hcn"];
    let auths = [
        json!({"type": "basic", "secret_ref": "KEY"}),
        json!({"type": "api_key", "secret_ref": "KEY", "name": "X-Key"}),
        json!({"type": "api_key", "secret_ref": "KEY", "name": "key", "in": "query"}),
    ];
    let tool = Tool::echoing();
    for auth in auths {
        let toolbox =
            Setup::post(&tool.url()).with("auth", auth.clone()).secret("KEY", secret).open();
        let outcome = called(&toolbox, json!({})).await;
        assert!(outcome.output.contains("[hidden]"), "{}", outcome.output);
        for form in forms {
            assert!(!outcome.output.contains(form), "{form} of {auth}: {}", outcome.output);
        }
    }
}

#[tokio::test]
async fn errors_tell_no_secret_either_nor_what_is_hidden_in_the_context() {
    let tool = Tool::start(|request| {
        let told = format!("{:?} {:?}", request.headers, request.text());
        Reply::text(500, &told)
    });
    let toolbox = Setup::post(&tool.url())
        .bearer("canary-bearer-1")
        .with("headers", json!({"X-Token": "${context.token}", "X-User": "${context.userName}"}))
        .with("defaults_from_context", json!({"owner": "_owner"}))
        .knowing(json!({
            "token": "canary-token-1",
            "userName": "canary-user-1",
            "_owner": "canary-owner-1",
        }))
        .open();
    let call = ready(&toolbox, r#"{"note": "canary-bearer-1"}"#);
    assert!(!call.shown.to_string().contains("canary"), "{}", call.shown);
    assert!(!format!("{call:?} {toolbox:?}").contains("canary"));
    let outcome = toolbox.call(&call, key(), PATIENCE).await;
    assert!(outcome.output.starts_with("the tool answered with status 500:\n{"));
    for canary in ["canary-bearer", "canary-token", "canary-owner"] {
        assert!(!outcome.output.contains(canary), "{}", outcome.output);
    }
    // What a model was told of a request, or an error of another module.
    assert_eq!(toolbox.redact("failed for canary-token-1\0"), "failed for [hidden]");
}

#[tokio::test]
async fn the_first_half_of_a_secret_is_not_left_where_an_answer_is_cut() {
    let tool = Tool::start(|_| Reply::text(200, &format!("{}canary-bearer-1", "x".repeat(95))));
    for limit in 95..=110 {
        let toolbox = Setup::post(&tool.url())
            .bearer("canary-bearer-1")
            .with("max_response_bytes", json!(limit))
            .open();
        let outcome = called(&toolbox, json!({})).await;
        assert!(!outcome.output.contains("can"), "{limit}: {}", outcome.output);
    }
}

#[tokio::test]
async fn arguments_stay_in_their_places() {
    let tool = Tool::echoing();
    let toolbox = Setup::of(json!({
        "method": "GET",
        "url": format!("{}/customers/{{{{id}}}}/orders", tool.url()),
    }))
    .open();
    for id in ["..", ".", "", "%2e%2e/x", "../..", "a/../b", "?admin=1", "#x", "a\r\nX-Admin: 1"] {
        let arguments = json!({"id": id}).to_string();
        if let Prepared::Ready(call) = toolbox.prepare(&asks(&arguments)) {
            toolbox.call(&call, key(), PATIENCE).await;
        }
    }
    assert!(tool.count() >= 3);
    for call in tool.calls() {
        let segments: Vec<&str> = call.path.split('/').collect();
        assert_eq!((segments.len(), segments[1], segments[3]), (4, "customers", "orders"));
        assert!(call.query.is_empty(), "{call:?}");
    }
    assert!(tool.received().iter().all(|request| request.header("x-admin").is_none()));
}

#[tokio::test]
async fn a_line_break_in_the_context_makes_no_header() {
    let tool = Tool::echoing();
    let toolbox = Setup::post(&tool.url())
        .with("headers", json!({"X-User": "${context.user}"}))
        .knowing(json!({"user": "a\r\nX-Admin: 1"}))
        .open();
    let told = refused(&toolbox, "{}");
    assert!(!told.contains("X-Admin"), "{told}");
    let toolbox = Setup::post(&tool.url()).bearer("a\r\nX-Admin: 1").open();
    assert_eq!(refused(&toolbox, "{}"), "the tool is not set up");
    assert_eq!(tool.count(), 0);
}

#[test]
fn what_does_not_fit_the_schema_is_told_and_not_sent() {
    let toolbox = Setup::post("http://127.0.0.1:9999")
        .with(
            "parameters",
            json!({
                "type": "object",
                "properties": {"amount": {"type": "number"}, "to": {"enum": ["a", "b"]}},
                "required": ["amount"],
            }),
        )
        .open();
    let told = refused(&toolbox, r#"{"to": "hunter22", "more": 1}"#);
    for part in ["\"amount\" is a required property", "`to`: ", "more"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains("hunter22"), "{told}");
    assert!(refused(&toolbox, "{amount: 1}").starts_with("the arguments are not valid JSON"));
    assert_eq!(refused(&toolbox, "[1]"), "the arguments must be a JSON object, not a list");
}

#[test]
fn a_tool_that_does_not_exist_is_told_with_those_that_do() {
    let toolbox = Setup::post("http://127.0.0.1:9999").bearer("canary-bearer-1").open();
    let mut request = asks(r#"{"a": "canary-bearer-1"}"#);
    request.name = format!("delete_all{}", "!".repeat(1_000));
    let Prepared::Refused { tool_id, shown, message, .. } = toolbox.prepare(&request) else {
        panic!("prepared");
    };
    assert_eq!((tool_id, shown), (None, json!({"a": "[hidden]"})));
    assert!(message.starts_with("there is no tool `delete_all!"), "{message}");
    assert!(message.ends_with("`; there are: crm") && message.len() < 200, "{message}");
}

#[test]
fn arguments_that_are_no_json_are_kept_short_and_scrubbed() {
    let toolbox = Setup::post("http://127.0.0.1:9999").bearer("canary-bearer-1").open();
    let arguments = format!("canary-bearer-1 \0{}", "x".repeat(100_000));
    let Prepared::Refused { shown, .. } = toolbox.prepare(&asks(&arguments)) else {
        panic!("prepared");
    };
    let shown = shown.as_str().unwrap();
    assert!(shown.starts_with("[hidden] xxx") && shown.len() <= 4_096, "{}", shown.len());
}
