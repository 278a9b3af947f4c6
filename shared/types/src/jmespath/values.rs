//! Values on their way in and out, and what they cost.

use std::collections::BTreeMap;

use ::jmespath::{Rcvar, Variable};
use serde_json::{Map, Number, Value};

use super::{EvaluationError, MAX_PAYLOAD_DEPTH, MAX_RESULT, MAX_STEPS};
use crate::numbers;

/// A map is allocated in blocks for eleven entries, so even a small one costs as much as this.
const STEPS_PER_OBJECT: usize = 8;
/// Bytes of text that one step pays for.
const TEXT_PER_STEP: usize = 16;

/// The steps that are left.
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn new() -> Self {
        Self(MAX_STEPS)
    }

    pub(super) fn spend(&mut self, steps: usize) -> Result<(), EvaluationError> {
        self.0 = self.0.checked_sub(steps).ok_or(EvaluationError::TooMuchWork)?;
        Ok(())
    }

    pub(super) fn spend_text(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.spend(bytes / TEXT_PER_STEP)
    }

    pub(super) fn spend_object(&mut self) -> Result<(), EvaluationError> {
        self.spend(STEPS_PER_OBJECT)
    }

    /// Pays for reading `value` itself: a text, or the keys and places of a collection.
    pub(super) fn spend_on(&mut self, value: &Variable) -> Result<(), EvaluationError> {
        match value {
            Variable::String(text) => self.spend_text(text.len()),
            Variable::Array(items) => self.spend(items.len()),
            Variable::Object(entries) => {
                self.spend_object()?;
                entries.keys().try_for_each(|key| {
                    self.spend(1)?;
                    self.spend_text(key.len())
                })
            }
            _ => Ok(()),
        }
    }

    /// Pays for reading `value` and everything in it, and says what that was. What is shared is
    /// paid for each time, as it will be read each time.
    pub(super) fn spend_deeply(&mut self, value: &Variable) -> Result<usize, EvaluationError> {
        let before = self.0;
        self.spend_on_tree(value)?;
        Ok(before - self.0)
    }

    fn spend_on_tree(&mut self, value: &Variable) -> Result<(), EvaluationError> {
        self.spend(1)?;
        self.spend_on(value)?;
        match value {
            Variable::Array(items) => items.iter().try_for_each(|item| self.spend_on_tree(item)),
            Variable::Object(entries) => {
                entries.values().try_for_each(|value| self.spend_on_tree(value))
            }
            _ => Ok(()),
        }
    }

    /// Whether two values are the same JSON; numbers by their value.
    pub(super) fn equal(&mut self, a: &Variable, b: &Variable) -> Result<bool, EvaluationError> {
        self.spend(1)?;
        match (a, b) {
            (Variable::Null, Variable::Null) => Ok(true),
            (Variable::Bool(a), Variable::Bool(b)) => Ok(a == b),
            (Variable::Number(a), Variable::Number(b)) => Ok(numbers::compare(a, b).is_eq()),
            (Variable::String(a), Variable::String(b)) => {
                self.spend_text(a.len().min(b.len()))?;
                Ok(a == b)
            }
            (Variable::Array(a), Variable::Array(b)) if a.len() == b.len() => {
                self.all_equal(a.iter().zip(b))
            }
            (Variable::Object(a), Variable::Object(b)) if a.len() == b.len() => {
                Ok(self.same_keys(a, b)? && self.all_equal(a.values().zip(b.values()))?)
            }
            _ => Ok(false),
        }
    }

    fn all_equal<'v>(
        &mut self,
        pairs: impl Iterator<Item = (&'v Rcvar, &'v Rcvar)>,
    ) -> Result<bool, EvaluationError> {
        for (a, b) in pairs {
            if !self.equal(a, b)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn same_keys(
        &mut self,
        a: &BTreeMap<String, Rcvar>,
        b: &BTreeMap<String, Rcvar>,
    ) -> Result<bool, EvaluationError> {
        for (a, b) in a.keys().zip(b.keys()) {
            self.spend_text(a.len().min(b.len()))?;
            if a != b {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a payload in.
    pub(super) fn take_in(&mut self, value: &Value) -> Result<Rcvar, EvaluationError> {
        self.take_in_at(value, 0)
    }

    fn take_in_at(&mut self, value: &Value, depth: usize) -> Result<Rcvar, EvaluationError> {
        if depth > MAX_PAYLOAD_DEPTH {
            return Err(EvaluationError::TooDeep);
        }
        self.spend(1)?;
        Ok(Rcvar::new(match value {
            Value::Null => Variable::Null,
            Value::Bool(flag) => Variable::Bool(*flag),
            Value::Number(number) => Variable::Number(number.clone()),
            Value::String(text) => {
                self.spend_text(text.len())?;
                Variable::String(text.clone())
            }
            Value::Array(items) => {
                let items = items.iter().map(|item| self.take_in_at(item, depth + 1));
                Variable::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => Variable::Object(self.take_in_entries(entries, depth + 1)?),
        }))
    }

    fn take_in_entries(
        &mut self,
        entries: &Map<String, Value>,
        depth: usize,
    ) -> Result<BTreeMap<String, Rcvar>, EvaluationError> {
        self.spend_object()?;
        let mut taken = BTreeMap::new();
        for (key, value) in entries {
            self.spend_text(key.len())?;
            taken.insert(key.clone(), self.take_in_at(value, depth)?);
        }
        Ok(taken)
    }
}

/// Hands a result out, counting its bytes as JSON so that an explosion stops before it happens.
pub(super) fn hand_out(value: &Variable) -> Result<Value, EvaluationError> {
    Outlet { left: MAX_RESULT }.hand_out(value)
}

struct Outlet {
    left: usize,
}

impl Outlet {
    fn count(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.left = self.left.checked_sub(bytes).ok_or(EvaluationError::TooLarge)?;
        Ok(())
    }

    fn hand_out(&mut self, value: &Variable) -> Result<Value, EvaluationError> {
        Ok(match value {
            Variable::Null | Variable::Expref(_) => {
                self.count(4)?;
                Value::Null
            }
            Variable::Bool(flag) => {
                self.count(if *flag { 4 } else { 5 })?;
                Value::Bool(*flag)
            }
            Variable::Number(number) => {
                let number = whole_if_exact(number);
                self.count(number.to_string().len())?;
                Value::Number(number)
            }
            Variable::String(text) => {
                self.count(quoted_len(text))?;
                Value::String(text.clone())
            }
            Variable::Array(items) => {
                self.count(2 + items.len().saturating_sub(1))?;
                let items = items.iter().map(|item| self.hand_out(item));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Variable::Object(entries) => Value::Object(self.hand_out_entries(entries)?),
        })
    }

    fn hand_out_entries(
        &mut self,
        entries: &BTreeMap<String, Rcvar>,
    ) -> Result<Map<String, Value>, EvaluationError> {
        self.count(2 + entries.len().saturating_sub(1))?;
        let mut handed = Map::new();
        for (key, value) in entries {
            self.count(quoted_len(key) + 1)?;
            handed.insert(key.clone(), self.hand_out(value)?);
        }
        Ok(handed)
    }
}

/// The length of a text as JSON.
fn quoted_len(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    2 + text.bytes().map(escaped).sum::<usize>()
}

/// `123.0` as `123`: functions compute in `f64`, whose whole numbers are exact up to 2^53.
fn whole_if_exact(number: &Number) -> Number {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT => {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and within 2^53")]
            let whole = float as i64;
            Number::from(whole)
        }
        _ => number.clone(),
    }
}

/// The bytes of `value` as JSON, the way [`hand_out`] counts them.
#[cfg(test)]
pub(super) fn json_len(value: &Value) -> usize {
    let mut outlet = Outlet { left: MAX_RESULT };
    let taken = Budget::new().take_in(value).expect("a test's value is small");
    outlet.hand_out(&taken).expect("a test's value is small");
    MAX_RESULT - outlet.left
}
