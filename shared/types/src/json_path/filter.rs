//! Filters: conditions on each child, on the search's own budget.

use std::borrow::Cow;
use std::cmp::Ordering;

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, Literal, SingularQuery,
    SingularQuerySegment, Test, TestFunction,
};
use serde_json::Value;

use super::search::{Flow, Matches, Over, Search, indexed, named};
use crate::numbers;

/// What a comparison compares; `None` is RFC 9535's `Nothing`.
type Operand<'v> = Option<Cow<'v, Value>>;

impl<'v> Search<'v, '_> {
    /// Whether `filter` holds where `current` is `@`.
    pub(super) fn holds(&mut self, filter: &Filter, current: &'v Value) -> Flow<bool> {
        self.work.spend(1)?;
        match filter {
            Filter::Or(filters) => self.any_holds(filters, current, true),
            Filter::And(filters) => Ok(!self.any_holds(filters, current, false)?),
            Filter::Atom(FilterAtom::Filter { expr, not }) => {
                Ok(self.holds(expr, current)? != *not)
            }
            Filter::Atom(FilterAtom::Test { expr, not }) => {
                Ok(self.nodes(expr, current, 1)?.is_empty() == *not)
            }
            Filter::Atom(FilterAtom::Comparison(comparison)) => self.compare(comparison, current),
        }
    }

    fn any_holds(&mut self, filters: &[Filter], current: &'v Value, wanted: bool) -> Flow<bool> {
        for filter in filters {
            if self.holds(filter, current)? == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The first `wanted` matches of a query inside a filter; `check` lets no function get here.
    fn nodes(&mut self, test: &Test, current: &'v Value, wanted: usize) -> Flow<Vec<&'v Value>> {
        let (from, segments) = match test {
            Test::RelQuery(segments) => (current, segments),
            Test::AbsQuery(query) => (self.root, &query.segments),
            Test::Function(_) => return Ok(Vec::new()),
        };
        let mut matches = Matches { found: Vec::new(), wanted };
        match self.follow(from, segments, &mut matches) {
            Ok(()) | Err(Over::Enough) => Ok(matches.found),
            Err(Over::Spent) => Err(Over::Spent),
        }
    }

    fn compare(&mut self, comparison: &Comparison, current: &'v Value) -> Flow<bool> {
        let (a, b) = comparison.vals();
        let a = self.operand(a, current)?;
        let b = self.operand(b, current)?;
        let order = order(a.as_deref(), b.as_deref());
        Ok(match comparison {
            Comparison::Eq(..) => self.equal_operands(&a, &b)?,
            Comparison::Ne(..) => !self.equal_operands(&a, &b)?,
            Comparison::Lt(..) => order == Some(Ordering::Less),
            Comparison::Gt(..) => order == Some(Ordering::Greater),
            Comparison::Lte(..) => order == Some(Ordering::Less) || self.equal_operands(&a, &b)?,
            Comparison::Gte(..) => {
                order == Some(Ordering::Greater) || self.equal_operands(&a, &b)?
            }
        })
    }

    fn operand(&mut self, operand: &Comparable, current: &'v Value) -> Flow<Operand<'v>> {
        self.work.spend(1)?;
        let found = match operand {
            Comparable::Literal(literal) => Some(Cow::Owned(value_of(literal))),
            Comparable::Function(function) => self.apply(function, current)?,
            Comparable::SingularQuery(SingularQuery::Current(segments)) => {
                singular(current, segments).map(Cow::Borrowed)
            }
            Comparable::SingularQuery(SingularQuery::Root(segments)) => {
                singular(self.root, segments).map(Cow::Borrowed)
            }
        };
        if let Some(Value::String(text)) = found.as_deref() {
            self.work.spend_text(text.len())?;
        }
        Ok(found)
    }

    fn apply(&mut self, function: &TestFunction, current: &'v Value) -> Flow<Operand<'v>> {
        Ok(match function {
            TestFunction::Length(arg) => {
                let value = self.argument(arg, current)?;
                value.and_then(|value| length(&value)).map(|length| Cow::Owned(length.into()))
            }
            TestFunction::Value(arg) => self.argument(arg, current)?,
            TestFunction::Count(FnArg::Test(test)) => {
                let count = self.nodes(test, current, usize::MAX)?.len();
                Some(Cow::Owned(count.into()))
            }
            TestFunction::Count(_)
            | TestFunction::Search(..)
            | TestFunction::Match(..)
            | TestFunction::Custom(..) => None,
        })
    }

    /// The value of an argument: of a query with exactly one match, of a literal or of a function.
    fn argument(&mut self, arg: &FnArg, current: &'v Value) -> Flow<Operand<'v>> {
        let test = match arg {
            FnArg::Literal(literal) => return Ok(Some(Cow::Owned(value_of(literal)))),
            FnArg::Filter(_) => return Ok(None),
            FnArg::Test(test) => test,
        };
        if let Test::Function(function) = &**test {
            return self.apply(function, current);
        }
        let nodes = self.nodes(test, current, 2)?;
        let value = if let [value] = nodes[..] { Some(Cow::Borrowed(value)) } else { None };
        if let Some(Value::String(text)) = value.as_deref() {
            self.work.spend_text(text.len())?;
        }
        Ok(value)
    }

    fn equal_operands(&mut self, a: &Operand<'_>, b: &Operand<'_>) -> Flow<bool> {
        match (a, b) {
            (Some(a), Some(b)) => Ok(self.work.equal(&**a, &**b)?),
            (a, b) => Ok(a.is_none() && b.is_none()),
        }
    }
}

/// The one value that names and indices lead to.
fn singular<'v>(from: &'v Value, segments: &[SingularQuerySegment]) -> Option<&'v Value> {
    segments.iter().try_fold(from, |value, segment| match segment {
        SingularQuerySegment::Name(name) => named(value, name),
        SingularQuerySegment::Index(index) => indexed(value, *index),
    })
}

/// The length of a text in characters, of a list in items, of an object in members.
fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.chars().count()),
        Value::Array(items) => Some(items.len()),
        Value::Object(entries) => Some(entries.len()),
        _ => None,
    }
}

fn value_of(literal: &Literal) -> Value {
    match literal {
        Literal::Int(number) => (*number).into(),
        Literal::Float(number) => (*number).into(),
        Literal::String(text) => text.as_str().into(),
        Literal::Bool(flag) => (*flag).into(),
        Literal::Null => Value::Null,
    }
}

/// Only numbers and texts have an order.
fn order(a: Option<&Value>, b: Option<&Value>) -> Option<Ordering> {
    match (a?, b?) {
        (Value::Number(a), Value::Number(b)) => Some(numbers::compare(a, b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}
