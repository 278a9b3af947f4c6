//! The interpreter: the semantics of the crate's own, on a budget.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ::jmespath::ast::{Ast, Comparator, KeyValuePair};
use ::jmespath::{Rcvar, Variable};
use serde_json::Value;

use super::EvaluationError;
use super::values::{Budget, hand_out};
use crate::numbers;

pub(super) type Outcome = Result<Rcvar, EvaluationError>;

/// One evaluation of one expression.
pub(super) struct Evaluator<'e> {
    /// The expression's text, for the errors of the crate's functions.
    pub(super) text: &'e str,
    pub(super) budget: Budget,
}

impl<'e> Evaluator<'e> {
    pub(super) fn new(text: &'e str) -> Self {
        Self { text, budget: Budget::new() }
    }

    pub(super) fn run(mut self, ast: &Ast, payload: &Value) -> Result<Value, EvaluationError> {
        let payload = self.budget.take_in(payload)?;
        let result = self.evaluate(ast, &payload)?;
        hand_out(&result)
    }

    /// The value of `node` where `data` is the current value. It only dispatches, which keeps its
    /// stack frame small: it recurses as deep as the tree is.
    pub(super) fn evaluate(&mut self, node: &Ast, data: &Rcvar) -> Outcome {
        self.budget.spend(1)?;
        match node {
            Ast::Identity { .. } => Ok(Rcvar::clone(data)),
            Ast::Literal { value, .. } => Ok(Rcvar::clone(value)),
            Ast::Field { name, .. } => Ok(data.get_field(name)),
            Ast::Index { idx, .. } => Ok(index(data, *idx)),
            Ast::Slice { start, stop: end, step, .. } => self.slice(data, *start, *end, *step),
            Ast::Subexpr { lhs, rhs, .. } => {
                let left = self.evaluate(lhs, data)?;
                self.evaluate(rhs, &left)
            }
            Ast::Or { lhs, rhs, .. } => self.either(lhs, rhs, data, true),
            Ast::And { lhs, rhs, .. } => self.either(lhs, rhs, data, false),
            Ast::Not { node, .. } => {
                let truthy = self.evaluate(node, data)?.is_truthy();
                Ok(Rcvar::new(Variable::Bool(!truthy)))
            }
            Ast::Condition { predicate, then, .. } => {
                let truthy = self.evaluate(predicate, data)?.is_truthy();
                if truthy { self.evaluate(then, data) } else { Ok(null()) }
            }
            Ast::Comparison { comparator, lhs, rhs, .. } => {
                let left = self.evaluate(lhs, data)?;
                let right = self.evaluate(rhs, data)?;
                self.compare(comparator, &left, &right)
            }
            Ast::ObjectValues { node, .. } => {
                let subject = self.evaluate(node, data)?;
                self.values_of(&subject)
            }
            Ast::Projection { lhs, rhs, .. } => {
                let left = self.evaluate(lhs, data)?;
                self.project(&left, rhs)
            }
            Ast::Flatten { node, .. } => {
                let subject = self.evaluate(node, data)?;
                self.flatten(&subject)
            }
            Ast::MultiList { elements, .. } => self.list(elements, data),
            Ast::MultiHash { elements, .. } => self.object(elements, data),
            Ast::Function { name, args, .. } => self.call(name, args, data),
            Ast::Expref { .. } => {
                unreachable!("`check` leaves references only where `call` takes them")
            }
        }
    }

    /// The left one if it is as `truthy` as asked, the right one otherwise.
    fn either(&mut self, left: &Ast, right: &Ast, data: &Rcvar, truthy: bool) -> Outcome {
        let left = self.evaluate(left, data)?;
        if left.is_truthy() == truthy { Ok(left) } else { self.evaluate(right, data) }
    }

    /// `==` and `!=` know all values, an order is only between numbers.
    fn compare(&mut self, by: &Comparator, a: &Variable, b: &Variable) -> Outcome {
        let verdict = match by {
            Comparator::Equal => Some(self.budget.equal(a, b)?),
            Comparator::NotEqual => Some(!self.budget.equal(a, b)?),
            Comparator::LessThan => order(a, b).map(Ordering::is_lt),
            Comparator::LessThanEqual => order(a, b).map(Ordering::is_le),
            Comparator::GreaterThan => order(a, b).map(Ordering::is_gt),
            Comparator::GreaterThanEqual => order(a, b).map(Ordering::is_ge),
        };
        Ok(Rcvar::new(verdict.map_or(Variable::Null, Variable::Bool)))
    }

    fn slice(
        &mut self,
        data: &Variable,
        start: Option<i32>,
        end: Option<i32>,
        step: i32,
    ) -> Outcome {
        self.budget.spend_on(data)?;
        let slice = data.slice(start, end, step);
        Ok(Rcvar::new(slice.map_or(Variable::Null, Variable::Array)))
    }

    fn values_of(&mut self, subject: &Variable) -> Outcome {
        let Variable::Object(entries) = subject else { return Ok(null()) };
        self.budget.spend(entries.len())?;
        Ok(array(entries.values().cloned().collect()))
    }

    /// Each element passed through `rhs`, without those that become `null`.
    fn project(&mut self, subject: &Variable, rhs: &Ast) -> Outcome {
        let Variable::Array(items) = subject else { return Ok(null()) };
        let mut projected = Vec::new();
        for item in items {
            let value = self.evaluate(rhs, item)?;
            if !value.is_null() {
                projected.push(value);
            }
        }
        Ok(array(projected))
    }

    fn flatten(&mut self, subject: &Variable) -> Outcome {
        let Variable::Array(items) = subject else { return Ok(null()) };
        let mut flat = Vec::new();
        for item in items {
            self.budget.spend(1)?;
            if let Variable::Array(inner) = &**item {
                self.budget.spend(inner.len())?;
                flat.extend(inner.iter().cloned());
            } else {
                flat.push(Rcvar::clone(item));
            }
        }
        Ok(array(flat))
    }

    fn list(&mut self, elements: &[Ast], data: &Rcvar) -> Outcome {
        if data.is_null() {
            return Ok(null());
        }
        let values = elements.iter().map(|element| self.evaluate(element, data));
        Ok(array(values.collect::<Result<_, _>>()?))
    }

    fn object(&mut self, pairs: &[KeyValuePair], data: &Rcvar) -> Outcome {
        if data.is_null() {
            return Ok(null());
        }
        self.budget.spend_object()?;
        let mut object = BTreeMap::new();
        for pair in pairs {
            self.budget.spend_text(pair.key.len())?;
            object.insert(pair.key.clone(), self.evaluate(&pair.value, data)?);
        }
        Ok(Rcvar::new(Variable::Object(object)))
    }
}

pub(super) fn null() -> Rcvar {
    Rcvar::new(Variable::Null)
}

pub(super) fn array(items: Vec<Rcvar>) -> Rcvar {
    Rcvar::new(Variable::Array(items))
}

fn index(data: &Variable, index: i32) -> Rcvar {
    let distance = index.unsigned_abs() as usize;
    if index < 0 { data.get_negative_index(distance) } else { data.get_index(distance) }
}

fn order(a: &Variable, b: &Variable) -> Option<Ordering> {
    match (a, b) {
        (Variable::Number(a), Variable::Number(b)) => Some(numbers::compare(a, b)),
        _ => None,
    }
}
