//! Values on their way in and out, and what they cost.

use std::collections::BTreeMap;

use ::jmespath::{Rcvar, Variable};
use serde_json::{Map, Number, Value};

use super::{
    EvaluationError, MAX_MADE, MAX_PAYLOAD_DEPTH, MAX_RESULT, MAX_STEPS, MIN_STEPS, STEPS_PER_TAKEN,
};
use crate::work::{Spent, Work};

/// A map is allocated in blocks for eleven entries, so even a small one costs as much as this.
const STEPS_PER_OBJECT: usize = 8;
/// What a value takes in memory, by itself.
const BYTES_PER_VALUE: usize = 96;
/// What a list takes for each of its items, which are shared.
const BYTES_PER_ITEM: usize = 8;
/// What an object takes, and for each of its fields: a name, a place, and maybe a value.
const BYTES_PER_OBJECT: usize = 384;
const BYTES_PER_FIELD: usize = 128;
/// The longest number as JSON.
const LONGEST_NUMBER: usize = 24;

/// A payload that expressions are evaluated on, with the steps that are left for that.
pub struct Subject {
    pub(super) payload: Rcvar,
    pub(super) work: Work,
}

impl Subject {
    /// Takes `payload` in, once for all expressions, and gives them steps in proportion to it.
    pub fn take_in(payload: &Value) -> Result<Self, EvaluationError> {
        let mut work = Work::new(MAX_STEPS);
        let payload = take_in(&mut work, payload, 0)?;
        let taken = MAX_STEPS - work.left();
        let steps = taken.saturating_mul(STEPS_PER_TAKEN).saturating_add(MIN_STEPS);
        Ok(Self { payload, work: Work::new(steps.min(MAX_STEPS)) })
    }
}

fn take_in(work: &mut Work, value: &Value, depth: usize) -> Result<Rcvar, EvaluationError> {
    if depth > MAX_PAYLOAD_DEPTH {
        return Err(EvaluationError::TooDeep);
    }
    work.spend(1)?;
    Ok(Rcvar::new(match value {
        Value::Null => Variable::Null,
        Value::Bool(flag) => Variable::Bool(*flag),
        Value::Number(number) => Variable::Number(number.clone()),
        Value::String(text) => {
            work.spend_text(text.len())?;
            Variable::String(text.clone())
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| take_in(work, item, depth + 1));
            Variable::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => Variable::Object(take_in_entries(work, entries, depth + 1)?),
    }))
}

fn take_in_entries(
    work: &mut Work,
    entries: &Map<String, Value>,
    depth: usize,
) -> Result<BTreeMap<String, Rcvar>, EvaluationError> {
    if !entries.is_empty() {
        work.spend(STEPS_PER_OBJECT)?;
    }
    let mut taken = BTreeMap::new();
    for (key, value) in entries {
        work.spend_text(key.len())?;
        taken.insert(key.clone(), take_in(work, value, depth)?);
    }
    Ok(taken)
}

/// What one evaluation may still do, and make.
pub(super) struct Budget<'s> {
    work: &'s mut Work,
    bytes: usize,
}

impl<'s> Budget<'s> {
    pub(super) fn new(work: &'s mut Work) -> Self {
        Self { work, bytes: MAX_MADE }
    }

    pub(super) fn spend(&mut self, steps: usize) -> Result<(), EvaluationError> {
        Ok(self.work.spend(steps)?)
    }

    pub(super) fn spend_text(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        Ok(self.work.spend_text(bytes)?)
    }

    /// Pays for reading `value` itself: a text, or the keys and places of a collection.
    pub(super) fn spend_on(&mut self, value: &Variable) -> Result<(), EvaluationError> {
        match value {
            Variable::String(text) => self.spend_text(text.len()),
            Variable::Array(items) => self.spend(items.len()),
            Variable::Object(entries) => {
                self.spend(STEPS_PER_OBJECT)?;
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
        let before = self.work.left();
        self.spend_on_tree(value)?;
        Ok(before - self.work.left())
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
    pub(super) fn equal(&mut self, a: &Rcvar, b: &Rcvar) -> Result<bool, EvaluationError> {
        Ok(self.work.equal(a, b)?)
    }

    /// Pays for the memory of a new value of so many bytes.
    pub(super) fn make(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.take(bytes.saturating_add(BYTES_PER_VALUE))
    }

    fn take(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(EvaluationError::TooMuchMemory)?;
        Ok(())
    }

    /// Pays for a new list of values that are there already.
    pub(super) fn make_list(&mut self, items: usize) -> Result<(), EvaluationError> {
        self.make(items.saturating_mul(BYTES_PER_ITEM))
    }

    /// Pays for a new object with these names.
    pub(super) fn make_object<'n>(
        &mut self,
        mut names: impl Iterator<Item = &'n String>,
    ) -> Result<(), EvaluationError> {
        self.spend(STEPS_PER_OBJECT)?;
        self.make(BYTES_PER_OBJECT)?;
        names.try_for_each(|name| {
            self.spend_text(name.len())?;
            self.make(BYTES_PER_FIELD + name.len())
        })
    }

    /// Pays for a new value with the same parts as `value`, and reading those.
    pub(super) fn make_like(&mut self, value: &Variable) -> Result<(), EvaluationError> {
        self.spend_on(value)?;
        match value {
            Variable::String(text) => self.make(text.len()),
            Variable::Array(items) => self.make_list(items.len()),
            Variable::Object(entries) => self.make_object(entries.keys()),
            _ => self.make(0),
        }
    }

    /// Pays for the text that `value` is as JSON, before it is written.
    pub(super) fn make_json_of(&mut self, value: &Variable) -> Result<(), EvaluationError> {
        self.spend(1)?;
        self.spend_on(value)?;
        match value {
            Variable::String(text) => self.take(quoted_len(text)),
            Variable::Array(items) => {
                self.take(2 + items.len())?;
                items.iter().try_for_each(|item| self.make_json_of(item))
            }
            Variable::Object(entries) => {
                self.take(2)?;
                entries.iter().try_for_each(|(key, value)| {
                    self.take(quoted_len(key) + 2)?;
                    self.make_json_of(value)
                })
            }
            _ => self.take(LONGEST_NUMBER),
        }
    }
}

impl From<Spent> for EvaluationError {
    fn from(_: Spent) -> Self {
        Self::TooMuchWork
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
    let taken = Subject::take_in(value).expect("a test's value is small");
    outlet.hand_out(&taken.payload).expect("a test's value is small");
    MAX_RESULT - outlet.left
}
