//! Every mistake by its path; values in their places.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::credential::Credential;

fn http(config: &Value) -> HttpTool {
    match ToolSpec::from_saved(ToolKind::Http, config).unwrap() {
        ToolSpec::Http(tool) => *tool,
        other => panic!("asked for http, got {other:?}"),
    }
}

fn problems_of(kind: ToolKind, config: &Value) -> Vec<String> {
    let problems = ToolSpec::from_saved(kind, config).expect_err("this tool is wrong");
    problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.reason)).collect()
}

fn paths_of(kind: ToolKind, config: &Value) -> Vec<String> {
    let problems = ToolSpec::from_saved(kind, config).expect_err("this tool is wrong");
    problems.into_iter().map(|problem| problem.path).collect()
}

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn the_shortest_http_tool_is_bounded() {
    let tool = http(&json!({"url": "https://api.example.com/v1"}));
    assert_eq!(
        (tool.method, tool.timeout_ms, tool.max_response_bytes),
        (ToolMethod::Get, 30_000, 262_144)
    );
    assert_eq!(tool.auth, Credential::None);
    assert!(tool.parameters.check(&json!({})).is_ok());
    assert!(tool.parameters.check(&json!({"made": "up"})).is_err());
}

#[test]
fn an_http_tool_says_all_there_is_to_say() {
    let config = json!({
        "method": "POST", "url": "https://api.example.com/users/{{userId}}?v=${context.version}",
        "headers": {"X-Token": "Token ${context.token}"},
        "query": {"limit": 10, "q": "{{q}}"},
        "parameters": {"type": "object", "required": ["userId"], "properties": {
            "userId": {"type": "string"}, "q": {"type": "string"}, "note": {"type": "string"}}},
        "auth": {"type": "api_key", "secret_ref": "K", "name": "key", "in": "query"},
        "timeout_ms": 100, "max_response_bytes": 8_388_608,
        "defaults_from_context": {"body.requesterId": "requesterId"},
    });
    let spec = ToolSpec::from_saved(ToolKind::Http, &config).unwrap();
    assert_eq!(spec.secret_refs(), [("config.auth.secret_ref".to_owned(), "K")]);
    let tool = http(&config);
    assert!(tool.uses_up("userId") && tool.uses_up("q") && !tool.uses_up("note"));
    assert!(!tool.has_body_parameter() && !tool.url.host_is_dynamic());
    let mut arguments = json!({"userId": "7", "requesterid": "forged"});
    tool.defaults.apply(&mut arguments, &map(&json!({"requesterId": 5}))).unwrap();
    assert_eq!(arguments, json!({"userId": "7", "requesterId": 5}));
    tool.parameters.check(&arguments).unwrap();
    assert!(tool.shown_parameters()["properties"].get("requesterId").is_none());
    assert_eq!(tool.shown_parameters()["properties"]["note"], json!({"type": "string"}));
}

#[test]
fn every_mistake_of_an_http_tool_is_reported_with_its_path() {
    let paths = paths_of(
        ToolKind::Http,
        &json!({
            "method": "HEAD", "url": "https://a.b/{{missing",
            "headers": {"a b": "x", "Host": "x", "X": 1, "Y": "{{argument}}", "Z": "${token}"},
            "query": {"": "x", "q": [1]},
            "parameters": {"type": "string"},
            "auth": {"type": "magic"},
            "timeout_ms": 99, "max_response_bytes": 0,
            "defaults_from_context": {"a[]": "x", "b": 1, "c..d": "x"},
            "typo": 1,
        }),
    );
    let expected = [
        "config.method",
        "config.url",
        "config.headers.Host",
        "config.headers.X",
        "config.headers.Y",
        "config.headers.Z",
        "config.headers.a b",
        "config.query.",
        "config.query.q",
        "config.auth.type",
        "config.timeout_ms",
        "config.max_response_bytes",
        "config.defaults_from_context.a[]",
        "config.defaults_from_context.b",
        "config.defaults_from_context.c..d",
        "config.parameters",
        "config.typo",
    ];
    assert_eq!(paths, expected);
    assert_eq!(paths_of(ToolKind::Http, &json!({})), ["config.url"]);
    let twice = json!({"url": "https://a.b", "headers": {"X-A": "1", "x-a": "2"}});
    assert_eq!(paths_of(ToolKind::Http, &twice), ["config.headers.x-a"]);
    let unknown =
        json!({"url": "https://a.b/{{id}}", "parameters": {"type": "object", "properties": {}}});
    assert_eq!(
        problems_of(ToolKind::Http, &unknown),
        ["config.url: `{{id}}` is no property of `parameters`"]
    );
}

