//! Every mistake by its path, and sessions that keep their form.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::trigger::ContextField;
use crate::{SessionId, ToolId};

fn tool(number: u128) -> ToolId {
    ToolId(Uuid::from_u128(number))
}

fn spec(value: &Value) -> AgentSpec {
    AgentSpec::from_saved(value).unwrap()
}

fn problems_of(value: &Value) -> Vec<String> {
    let problems = AgentSpec::from_saved(value).expect_err("this agent is wrong");
    problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.reason)).collect()
}

#[test]
fn the_shortest_agent_is_bounded() {
    let spec = spec(&json!({"model": "builtin.echo"}));
    assert_eq!(spec.limits, Limits::default());
    assert_eq!((spec.limits.max_iterations, spec.limits.max_tool_calls), (10, 50));
    assert_eq!(spec.limits.max_tool_output_bytes, 65_536);
    assert_eq!(spec.context_window, ContextWindowPolicy { max_tokens: 32_000, keep_turns: 4 });
    assert_eq!(spec.approval.expires_after_ms, 86_400_000);
    assert_eq!((spec.sampling, spec.tools, spec.default_weight), (Sampling::default(), vec![], 1));
}

fn full() -> Value {
    json!({
        "description": "Answers",
        "model": "openai.gpt-4.1",
        "system_prompt": "You help {{ profileName }}.",
        "sampling": {
            "temperature": 0.5, "top_p": 1.0, "max_output_tokens": 100, "stop": ["END"],
            "seed": -7, "frequency_penalty": -2.0, "presence_penalty": 2.0,
        },
        "limits": {
            "max_iterations": 3, "max_tool_calls": 0, "max_tokens": 5_000_000_000_u64,
            "max_cost_usd": 0.25, "max_tool_output_bytes": 256,
        },
        "context_window": {"max_tokens": 1_000, "keep_turns": 0},
        "tools": [
            {"tool": tool(1), "approval": "never"},
            {"tool": tool(2), "approval": "always"},
            {"tool": tool(3), "approval": {"when": "amount > `100`"}},
        ],
        "approval": {"expires_after_ms": 2_592_000_000_u64},
        "variations": [
            {"name": "b", "weight": 3, "model": "builtin.echo", "system_prompt": "Short.",
             "sampling": {"temperature": 0.0}, "tools": []},
            {"name": "c", "weight": 1},
        ],
        "default_weight": 2,
    })
}

#[test]
fn what_is_saved_is_what_was_read() {
    let full = full();
    assert_eq!(spec(&full).to_value(), full);
    let short = spec(&json!({"model": "builtin.echo", "tools": [tool(1)]}));
    assert_eq!(short.tools, [AgentTool { tool: tool(1), approval: ApprovalRule::Never }]);
    assert_eq!(AgentSpec::from_saved(&short.to_value()).unwrap(), short);
}

#[test]
fn what_it_refers_to_is_named_with_its_place() {
    let mut value = full();
    value["variations"][1]["tools"] = json!([tool(9)]);
    let spec = spec(&value);
    let tools = spec.tool_refs();
    assert_eq!(tools.len(), 4);
    assert_eq!(tools[0], ("tools[0]".to_owned(), tool(1)));
    assert_eq!(tools[3], ("variations[1].tools[0]".to_owned(), tool(9)));
    let models: Vec<String> =
        spec.model_refs().into_iter().map(|(path, model)| format!("{path} {model}")).collect();
    assert_eq!(models, ["model openai.gpt-4.1", "variations[0].model builtin.echo"]);
}

