//! What tools are sent.

use recado_testkit::tool::Tool;
use serde_json::json;

use super::*;

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

#[tokio::test]
async fn arguments_of_a_post_are_its_body_and_the_key_is_the_calls() {
    let tool = Tool::answering([("/search", json!({"found": 2}))]);
    let toolbox = Setup::post(&format!("{}/search", tool.url())).bearer("hunter22").open();
    let outcome = called(&toolbox, json!({"name": "Ana", "lines": [{"sku": 1}]})).await;
    assert_eq!((outcome.output.as_str(), outcome.error), (r#"{"found":2}"#, None));
    assert!(!outcome.truncated);
    let calls = tool.calls();
    assert_eq!(calls[0].body, Some(json!({"name": "Ana", "lines": [{"sku": 1}]})));
    assert_eq!(calls[0].idempotency_key, Some(key().to_string()));
    assert_eq!(calls[0].authorization.as_deref(), Some("Bearer hunter22"));
    let user_agent = tool.received()[0].header("user-agent").unwrap().to_owned();
    assert!(user_agent.starts_with("Recado/"), "{user_agent}");
}

#[tokio::test]
async fn arguments_of_a_get_are_its_query_but_for_those_that_the_url_uses() {
    let tool = Tool::echoing();
    let url = format!("{}/orders/{{{{id}}}}?fixed=1", tool.url());
    let toolbox = Setup::of(json!({
        "method": "GET",
        "url": url,
        "query": {"q": "{{text}} in ${context.country}", "page": "{{page}}"},
    }))
    .knowing(json!({"country": "BR"}))
    .open();
    let arguments = json!({"id": 7, "text": "a&b=c", "tags": ["x", 2, null], "deep": {"a": 1}});
    called(&toolbox, arguments).await;
    let call = &tool.calls()[0];
    assert_eq!((call.method.as_str(), call.path.as_str()), ("GET", "/orders/7"));
    let expected = [
        ("fixed", "1"),
        ("q", "a&b=c in BR"),
        ("deep", r#"{"a":1}"#),
        ("tags", "2"),
        ("tags", "x"),
    ];
    let mut sent = call.query.clone();
    sent[2..].sort();
    assert_eq!(sent, pairs(expected));
    assert_eq!(call.body, None);
}

#[tokio::test]
async fn an_argument_called_body_is_all_of_the_body() {
    let tool = Tool::echoing();
    let toolbox = Setup::post(&tool.url())
        .with(
            "parameters",
            json!({
                "type": "object",
                "properties": {
                    "body": {"type": "array", "items": {"type": "object"}},
                    "dryRun": {"type": "boolean"},
                },
            }),
        )
        .open();
    called(&toolbox, json!({"body": [{"a": 1}, {"a": 2}], "dryRun": true})).await;
    let call = &tool.calls()[0];
    assert_eq!(call.body, Some(json!([{"a": 1}, {"a": 2}])));
    assert_eq!(call.query, pairs([("dryRun", "true")]));
}

#[tokio::test]
async fn every_credential_goes_where_it_belongs() {
    let tool = Tool::echoing();
    let auths = [
        json!({"type": "basic", "secret_ref": "KEY"}),
        json!({"type": "api_key", "secret_ref": "KEY", "name": "X-Key"}),
        json!({"type": "api_key", "secret_ref": "KEY", "name": "key", "in": "query"}),
    ];
    for auth in auths {
        let setup = Setup::post(&tool.url()).with("auth", auth).secret("KEY", "sid:hunter2");
        called(&setup.open(), json!({})).await;
    }
    let (calls, received) = (tool.calls(), tool.received());
    assert_eq!(calls[0].authorization.as_deref(), Some("Basic c2lkOmh1bnRlcjI="));
    assert_eq!(received[1].header("x-key"), Some("sid:hunter2"));
    assert_eq!(calls[2].query, pairs([("key", "sid:hunter2")]));
}

#[tokio::test]
async fn hidden_fields_reach_the_tool_in_headers() {
    let tool = Tool::echoing();
    let toolbox = Setup::post(&tool.url())
        .with("headers", json!({"X-Tenant": "t-${context._tenantKey}", "Accept": "text/plain"}))
        .knowing(json!({"_tenantKey": "canary-1"}))
        .open();
    let outcome = called(&toolbox, json!({})).await;
    assert_eq!(tool.received()[0].header("x-tenant"), Some("t-canary-1"));
    assert_eq!(tool.received()[0].header("accept"), Some("text/plain"));
    assert!(!outcome.output.contains("canary"), "{}", outcome.output);
}

#[tokio::test]
async fn the_same_call_carries_the_same_key() {
    let tool = Tool::echoing();
    let toolbox = Setup::post(&tool.url()).open();
    for _ in 0..2 {
        called(&toolbox, json!({})).await;
    }
    assert_eq!(tool.calls_by_key().into_values().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_secret_that_is_not_there_stops_the_call() {
    let auth = json!({"type": "bearer", "secret_ref": "GONE"});
    let toolbox = Setup::post("http://127.0.0.1:9999").with("auth", auth).open();
    assert_eq!(refused(&toolbox, "{}"), "the tool is not set up");
}

#[test]
fn a_secret_that_cannot_be_a_credential_stops_the_call() {
    for (kind, secret) in [("basic", "no-password"), ("bearer", "two\nlines"), ("bearer", "")] {
        let auth = json!({"type": kind, "secret_ref": "KEY"});
        let toolbox = Setup::post("http://127.0.0.1:9999").with("auth", auth).secret("KEY", secret);
        assert_eq!(refused(&toolbox.open(), "{}"), "the tool is not set up", "{kind}");
    }
}

#[test]
fn models_are_told_of_a_tool_as_its_owner_describes_it() {
    let parameters = json!({
        "type": "object",
        "properties": {"a": {"type": "string"}, "who": {"type": "string"}},
        "required": ["who"],
    });
    let toolbox = Setup::post("http://127.0.0.1:9999")
        .with("parameters", parameters)
        .with("defaults_from_context", json!({"who": "_id"}))
        .open();
    let definition = &toolbox.definitions()[0];
    assert_eq!(
        (definition.name.as_str(), definition.description.as_str()),
        (NAME, "Finds things.")
    );
    // What the context decides is not for the model to know.
    let shown = json!({
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": [],
        "additionalProperties": false,
    });
    assert_eq!(definition.parameters, shown);
}

#[test]
fn approval_is_asked_for_what_will_be_sent() {
    let rule = ApprovalRule::When("amount > `100`".parse().unwrap());
    let mut setup = Setup::post("http://127.0.0.1:9999")
        .with("defaults_from_context", json!({"amount": "amount"}))
        .knowing(json!({"amount": 500}));
    setup.approval = rule;
    let call = ready(&setup.open(), r#"{"amount": 1}"#);
    assert!(call.needs_approval);
    assert_eq!(call.shown, json!({"amount": 500}));
    let mut setup = Setup::post("http://127.0.0.1:9999");
    setup.approval = ApprovalRule::When("abs(amount) > `1`".parse().unwrap());
    let toolbox = setup.open();
    assert!(!ready(&toolbox, r#"{"amount": 1}"#).needs_approval);
    // It cannot be judged.
    assert!(ready(&toolbox, r#"{"amount": "x"}"#).needs_approval);
}
