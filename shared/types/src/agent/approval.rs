//! Which calls of a tool wait for a person.

use serde_json::{Value, json};

use crate::ToolId;
use crate::jmespath::Expression;
use crate::shape::{ObjectReader, Problems};

/// A tool that an agent may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentTool {
    /// Which.
    pub tool: ToolId,
    /// Which of its calls wait for a person.
    pub approval: ApprovalRule,
}

/// Which calls wait for a person: `"never"`, `"always"` or `{"when": "amount > `100`"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ApprovalRule {
    /// None.
    #[default]
    Never,
    /// All.
    Always,
    /// Those whose arguments make the expression true, and those that it says nothing about
    /// (`null`): because an argument is missing or of another type, for example.
    When(Expression),
}

/// What becomes of calls that wait for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalPolicy {
    /// How long they wait before they count as denied, 1,000 to 2,592,000,000 ms (30 days).
    pub expires_after_ms: u64,
}

impl Default for ApprovalPolicy {
    fn default() -> Self {
        Self { expires_after_ms: 86_400_000 }
    }
}

impl ApprovalRule {
    /// Whether a call with `arguments` waits for a person. An expression that fails, that takes too
    /// long on these arguments or that is `null` for them counts as true: what cannot be judged is
    /// not let through.
    pub fn asks_for(&self, arguments: &Value) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::When(expression) => expression.evaluate(arguments).map_or(true, |v| is_true(&v)),
        }
    }

    fn read(value: &Value, path: &str, problems: &Problems) -> Option<Self> {
        match value {
            Value::String(word) if word == "never" => Some(Self::Never),
            Value::String(word) if word == "always" => Some(Self::Always),
            Value::Object(_) => {
                let mut fields = ObjectReader::new(value, path, problems)?;
                fields.required("when");
                let when = fields.parsed("when").map(Self::When);
                fields.done();
                when
            }
            _ => {
                problems.add(path, "must be `never`, `always` or {\"when\": \"<JMESPath>\"}");
                None
            }
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Never => json!("never"),
            Self::Always => json!("always"),
            Self::When(expression) => json!({"when": expression.as_str()}),
        }
    }
}

/// What `JMESPath` calls true, and `null`: everything but `false` and what is empty.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Number(_) | Value::Null => true,
    }
}

impl AgentTool {
    /// Reads a bare tool id, or an object with it.
    pub(super) fn read(value: &Value, path: &str, problems: &Problems) -> Option<Self> {
        if let Value::String(id) = value {
            let tool = id.parse().map_err(|_not_shown| problems.add(path, NO_ID)).ok()?;
            return Some(Self { tool, approval: ApprovalRule::Never });
        }
        let mut fields = ObjectReader::new(value, path, problems)?;
        let id = fields.required_string("tool", 1..=64);
        let tool = id.and_then(|id| fields.accept("tool", id.parse().map_err(|_not_shown| NO_ID)));
        let approval = match fields.any("approval") {
            None => Some(ApprovalRule::Never),
            Some(rule) => ApprovalRule::read(rule, &fields.path_of("approval"), problems),
        };
        fields.done();
        Some(Self { tool: tool?, approval: approval? })
    }

    pub(super) fn to_value(&self) -> Value {
        json!({"tool": self.tool, "approval": self.approval.to_value()})
    }
}

const NO_ID: &str = "must be the id of a tool";

impl ApprovalPolicy {
    pub(super) fn read(fields: &mut ObjectReader<'_>) -> Self {
        let default = Self::default();
        let Some(mut fields) = fields.object("approval") else { return default };
        let expires = fields.integer("expires_after_ms", 1_000..=2_592_000_000);
        fields.done();
        Self { expires_after_ms: expires.map_or(default.expires_after_ms, u64::from) }
    }
}
