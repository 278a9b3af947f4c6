//! Agents: what they are told, which model they think with, what they may do and how much of it.
//!
//! An [`AgentSpec`] is parsed in one way, for saving and for loading alike, so what a runner runs is
//! what the API accepted. Limits that are not given are small enough to be safe: nobody has to think
//! of them before a model that calls the same tool for ever costs money.

mod approval;
mod model_name;
mod prompt;
mod read;
mod sections;
mod variation;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use approval::{AgentTool, ApprovalPolicy, ApprovalRule};
pub use model_name::{ModelName, ModelNameError};
pub use prompt::{PromptError, PromptTemplate};
pub use sections::prompt_sections;
pub use variation::{Chosen, Variation};

use crate::shape::{FieldProblem, ObjectReader, Problems};

/// The most tools of an agent.
pub const MAX_TOOLS: usize = 64;
/// The most variations of an agent.
pub const MAX_VARIATIONS: usize = 10;

/// Everything about an agent but its name: `agents.spec`, as JSON with the same names.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSpec {
    /// For people, and for agents that have this one as a tool; at most 2,000 characters.
    pub description: String,
    /// What it thinks with.
    pub model: ModelName,
    /// What it is told of itself, at most 100,000 bytes.
    pub system_prompt: PromptTemplate,
    /// How its model picks words.
    pub sampling: Sampling,
    /// How much one execution may do.
    pub limits: Limits,
    /// How much of its past a session is told.
    pub context_window: ContextWindowPolicy,
    /// What it can do besides talking, at most 64, each once.
    pub tools: Vec<AgentTool>,
    /// What becomes of calls that wait for a person.
    pub approval: ApprovalPolicy,
    /// Its other forms, at most 10.
    pub variations: Vec<Variation>,
    /// How often a session gets none of the variations, in relation to their weights; 0 to 1,000.
    pub default_weight: u32,
}

/// How a model picks words; what is not set is left to its provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// The most tokens of one answer, 1 to 1,000,000.
    pub max_output_tokens: Option<u32>,
    /// Texts that end an answer, at most 4 of 1 to 256 characters.
    pub stop: Vec<String>,
    /// Asks for the same answer to the same question.
    pub seed: Option<i64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
}

/// How much one execution may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The most calls of the model, 1 to 100.
    pub max_iterations: u32,
    /// The most calls of tools, 0 to 1,000.
    pub max_tool_calls: u32,
    /// The most tokens of all calls of the model together, read and written.
    pub max_tokens: Option<u64>,
    /// The most that all calls of the model may cost together, by the prices of its provider.
    pub max_cost_usd: Option<f64>,
    /// The most bytes of one tool call's output, as the model sees it; 256 to 1,048,576.
    pub max_tool_output_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_iterations: 10,
            max_tool_calls: 50,
            max_tokens: None,
            max_cost_usd: None,
            max_tool_output_bytes: 65_536,
        }
    }
}

/// How much of its past a session is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextWindowPolicy {
    /// The most tokens of a conversation before it is compacted, 1,000 to 2,000,000.
    pub max_tokens: u32,
    /// How many exchanges, the newest, are never summarised; 0 to 100.
    pub keep_turns: u32,
}

impl Default for ContextWindowPolicy {
    fn default() -> Self {
        Self { max_tokens: 32_000, keep_turns: 4 }
    }
}

impl AgentSpec {
    /// Reads an agent's fields, naming every mistake by its path; what else the object has is left
    /// to the caller.
    pub fn read(fields: &mut ObjectReader<'_>) -> Option<Self> {
        read::spec(fields)
    }

    /// Reads what [`Self::to_value`] wrote.
    pub fn from_saved(value: &Value) -> Result<Self, Vec<FieldProblem>> {
        let problems = Problems::default();
        let spec = ObjectReader::new(value, "", &problems).and_then(|mut fields| {
            let spec = Self::read(&mut fields);
            fields.done();
            spec
        });
        match problems.finish(spec)? {
            Some(spec) => Ok(spec),
            None => Err(vec![FieldProblem { path: String::new(), reason: "is incomplete".into() }]),
        }
    }

    /// As JSON, for saving and for showing; every field is there.
    pub fn to_value(&self) -> Value {
        read::to_value(self)
    }

    /// All of its tools, those of its variations included, each with the path of where it is named.
    pub fn tool_refs(&self) -> Vec<(String, crate::ToolId)> {
        let own = self.tools.iter().enumerate().map(|(n, tool)| (format!("tools[{n}]"), tool.tool));
        let varied = self.variations.iter().enumerate().flat_map(|(v, variation)| {
            let tools = variation.tools.iter().flatten().enumerate();
            tools.map(move |(n, tool)| (format!("variations[{v}].tools[{n}]"), tool.tool))
        });
        own.chain(varied).collect()
    }

    /// All models that it may think with, each with the path of where it is named.
    pub fn model_refs(&self) -> Vec<(String, &ModelName)> {
        let varied = self.variations.iter().enumerate().filter_map(|(v, variation)| {
            Some((format!("variations[{v}].model"), variation.model.as_ref()?))
        });
        [("model".to_owned(), &self.model)].into_iter().chain(varied).collect()
    }
}
