//! What a payload may look like: how deep, how many fields, and no U+0000 anywhere.

use serde_json::Value;

use super::PayloadLimits;
use crate::refusal::Refusal;

/// Where a text in the payload stops being shown in a path.
const MAX_SHOWN_PATH: usize = 200;

/// Goes through all of `payload`.
pub(super) fn check(payload: &Value, limits: PayloadLimits) -> Result<(), Refusal> {
    let mut walk = Walk { limits, fields_left: limits.json_fields };
    let Err(found) = walk.through(payload, 1) else { return Ok(()) };
    let path: Vec<String> = found.path.into_iter().rev().collect();
    let path: String = path.join(".").chars().take(MAX_SHOWN_PATH).collect();
    let field = if path.is_empty() { "body".to_owned() } else { path };
    Err(Refusal::InvalidInput { field, reason: found.reason })
}

struct Walk {
    limits: PayloadLimits,
    fields_left: usize,
}

/// Something that must not be, and the way to it from the inside out.
struct Found {
    path: Vec<String>,
    reason: String,
}

impl Found {
    fn here(reason: String) -> Self {
        Self { path: Vec::new(), reason }
    }

    fn below(mut self, step: &str) -> Self {
        self.path.push(step.replace('\0', "\u{fffd}"));
        self
    }
}

impl Walk {
    /// Recursive, because the parser has bounded the depth.
    fn through(&mut self, value: &Value, depth: usize) -> Result<(), Found> {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
            Value::String(text) => refuse_nul(text),
            Value::Array(items) => {
                self.enter(depth)?;
                for (index, item) in items.iter().enumerate() {
                    self.through(item, depth + 1).map_err(|f| f.below(&index.to_string()))?;
                }
                Ok(())
            }
            Value::Object(object) => {
                self.enter(depth)?;
                for (key, value) in object {
                    self.count_field()?;
                    let below = |found: Found| found.below(key);
                    refuse_nul(key).map_err(below)?;
                    self.through(value, depth + 1).map_err(below)?;
                }
                Ok(())
            }
        }
    }

    fn enter(&self, depth: usize) -> Result<(), Found> {
        let most = self.limits.json_depth;
        if depth > most {
            return Err(Found::here(format!("is nested more than {most} levels deep")));
        }
        Ok(())
    }

    fn count_field(&mut self) -> Result<(), Found> {
        let most = self.limits.json_fields;
        self.fields_left = self
            .fields_left
            .checked_sub(1)
            .ok_or_else(|| Found::here(format!("the body has more than {most} fields")))?;
        Ok(())
    }
}

fn refuse_nul(text: &str) -> Result<(), Found> {
    if text.contains('\0') { Err(Found::here("contains U+0000".into())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(payload: &Value, depth: usize, fields: usize) -> Option<String> {
        let limits =
            PayloadLimits { json_depth: depth, json_fields: fields, ..PayloadLimits::default() };
        match check(payload, limits) {
            Ok(()) => None,
            Err(Refusal::InvalidInput { field, reason }) => Some(format!("{field} {reason}")),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_depth_is_bounded() {
        let payload = json!({"a": [{"b": 1}]});
        assert_eq!(refused(&payload, 3, 10), None);
        assert_eq!(refused(&payload, 2, 10).unwrap(), "a.0 is nested more than 2 levels deep");
        assert_eq!(refused(&json!(7), 0, 0), None);
        assert_eq!(refused(&json!([]), 1, 0), None);
        assert_eq!(refused(&json!([]), 0, 0).unwrap(), "body is nested more than 0 levels deep");
    }

    #[test]
    fn the_fields_of_all_objects_together_are_bounded() {
        let payload = json!([{"a": 1, "b": 2}, {"c": {"d": 3}}]);
        assert_eq!(refused(&payload, 10, 4), None);
        assert_eq!(refused(&payload, 10, 3).unwrap(), "1.c the body has more than 3 fields");
    }
}