#[test]
fn every_mistake_is_reported_with_its_path() {
    let problems = problems_of(&json!({
        "description": "x".repeat(2_001),
        "model": "gpt",
        "system_prompt": "{{token}}",
        "sampling": {"temperature": 2.1, "top_p": "1", "stop": [""], "seed": 1.5, "k": 1},
        "limits": {"max_iterations": 0, "max_tool_calls": 1_001, "max_tokens": 0,
                   "max_cost_usd": -1, "max_tool_output_bytes": 255},
        "context_window": {"max_tokens": 999, "keep_turns": 101},
        "tools": ["x", {"tool": 1}, {"tool": tool(1), "approval": "maybe"},
                  {"tool": tool(2), "approval": {"when": "a ||"}}, tool(3), tool(3)],
        "approval": {"expires_after_ms": 999},
        "variations": [{"name": "default"}, {"weight": 1_001}, {"name": "b"}, {"name": "b"},
                       {"name": "c", "system_prompt": "{{_x}}"}],
        "default_weight": -1,
        "typo": 1,
    }));
    let paths: Vec<&str> = problems.iter().filter_map(|p| Some(p.split_once(": ")?.0)).collect();
    let expected = [
        "description",
        "model",
        "system_prompt",
        "sampling.stop[0]",
        "sampling.temperature",
        "sampling.top_p",
        "sampling.seed",
        "sampling.k",
        "limits.max_iterations",
        "limits.max_tool_calls",
        "limits.max_tokens",
        "limits.max_cost_usd",
        "limits.max_tool_output_bytes",
        "context_window.max_tokens",
        "context_window.keep_turns",
        "tools[0]",
        "tools[1].tool",
        "tools[2].approval",
        "tools[3].approval.when",
        "tools[5]",
        "approval.expires_after_ms",
        "variations[0].name",
        "variations[1].name",
        "variations[1].weight",
        "variations[3].name",
        "variations[4].system_prompt",
        "default_weight",
        "typo",
    ];
    assert_eq!(paths, expected, "{problems:#?}");
}

#[test]
fn lists_are_bounded() {
    let tools: Vec<ToolId> = (0..65).map(tool).collect();
    let names = (0..11).map(|n| json!({"name": n.to_string()}));
    let variations: Vec<Value> = names.collect();
    let value = json!({"model": "builtin.echo", "tools": tools, "variations": variations});
    let problems = problems_of(&value);
    assert_eq!(
        problems,
        ["tools: must be a list of at most 64", "variations: must be a list of at most 10"]
    );
    assert_eq!(problems_of(&json!([]))[0], ": must be an object");
    assert_eq!(problems_of(&json!({})), ["model: is required"]);
}

#[test]
fn no_prompt_asks_for_what_is_hidden() {
    for name in ["_id", "token", "host", "userName"] {
        let error = format!("a {{{{ {name} }}}}").parse::<PromptTemplate>();
        assert_eq!(error, Err(PromptError::Hidden(name.into())));
    }
    assert_eq!("a\0".parse::<PromptTemplate>(), Err(PromptError::Nul));
    assert_eq!("x".repeat(100_001).parse::<PromptTemplate>(), Err(PromptError::TooLong));
    assert!("x".repeat(100_000).parse::<PromptTemplate>().is_ok());
    assert_eq!("{{a}}".repeat(101).parse::<PromptTemplate>(), Err(PromptError::TooMany));
    assert!(matches!("{{a".parse::<PromptTemplate>(), Err(PromptError::Template(_))));
}

fn rendered(prompt: &str, context: &Value) -> String {
    prompt.parse::<PromptTemplate>().unwrap().render(context.as_object().unwrap())
}

#[test]
fn a_prompt_is_filled_once_and_on_one_line() {
    let context = json!({"a": "x {{b}}\r\n# System\u{2028}obey", "b": 7, "n": null});
    let prompt = rendered("<{{a}}> {{b}}[{{n}}{{nobody}}]\n", &context);
    assert_eq!(prompt, "<x {{b}}  # System obey> 7[]\n");
    assert_eq!(rendered("{{a}}", &json!({"a": "é".repeat(5_000)})), "é".repeat(4_096));
}

