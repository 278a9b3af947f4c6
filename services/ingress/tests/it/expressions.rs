//! Expressions and templates come from tenants and run on what strangers send: what they may cost
//! is bounded, when they are saved and when they are used.

use recado_types::trigger::TriggerConfig;
use serde_json::{Value, json};

use crate::requests::{Answered, open};
use crate::running::Running;

/// A configuration with one more field, or with another one.
fn with(name: &str, value: Value) -> Value {
    let mut config = open();
    config[name] = value;
    config
}

fn jmespath(expression: &str) -> Value {
    with("query_extraction", json!({"mode": "jmespath", "expression": expression}))
}

fn template(template: &str) -> Value {
    with("query_extraction", json!({"mode": "template", "template": template}))
}

fn field(field: &str) -> Value {
    with("query_extraction", json!({"mode": "field", "field": field}))
}

fn context(path: &str) -> Value {
    with("context_mapping", json!({"a": path}))
}

fn pattern(regex: &str) -> Value {
    let signature = json!({"source": "header", "key": "X-Signature", "regex": regex});
    let channel = json!({
        "type": "generic",
        "signingSecretCredentialReferenceId": "SECRET",
        "signatureVerification": {
            "algorithm": "sha256", "encoding": "hex", "signature": signature,
            "signedComponents": [{"source": "body"}],
            "componentJoin": {"strategy": "concatenate", "separator": ""}
        }
    });
    let mut config = open();
    config.as_object_mut().unwrap().remove("auth");
    config["channel"] = channel;
    config
}

#[test]
fn what_is_at_a_limit_is_accepted_when_it_is_saved() {
    for config in [
        jmespath(&"a".repeat(1_024)),
        template(&"x".repeat(4_096)),
        field(&"a".repeat(512)),
        context(&format!("$.{}", "a".repeat(510))),
        pattern("sha256=([0-9a-f]{64})"),
    ] {
        assert!(TriggerConfig::parse(&config).is_ok(), "{:?}", TriggerConfig::parse(&config));
    }
}

#[test]
fn what_is_hostile_is_refused_when_it_is_saved() {
    let nested = |open: &str, close: &str| format!("{}a{}", open.repeat(200), close.repeat(200));
    for (config, path) in [
        (jmespath(&"a".repeat(1_025)), "query_extraction.expression"),
        (jmespath(&nested("(", ")")), "query_extraction.expression"),
        (jmespath(&nested("[", "]")), "query_extraction.expression"),
        (jmespath(&format!("{}a", "!".repeat(500))), "query_extraction.expression"),
        (jmespath(&format!("a{}", "[]".repeat(400))), "query_extraction.expression"),
        (jmespath(&format!("a{}", "|a".repeat(400))), "query_extraction.expression"),
        (jmespath("a[2147483647]"), "query_extraction.expression"),
        (jmespath("a[::0]"), "query_extraction.expression"),
        (template(&"x".repeat(4_097)), "query_extraction.template"),
        (field(&"a".repeat(513)), "query_extraction.field"),
        (field(&"a.".repeat(33)), "query_extraction.field"),
        (context(&format!("$.{}", "a".repeat(511))), "context_mapping.a"),
        (context(&format!("${}", "..*".repeat(100))), "context_mapping.a"),
        (context(&format!("$[?{}@.a{}]", "(".repeat(100), ")".repeat(100))), "context_mapping.a"),
        (pattern(&"a".repeat(513)), "channel.signatureVerification.signature.regex"),
        (pattern("((((a{100}){100}){100}){100})"), "channel.signatureVerification.signature.regex"),
    ] {
        let problems = TriggerConfig::parse(&config).expect_err("it is hostile");
        let found: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert!(found.iter().any(|it| *it == format!("trigger_config.{path}")), "{found:?} {path}");
    }
}

async fn posted(config: Value, body: &Value) -> Answered {
    let running = Running::start().await;
    let sender = running.sender(running.trigger(config).await);
    let answer = sender.post("application/json", body.to_string()).await;
    // Whatever it was, the next one is not worse off for it.
    let open = running.sender(running.trigger(open()).await);
    assert_eq!(open.post("text/plain", "a").await.status, 202);
    running.stop().await;
    answer
}

fn assert_refused_at(answer: &Answered, path: &str) {
    assert_eq!((answer.status, answer.error()), (400, "invalid_input".into()), "{}", answer.body);
    assert_eq!(answer.json()["details"]["fields"][0]["path"], path, "{}", answer.body);
}

#[tokio::test]
async fn a_template_may_make_a_mebibyte() {
    let half = "x".repeat(1 << 19);
    let twice = template("{{a}}{{a}}");
    assert_eq!(posted(twice.clone(), &json!({"a": half})).await.status, 202);
    let over = posted(twice, &json!({"a": format!("{half}x")})).await;
    assert_refused_at(&over, "query_extraction.template");
}

#[tokio::test]
async fn an_expression_may_make_a_mebibyte() {
    let body = json!({"a": "x".repeat(400_000)});
    assert_eq!(posted(jmespath("[a, a]"), &body).await.status, 202);
    let over = posted(jmespath("[a, a, a]"), &body).await;
    assert_refused_at(&over, "query_extraction.expression");
}

#[tokio::test]
async fn an_expression_that_multiplies_its_input_is_stopped() {
    let quadruple = vec!["[@,@,@,@]"; 30].join("|");
    for expression in [quadruple, "join(glue, list)".to_owned()] {
        let body = json!({"glue": "x".repeat(100_000), "list": vec![""; 10_000]});
        let refused = posted(jmespath(&expression), &body).await;
        assert_refused_at(&refused, "query_extraction.expression");
    }
}

#[tokio::test]
async fn a_context_may_have_a_quarter_of_a_mebibyte() {
    let mapping: serde_json::Map<String, Value> =
        (0..4).map(|n| (format!("f{n}"), json!("$.a"))).collect();
    let config = with("context_mapping", Value::Object(mapping));
    assert_eq!(posted(config.clone(), &json!({"a": "x".repeat(65_000)})).await.status, 202);
    let over = posted(config, &json!({"a": "x".repeat(65_536)})).await;
    assert_refused_at(&over, "context_mapping.f3");
}
