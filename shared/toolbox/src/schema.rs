//! Whether arguments fit a tool's schema, in words that let a model mend them.

use recado_types::tool::ParameterSchema;
use serde_json::Value;

/// The most mistakes that a model is told at once.
const MAX_MISTAKES: usize = 10;

/// Checks the arguments of one tool.
pub(super) struct Checker(Option<ParameterSchema>);

impl Checker {
    pub(super) fn with(schema: ParameterSchema) -> Self {
        Self(Some(schema))
    }

    /// Checks with `schema`; checks nothing if it is none that can be checked in bounded time. An
    /// MCP server may come with any, and checks for itself.
    pub(super) fn of(schema: &Value) -> Self {
        Self(ParameterSchema::compile(schema).ok())
    }

    /// # Errors
    /// What is wrong, for the model: where, and what is expected there. Repeats no argument.
    pub(super) fn check(&self, arguments: &Value) -> Result<(), String> {
        let Some(schema) = &self.0 else { return Ok(()) };
        schema.check(arguments).map_err(|mistakes| in_words(&mistakes))
    }
}

fn in_words(mistakes: &[String]) -> String {
    let mut told = "the arguments do not fit the tool's schema:".to_owned();
    for mistake in mistakes.iter().take(MAX_MISTAKES) {
        told.push_str("\n- ");
        told.push_str(mistake);
    }
    if mistakes.len() > MAX_MISTAKES {
        told.push_str("\n- and more");
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_mistake_is_told_by_its_place_and_none_repeats_a_value() {
        let checker = Checker::of(&json!({
            "type": "object",
            "properties": {
                "amount": {"type": "number", "maximum": 100},
                "lines": {"type": "array", "items": {"required": ["sku"]}},
            },
            "required": ["amount", "reason"],
        }));
        let told = checker.check(&json!({"amount": "hunter2", "lines": [{}]})).unwrap_err();
        for part in [
            "\n- the arguments: \"reason\" is a required property",
            "\n- `amount`: ",
            "\n- `lines.0`: \"sku\" is a required property",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
        assert_eq!(checker.check(&json!({"amount": 1, "reason": ""})), Ok(()));
    }

    #[test]
    fn ten_mistakes_are_enough() {
        let checker =
            Checker::of(&json!({"type": "object", "additionalProperties": {"type": "null"}}));
        let arguments: serde_json::Map<_, _> =
            (0..50).map(|n| (format!("field{n}"), n.into())).collect();
        let told = checker.check(&Value::Object(arguments)).unwrap_err();
        assert_eq!(told.lines().count(), 1 + 10 + 1);
        assert!(told.ends_with("\n- and more"), "{told}");
    }

    #[test]
    fn a_schema_that_cannot_be_checked_checks_nothing() {
        let foreign = json!({"type": "object", "$ref": "https://example.com/schema"});
        assert_eq!(Checker::of(&foreign).check(&json!({})), Ok(()));
    }
}
