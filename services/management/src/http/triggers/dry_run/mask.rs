//! What may not be shown: hidden fields of the context, and secrets.

use recado_types::hidden::{HIDDEN, Redactor, without_hidden_names};
use recado_types::trigger::ContextField;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Takes hidden values and secrets out of what is shown.
///
/// What is rendered is rendered of [`Mask::context`], which has a word that nobody knows in place of
/// each hidden value, however short: it passes through any encoding as it is. Whatever came another
/// way is looked for by the [`Redactor`].
pub(super) struct Mask {
    redactor: Redactor,
    stand_in: String,
    context: Map<String, Value>,
}

impl Mask {
    /// Hides the hidden fields of `context`, and `secrets`; `fresh` is in nothing that is shown.
    pub(super) fn of(context: &Map<String, Value>, secrets: &[String], fresh: Uuid) -> Self {
        let stand_in = format!("hidden{}", fresh.simple());
        let redactor = Redactor::of(context, secrets);
        Self { redactor, context: masked_fields(context, &stand_in), stand_in }
    }

    /// The context to render what is shown.
    pub(super) fn context(&self) -> &Map<String, Value> {
        &self.context
    }

    /// What stands in for a hidden value until [`Self::text`] finds it.
    pub(super) fn stand_in(&self) -> &str {
        &self.stand_in
    }

    /// `text` as it may be shown.
    pub(super) fn text(&self, text: &str) -> String {
        let text = text.replace(&self.stand_in, HIDDEN);
        self.redactor.redact(&text).into_owned()
    }

    /// The context as a model may see it.
    pub(super) fn visible(&self) -> Value {
        let is_visible = |(name, _): &(&String, &Value)| ContextField::is_visible(name);
        let visible = self.context.iter().filter(is_visible);
        let shown = |value: &Value| self.redactor.redact_json(&without_hidden_names(value));
        Value::Object(visible.map(|(name, value)| (name.clone(), shown(value))).collect())
    }

    /// The names of the fields that no model sees.
    pub(super) fn hidden_names(&self) -> Vec<&str> {
        let names = self.context.keys().map(String::as_str);
        names.filter(|name| !ContextField::is_visible(name)).collect()
    }
}

fn masked_fields(fields: &Map<String, Value>, stand_in: &str) -> Map<String, Value> {
    let masked = |(name, value): (&String, &Value)| {
        let is_visible = ContextField::is_visible(name);
        let value = if is_visible { masked(value, stand_in) } else { stand_in.into() };
        (name.clone(), value)
    };
    fields.iter().map(masked).collect()
}

/// A visible value may have hidden names of its own. It is no deeper than a body may be.
fn masked(value: &Value, stand_in: &str) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| masked(item, stand_in)).collect(),
        Value::Object(fields) => Value::Object(masked_fields(fields, stand_in)),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hidden_values_are_hidden_however_short_and_wherever() {
        let context = json!({
            "city": "Rio", "token": "t", "_sid": {"a": 1}, "who": {"id": 7, "host": "h", "l": [{"_x": 2}]},
        });
        let Value::Object(context) = context else { unreachable!("an object literal") };
        let mask = Mask::of(&context, &["whs_secret".to_owned()], Uuid::from_u128(1));
        assert_eq!(mask.hidden_names(), ["_sid", "token"]);
        assert_eq!(mask.visible(), json!({"city": "Rio", "who": {"id": 7, "l": [{}]}}));
        let shown = mask.text(&Value::Object(mask.context().clone()).to_string());
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(
            shown,
            json!({
                "city": "Rio", "token": HIDDEN, "_sid": HIDDEN,
                "who": {"id": 7, "host": HIDDEN, "l": [{"_x": HIDDEN}]},
            })
        );
        assert_eq!(mask.text("a whs_secret b"), "a [hidden] b");
    }
}