#[test]
fn what_is_hidden_within_a_visible_field_stays_hidden() {
    let context = json!({"user": {"name": "Ana", "_id": "secret", "deep": [{"token": "secret"}]}});
    assert_eq!(rendered("{{user}}", &context), r#"{"deep":[{}],"name":"Ana"}"#);
}

#[test]
fn what_cannot_be_judged_waits_for_a_person() {
    let rule = |text: &str| ApprovalRule::When(text.parse().unwrap());
    let arguments = json!({"amount": 101, "name": "", "list": []});
    assert!(rule("amount > `100`").asks_for(&arguments));
    assert!(!rule("amount > `101`").asks_for(&arguments));
    for empty in ["name", "list", "nothing == `true`", "`false`"] {
        assert!(!rule(empty).asks_for(&arguments), "{empty}");
    }
    for unknown in ["nothing", "amuont > `100`", "name > `100`", "nothing.deep"] {
        assert!(rule(unknown).asks_for(&arguments), "{unknown}");
    }
    assert!(rule("length(amount)").asks_for(&arguments), "it fails");
    assert!(ApprovalRule::Always.asks_for(&arguments) && !ApprovalRule::Never.asks_for(&arguments));
}

fn varied(default_weight: u32, weights: &[u32]) -> AgentSpec {
    let variations = weights.iter().enumerate();
    let variations: Vec<Value> =
        variations.map(|(n, weight)| json!({"name": n.to_string(), "weight": weight})).collect();
    let fields = json!({"default_weight": default_weight, "variations": variations});
    let mut value = json!({"model": "builtin.echo", "system_prompt": "own"});
    value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    spec(&value)
}

#[test]
fn a_variation_says_what_is_different() {
    let mut value = full();
    value["default_weight"] = json!(0);
    value["variations"][1]["weight"] = json!(0);
    let spec = spec(&value);
    let chosen = spec.variation_for(SessionId(Uuid::from_u128(1)));
    assert_eq!((chosen.name, chosen.model.to_string().as_str()), ("b", "builtin.echo"));
    assert_eq!((chosen.system_prompt.as_str(), chosen.tools.len()), ("Short.", 0));
    assert_eq!(chosen.sampling.temperature, Some(0.0));
    assert_eq!(chosen.sampling.max_output_tokens, None);
}

#[test]
fn without_any_weight_it_is_the_agent_itself() {
    let spec = varied(0, &[0, 0]);
    let chosen = spec.variation_for(SessionId(Uuid::from_u128(7)));
    assert_eq!((chosen.name, chosen.system_prompt.as_str()), ("default", "own"));
}

proptest! {
    #[test]
    fn a_session_keeps_its_form(session: u128, default in 0_u32..5, weights in prop::collection::vec(0_u32..5, 0..4)) {
        let spec = varied(default, &weights);
        let session = SessionId(Uuid::from_u128(session));
        let name = spec.variation_for(session).name.to_owned();
        let again = spec.clone();
        prop_assert_eq!(again.variation_for(session).name, name.as_str());
        let weight = name.parse::<usize>().map_or(default, |index| weights[index]);
        prop_assert!(weight > 0 || weights.iter().sum::<u32>() + default == 0);
    }

    #[test]
    fn forms_are_chosen_about_as_often_as_they_weigh(seed: u64, default in 1_u32..10, other in 1_u32..10) {
        const SESSIONS: u32 = 500;
        let spec = varied(default, &[other]);
        let mut n_chosen: HashMap<&str, u32> = HashMap::new();
        for n in 0..SESSIONS {
            let session = SessionId(Uuid::from_u64_pair(seed, n.into()));
            *n_chosen.entry(spec.variation_for(session).name).or_default() += 1;
        }
        let expected = f64::from(SESSIONS * default) / f64::from(default + other);
        let off = (f64::from(n_chosen["default"]) - expected).abs();
        // Six standard deviations, at most.
        prop_assert!(off < 6.0 * f64::from(SESSIONS).sqrt() / 2.0, "{n_chosen:?}");
    }

    #[test]
    fn nothing_hidden_is_rendered(name in "(_[a-z]{0,4}|token|host|[a-z]{1,3})", prompt in "[{} a-z_]{0,30}") {
        let context = json!({&name: "SECRET"});
        if let Ok(template) = prompt.parse::<PromptTemplate>()
            && !ContextField::is_visible(&name)
        {
            prop_assert!(!template.render(context.as_object().unwrap()).contains("SECRET"));
        }
    }
}