#[test]
fn a_schema_of_parameters_is_as_safe_as_any() {
    let refused = |parameters: Value| {
        problems_of(ToolKind::Http, &json!({"url": "https://a.b", "parameters": parameters}))
    };
    for bad in [
        json!({"type": "object", "$ref": "https://evil.example/schema"}),
        json!({"type": "object", "properties": {"a": {"pattern": "(?=x)"}}}),
        json!({"type": "object", "properties": {"a": {"type": "text"}}}),
        json!({"type": "object", "description": "x".repeat(70_000)}),
        json!([]),
        json!({}),
        json!({"type": ["object", "null"]}),
    ] {
        assert!(refused(bad.clone())[0].starts_with("config.parameters: "), "{bad}");
    }
}

#[test]
fn a_model_is_told_all_of_its_mistakes_and_no_values() {
    let schema = json!({"type": "object", "required": ["a", "b"], "properties": {
        "a": {"type": "integer"}, "b": {"type": "string"},
        "c": {"type": "array", "items": {"type": "object", "properties": {"d": {"enum": [1, 2]}}}}}});
    let schema = ParameterSchema::compile(&schema).unwrap();
    let mistakes = schema.check(&json!({"a": "SECRET", "c": [{"d": 3}]})).unwrap_err();
    assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    let all = mistakes.join("\n");
    assert!(all.contains("`a`: ") && all.contains("`c.0.d`: ") && all.contains("\"b\""), "{all}");
    assert!(!all.contains("SECRET"), "{all}");
    schema.check(&json!({"a": 1, "b": "x", "more": true})).unwrap();
}

#[test]
fn schemas_that_name_their_parameters_take_no_others() {
    let takes = |schema: Value, also: &[&str]| {
        let closed = parameters::closed(&schema, also.iter().copied());
        ParameterSchema::compile(&closed).unwrap().check(&json!({"x": 1})).is_ok()
    };
    let named = json!({"type": "object", "properties": {"a": {}}});
    assert!(!takes(named.clone(), &[]) && takes(named, &["x"]));
    assert!(takes(json!({"type": "object"}), &[]));
    assert!(takes(json!({"type": "object", "properties": {}, "additionalProperties": {}}), &[]));
    assert!(takes(
        json!({"type": "object", "properties": {}, "patternProperties": {"^x": {}}}),
        &[]
    ));
    let elsewhere =
        json!({"type": "object", "properties": {}, "allOf": [{"properties": {"x": {}}}]});
    assert!(takes(elsewhere, &[]));
}

#[test]
fn mcp_servers_are_reached_in_two_ways() {
    let http = json!({
        "transport": "streamable_http", "url": "${context.host}/mcp",
        "headers": {"X": "${context._id}"}, "auth": {"type": "bearer", "secret_ref": "B"},
        "include": ["echo"], "defaults_from_context": {"body[].requesterId": "requesterId"},
    });
    let spec = ToolSpec::from_saved(ToolKind::Mcp, &http).unwrap();
    assert_eq!(spec.secret_refs(), [("config.auth.secret_ref".to_owned(), "B")]);
    let ToolSpec::Mcp(tool) = spec else { panic!("asked for mcp") };
    assert!(tool.includes("echo") && !tool.includes("add"));
    assert_eq!(tool.timeout_ms, 60_000);

    let stdio = json!({"transport": "stdio", "command": "npx", "args": ["-y", ""],
                       "env": {"A": "1", "KEY": {"secret_ref": "S"}}});
    let spec = ToolSpec::from_saved(ToolKind::Mcp, &stdio).unwrap();
    assert_eq!(spec.secret_refs(), [("config.env.KEY.secret_ref".to_owned(), "S")]);
}

