//! The work that expressions may do, and deep equality that pays for itself.
//!
//! Expressions are written by tenants and run on what strangers send, so what they do is counted in
//! steps: a value looked at, or 16 bytes of text. All expressions that a request runs on one payload
//! share one [`Work`], and a small payload allows for less of it than a large one.

use std::collections::btree_map;

use ::jmespath::{Rcvar, Variable};
use serde_json::{Number, Value};

use crate::numbers;

/// Bytes of text that one step pays for.
pub(crate) const TEXT_PER_STEP: usize = 16;

/// How much there is to look at in `value`: its values, the names of its fields, and their text in
/// units of 16 bytes.
pub(crate) fn size_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => text_size(text),
        Value::Array(items) => 1 + items.iter().map(size_of).sum::<usize>(),
        Value::Object(fields) => {
            1 + fields.iter().map(|(key, value)| text_size(key) + size_of(value)).sum::<usize>()
        }
    }
}

fn text_size(text: &str) -> usize {
    1 + text.len() / TEXT_PER_STEP
}

/// The steps that are left.
pub(crate) struct Work {
    left: usize,
}

/// There are not as many steps left.
#[derive(Debug)]
pub(crate) struct Spent;

impl Work {
    pub(crate) fn new(steps: usize) -> Self {
        Self { left: steps }
    }

    pub(crate) fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), Spent> {
        self.left = self.left.checked_sub(steps).ok_or(Spent)?;
        Ok(())
    }

    pub(crate) fn spend_text(&mut self, bytes: usize) -> Result<(), Spent> {
        self.spend(bytes / TEXT_PER_STEP)
    }

    /// Whether two values are the same JSON; numbers by their value.
    pub(crate) fn equal<N: Node>(&mut self, a: &N, b: &N) -> Result<bool, Spent> {
        self.spend(1)?;
        match (a.view(), b.view()) {
            (View::Null, View::Null) => Ok(true),
            (View::Bool(a), View::Bool(b)) => Ok(a == b),
            (View::Number(a), View::Number(b)) => Ok(numbers::compare(a, b).is_eq()),
            (View::Text(a), View::Text(b)) => {
                self.spend_text(a.len().min(b.len()))?;
                Ok(a == b)
            }
            (View::List(a), View::List(b)) if a.len() == b.len() => self.all_equal(a.iter().zip(b)),
            (View::Fields(a), View::Fields(b)) if a.len() == b.len() => {
                for ((a, _), (b, _)) in a.clone().zip(b.clone()) {
                    self.spend(1)?;
                    self.spend_text(a.len().min(b.len()))?;
                    if a != b {
                        return Ok(false);
                    }
                }
                self.all_equal(a.zip(b).map(|((_, a), (_, b))| (a, b)))
            }
            _ => Ok(false),
        }
    }

    fn all_equal<'n, N: Node + 'n>(
        &mut self,
        pairs: impl Iterator<Item = (&'n N, &'n N)>,
    ) -> Result<bool, Spent> {
        for (a, b) in pairs {
            if !self.equal(a, b)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A JSON value of one of the crates that we evaluate with.
pub(crate) trait Node: Sized {
    /// The fields of an object, sorted by their names.
    type Fields<'n>: ExactSizeIterator<Item = (&'n String, &'n Self)> + Clone
    where
        Self: 'n;

    fn view(&self) -> View<'_, Self>;
}

/// What a [`Node`] is.
pub(crate) enum View<'n, N: Node + 'n> {
    Null,
    Bool(bool),
    Number(&'n Number),
    Text(&'n str),
    List(&'n [N]),
    Fields(N::Fields<'n>),
}

impl Node for Value {
    type Fields<'n> = serde_json::map::Iter<'n>;

    fn view(&self) -> View<'_, Self> {
        match self {
            Self::Null => View::Null,
            Self::Bool(flag) => View::Bool(*flag),
            Self::Number(number) => View::Number(number),
            Self::String(text) => View::Text(text),
            Self::Array(items) => View::List(items),
            Self::Object(fields) => View::Fields(fields.iter()),
        }
    }
}

impl Node for Rcvar {
    type Fields<'n> = btree_map::Iter<'n, String, Rcvar>;

    fn view(&self) -> View<'_, Self> {
        match &**self {
            // References are never values: `jmespath` refuses them elsewhere than in front of an
            // argument that asks for one.
            Variable::Null | Variable::Expref(_) => View::Null,
            Variable::Bool(flag) => View::Bool(*flag),
            Variable::Number(number) => View::Number(number),
            Variable::String(text) => View::Text(text),
            Variable::Array(items) => View::List(items),
            Variable::Object(fields) => View::Fields(fields.iter()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn equal(a: &Value, b: &Value, steps: usize) -> Option<bool> {
        Work::new(steps).equal(a, b).ok()
    }

    #[test]
    fn values_are_equal_by_what_they_say() {
        let value = json!({"a": [1, "x", null, true], "b": {"c": 1.5}});
        assert_eq!(equal(&value, &value.clone(), 100), Some(true));
        assert_eq!(equal(&json!(1), &json!(1.0), 1), Some(true));
        for other in [json!({}), json!([]), json!(null), json!({"a": [1, "x", null], "b": 1})] {
            assert_eq!(equal(&value, &other, 100), Some(false), "{other}");
        }
    }

    #[test]
    fn each_name_is_paid_for_however_short() {
        let object = |last: &str| {
            let names = (0..100).map(|n| format!("a{n:02}")).chain([last.to_owned()]);
            Value::Object(names.map(|name| (name, json!(0))).collect())
        };
        assert_eq!(equal(&object("y"), &object("z"), 102), Some(false));
        assert_eq!(equal(&object("y"), &object("z"), 101), None);
    }
}
