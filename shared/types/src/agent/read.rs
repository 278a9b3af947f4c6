//! An agent's fields, from JSON and back.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::approval::{AgentTool, ApprovalPolicy};
use super::variation::{self, Variation};
use super::{AgentSpec, ContextWindowPolicy, Limits, MAX_TOOLS, PromptTemplate, Sampling};
use crate::shape::ObjectReader;

/// The most characters of a prompt that are looked at: one that is longer has more bytes than it
/// may have.
const MAX_PROMPT_CHARS: usize = 100_000;
/// The most that can be spent by one execution, in US dollars: enough for anybody, and a number that
/// sums of prices stay exact under.
const MAX_COST_USD: f64 = 1_000_000.0;

pub(super) fn spec(fields: &mut ObjectReader<'_>) -> Option<AgentSpec> {
    let description = fields.string("description", 0..=2_000).unwrap_or_default().to_owned();
    fields.required("model");
    let model = fields.parsed("model");
    let has_prompt = fields.any("system_prompt").is_some();
    let system_prompt = match prompt(fields) {
        None if !has_prompt => "".parse().ok(),
        read => read,
    };
    let sampling = fields.object("sampling").map(sampling).unwrap_or_default();
    let limits = fields.object("limits").map(limits).unwrap_or_default();
    let context_window = fields.object("context_window").map(context_window).unwrap_or_default();
    let tools = tools(fields);
    let approval = ApprovalPolicy::read(fields);
    let variations = variation::read_all(fields);
    let default_weight = fields.integer("default_weight", 0..=1_000).unwrap_or(1);
    Some(AgentSpec {
        description,
        model: model?,
        system_prompt: system_prompt?,
        sampling,
        limits,
        context_window,
        tools,
        approval,
        variations,
        default_weight,
    })
}

pub(super) fn to_value(spec: &AgentSpec) -> Value {
    let AgentSpec { limits, context_window, approval, .. } = spec;
    json!({
        "description": spec.description,
        "model": spec.model,
        "system_prompt": spec.system_prompt.as_str(),
        "sampling": sampling_to_value(&spec.sampling),
        "limits": {
            "max_iterations": limits.max_iterations,
            "max_tool_calls": limits.max_tool_calls,
            "max_tokens": limits.max_tokens,
            "max_cost_usd": limits.max_cost_usd,
            "max_tool_output_bytes": limits.max_tool_output_bytes,
        },
        "context_window": {
            "max_tokens": context_window.max_tokens,
            "keep_turns": context_window.keep_turns,
        },
        "tools": spec.tools.iter().map(AgentTool::to_value).collect::<Vec<_>>(),
        "approval": {"expires_after_ms": approval.expires_after_ms},
        "variations": spec.variations.iter().map(Variation::to_value).collect::<Vec<_>>(),
        "default_weight": spec.default_weight,
    })
}

pub(super) fn prompt(fields: &mut ObjectReader<'_>) -> Option<PromptTemplate> {
    let text = fields.string("system_prompt", 0..=MAX_PROMPT_CHARS)?;
    fields.accept("system_prompt", text.parse())
}

pub(super) fn sampling(mut fields: ObjectReader<'_>) -> Sampling {
    let stop = fields.strings("stop", 0..=4, 256).unwrap_or_default();
    let sampling = Sampling {
        temperature: number(&mut fields, "temperature", 0.0..=2.0),
        top_p: number(&mut fields, "top_p", 0.0..=1.0),
        max_output_tokens: fields.integer("max_output_tokens", 1..=1_000_000),
        stop: stop.into_iter().map(str::to_owned).collect(),
        seed: seed(&mut fields),
        frequency_penalty: number(&mut fields, "frequency_penalty", -2.0..=2.0),
        presence_penalty: number(&mut fields, "presence_penalty", -2.0..=2.0),
    };
    fields.done();
    sampling
}

/// Only what is set: what is not is the provider's business.
pub(super) fn sampling_to_value(sampling: &Sampling) -> Value {
    let mut fields = Map::new();
    let stop = (!sampling.stop.is_empty()).then(|| json!(sampling.stop));
    let set = [
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("max_output_tokens", sampling.max_output_tokens.map(Value::from)),
        ("stop", stop),
        ("seed", sampling.seed.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
    ];
    fields.extend(set.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    Value::Object(fields)
}

pub(super) fn tools(fields: &mut ObjectReader<'_>) -> Vec<AgentTool> {
    let mut tools: Vec<AgentTool> = Vec::new();
    for (path, value) in items(fields, "tools", MAX_TOOLS) {
        let Some(tool) = AgentTool::read(value, &path, fields.problems()) else { continue };
        if tools.iter().any(|other| other.tool == tool.tool) {
            fields.problems().add(path, "is a tool that is named twice");
        }
        tools.push(tool);
    }
    tools
}

/// The items of a list of at most `most`, each with its path.
pub(super) fn items<'v>(
    fields: &mut ObjectReader<'v>,
    key: &'static str,
    most: usize,
) -> Vec<(String, &'v Value)> {
    let Some(value) = fields.any(key) else { return Vec::new() };
    let Some(items) = value.as_array().filter(|items| items.len() <= most) else {
        fields.refuse(key, format!("must be a list of at most {most}"));
        return Vec::new();
    };
    let path = fields.path_of(key);
    items.iter().enumerate().map(|(index, item)| (format!("{path}[{index}]"), item)).collect()
}

fn limits(mut fields: ObjectReader<'_>) -> Limits {
    let default = Limits::default();
    let limits = Limits {
        max_iterations: fields.integer("max_iterations", 1..=100).unwrap_or(default.max_iterations),
        max_tool_calls: fields
            .integer("max_tool_calls", 0..=1_000)
            .unwrap_or(default.max_tool_calls),
        max_tokens: max_tokens(&mut fields),
        max_cost_usd: number(&mut fields, "max_cost_usd", 0.0..=MAX_COST_USD),
        max_tool_output_bytes: fields
            .integer("max_tool_output_bytes", 256..=1_048_576)
            .unwrap_or(default.max_tool_output_bytes),
    };
    fields.done();
    limits
}

fn max_tokens(fields: &mut ObjectReader<'_>) -> Option<u64> {
    /// What the database counts in.
    const MOST: u64 = i64::MAX.unsigned_abs();
    let value = fields.any("max_tokens")?;
    let accepted = value.as_u64().filter(|number| (1..=MOST).contains(number));
    if accepted.is_none() {
        fields.refuse("max_tokens", "must be a whole number from 1");
    }
    accepted
}

fn context_window(mut fields: ObjectReader<'_>) -> ContextWindowPolicy {
    let default = ContextWindowPolicy::default();
    let policy = ContextWindowPolicy {
        max_tokens: fields.integer("max_tokens", 1_000..=2_000_000).unwrap_or(default.max_tokens),
        keep_turns: fields.integer("keep_turns", 0..=100).unwrap_or(default.keep_turns),
    };
    fields.done();
    policy
}

fn number(
    fields: &mut ObjectReader<'_>,
    key: &'static str,
    range: RangeInclusive<f64>,
) -> Option<f64> {
    let value = fields.any(key)?;
    let accepted = value.as_f64().filter(|number| range.contains(number));
    if accepted.is_none() {
        let (least, most) = (range.start(), range.end());
        fields.refuse(key, format!("must be a number from {least} to {most}"));
    }
    accepted
}

fn seed(fields: &mut ObjectReader<'_>) -> Option<i64> {
    let value = fields.any("seed")?;
    if value.as_i64().is_none() {
        fields.refuse("seed", "must be a whole number");
    }
    value.as_i64()
}
