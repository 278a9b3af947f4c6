//! An agent's other forms, and which one a session gets.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{AgentSpec, AgentTool, MAX_VARIATIONS, ModelName, PromptTemplate, Sampling, read};
use crate::SessionId;
use crate::shape::{ObjectReader, Problems};

/// The name of the agent's own form.
const DEFAULT: &str = "default";

/// A form of an agent that some sessions get. What it does not say is the agent's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Variation {
    /// 1 to 64 characters, unique within the agent, not `default`.
    pub name: String,
    /// How often it is chosen, in relation to the others; 0 to 1,000.
    pub weight: u32,
    /// Another model.
    pub model: Option<ModelName>,
    /// Another prompt.
    pub system_prompt: Option<PromptTemplate>,
    /// Another sampling; it replaces the agent's as a whole.
    pub sampling: Option<Sampling>,
    /// Other tools; they replace the agent's as a whole.
    pub tools: Option<Vec<AgentTool>>,
}

/// The form that a session gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen<'a> {
    /// The variation's name; `default` for the agent itself.
    pub name: &'a str,
    /// What it thinks with.
    pub model: &'a ModelName,
    /// What it is told of itself.
    pub system_prompt: &'a PromptTemplate,
    /// How its model picks words.
    pub sampling: &'a Sampling,
    /// What it can do besides talking.
    pub tools: &'a [AgentTool],
}

impl AgentSpec {
    /// The form that a session gets: by weight, and the same for a session for as long as names and
    /// weights stay. If all weights are 0, the agent itself.
    pub fn variation_for(&self, session: SessionId) -> Chosen<'_> {
        let weights = self.variations.iter().map(|variation| u64::from(variation.weight));
        let total = u64::from(self.default_weight) + weights.sum::<u64>();
        let mut ticket = ticket_of(session).checked_rem(total).unwrap_or(0);
        // Weights are gone through in this order, the agent itself at the end.
        for variation in &self.variations {
            let weight = u64::from(variation.weight);
            if ticket < weight {
                return self.in_form_of(variation);
            }
            ticket -= weight;
        }
        self.in_own_form()
    }

    fn in_own_form(&self) -> Chosen<'_> {
        Chosen {
            name: DEFAULT,
            model: &self.model,
            system_prompt: &self.system_prompt,
            sampling: &self.sampling,
            tools: &self.tools,
        }
    }

    fn in_form_of<'a>(&'a self, variation: &'a Variation) -> Chosen<'a> {
        Chosen {
            name: &variation.name,
            model: variation.model.as_ref().unwrap_or(&self.model),
            system_prompt: variation.system_prompt.as_ref().unwrap_or(&self.system_prompt),
            sampling: variation.sampling.as_ref().unwrap_or(&self.sampling),
            tools: variation.tools.as_ref().unwrap_or(&self.tools),
        }
    }
}

/// A number that a session always draws. Ids are no dice: their first bits are a time.
fn ticket_of(session: SessionId) -> u64 {
    let digest = Sha256::digest(session.0.as_bytes());
    let first = digest.first_chunk().expect("SHA-256 has 32 bytes");
    u64::from_be_bytes(*first)
}

pub(super) fn read_all(fields: &mut ObjectReader<'_>) -> Vec<Variation> {
    const KEY: &str = "variations";
    let mut variations: Vec<Variation> = Vec::new();
    for (path, value) in read::items(fields, KEY, MAX_VARIATIONS) {
        let Some(variation) = Variation::read(value, &path, fields.problems()) else { continue };
        if variations.iter().any(|other| other.name == variation.name) {
            fields.problems().add(format!("{path}.name"), "is the name of another variation");
        }
        variations.push(variation);
    }
    variations
}

impl Variation {
    fn read(value: &Value, path: &str, problems: &Problems) -> Option<Self> {
        let mut fields = ObjectReader::new(value, path, problems)?;
        let name = fields.required_string("name", 1..=64).map(str::to_owned);
        if name.as_deref() == Some(DEFAULT) {
            fields.refuse("name", "must not be `default`, which is the agent itself");
        }
        let weight = fields.integer("weight", 0..=1_000).unwrap_or(1);
        let model = fields.parsed("model");
        let system_prompt = read::prompt(&mut fields);
        let sampling = fields.object("sampling").map(read::sampling);
        let tools = fields.any("tools").is_some().then(|| read::tools(&mut fields));
        fields.done();
        Some(Self { name: name?, weight, model, system_prompt, sampling, tools })
    }

    pub(super) fn to_value(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("name".into(), json!(self.name));
        fields.insert("weight".into(), json!(self.weight));
        if let Some(model) = &self.model {
            fields.insert("model".into(), json!(model));
        }
        if let Some(prompt) = &self.system_prompt {
            fields.insert("system_prompt".into(), json!(prompt.as_str()));
        }
        if let Some(sampling) = &self.sampling {
            fields.insert("sampling".into(), read::sampling_to_value(sampling));
        }
        if let Some(tools) = &self.tools {
            let tools = tools.iter().map(AgentTool::to_value).collect();
            fields.insert("tools".into(), Value::Array(tools));
        }
        Value::Object(fields)
    }
}