#[test]
fn every_mistake_of_an_mcp_tool_is_reported_with_its_path() {
    let at = |config: Value| paths_of(ToolKind::Mcp, &config);
    assert_eq!(
        paths_of(ToolKind::Mcp, &json!({"include": []})),
        ["config.transport", "config.include"]
    );
    assert_eq!(at(json!({"transport": "sse"})), ["config.transport"]);
    assert_eq!(
        at(json!({"transport": "streamable_http", "url": "https://{{host}}/", "x": 1})),
        ["config.url", "config.x"]
    );
    assert_eq!(
        at(json!({"transport": "stdio", "args": ["a\0"], "env": {"A=B": "x", "C": 1, "D": {}}})),
        [
            "config.command",
            "config.args",
            "config.env.A=B",
            "config.env.C",
            "config.env.D.secret_ref"
        ]
    );
}

#[test]
fn no_environment_makes_another_program_of_a_command() {
    let env = json!({"PATH": "/tmp", "LD_PRELOAD": {"secret_ref": "S"}, "LANG": "C"});
    let stdio = json!({"transport": "stdio", "command": "mcp-files", "env": env});
    let expected = ["config.env.LD_PRELOAD", "config.env.PATH"];
    assert_eq!(paths_of(ToolKind::Mcp, &stdio), expected);
}

#[test]
fn an_agent_is_a_tool_with_an_input() {
    let id = "00000000-0000-0000-0000-000000000007";
    let spec = ToolSpec::from_saved(ToolKind::Agent, &json!({"agent_id": id})).unwrap();
    assert_eq!(spec.agent_id().unwrap().to_string(), id);
    assert_eq!(paths_of(ToolKind::Agent, &json!({"agent_id": "x"})), ["config.agent_id"]);
    let schema = ParameterSchema::compile(&AgentToolSpec::parameters()).unwrap();
    assert!(schema.check(&json!({"input": "hi"})).is_ok() && schema.check(&json!({})).is_err());
    for kind in [ToolKind::Http, ToolKind::Mcp, ToolKind::Agent] {
        assert_eq!(ToolKind::named(kind.as_str()), Some(kind));
    }
}

#[test]
fn names_of_tools_are_short_and_plain() {
    assert!(is_tool_name("get_User-7") && is_tool_name(&"a".repeat(48)));
    for bad in ["", "a b", "é", "a.b", &"a".repeat(49)] {
        assert!(!is_tool_name(bad), "{bad:?}");
    }
}

#[test]
fn a_header_is_one_line_of_the_context() {
    let template: ContextTemplate = "Token ${ context.token }!".parse().unwrap();
    let render = |context: Value| template.render(&map(&context));
    assert_eq!(render(json!({"token": "a${context.x}"})).unwrap(), "Token a${context.x}!");
    assert_eq!(render(json!({})), Err(RenderError::MissingContext("token".into())));
    assert_eq!(render(json!({"token": null})), Err(RenderError::MissingContext("token".into())));
    assert_eq!(render(json!({"token": "a\r\nX: 1"})), Err(RenderError::Control("token".into())));
    let parse = |text: &str| text.parse::<ContextTemplate>().unwrap_err();
    assert_eq!(parse("${context.a"), ToolTemplateError::Unclosed("${"));
    assert_eq!(parse("${a}"), ToolTemplateError::NotContext("a".into()));
    assert_eq!(parse("{{a}}"), ToolTemplateError::NoArguments("a".into()));
    assert_eq!(parse("a\nb"), ToolTemplateError::Control);
}

#[test]
fn a_parameter_without_its_argument_is_left_out() {
    let template: ArgTemplate = "{{a}}-${context.b}".parse().unwrap();
    let render =
        |arguments: Value, context: Value| template.render(&map(&context), &map(&arguments));
    assert_eq!(render(json!({"a": [1]}), json!({"b": true})).unwrap().unwrap(), "[1]-true");
    assert_eq!(render(json!({"a": null}), json!({"b": 1})), Ok(None));
    assert_eq!(render(json!({"a": 1}), json!({})), Err(RenderError::MissingContext("b".into())));
    assert_eq!(template.arguments().collect::<Vec<_>>(), ["a"]);
}

proptest! {
    #[test]
    fn no_config_does_harm(kind in 0_usize..3, key in "(url|headers|query|parameters|auth|transport|agent_id|defaults_from_context)", value in "[{}$a-c.:/\\[\\]\" ]{0,20}") {
        let (_, kind) = ToolKind::BY_NAME[kind];
        let problems = Problems::default();
        for value in [json!(value), json!({&value: value}), json!([value])] {
            let _ = ToolSpec::read(kind, &json!({key.as_str(): value}), &problems);
        }
    }
}
