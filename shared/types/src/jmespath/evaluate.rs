//! The interpreter: the semantics of the crate's own, on a budget.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ::jmespath::ast::{Ast, Comparator, KeyValuePair};
use ::jmespath::{Rcvar, Variable};

use super::EvaluationError;
use super::values::Budget;
use crate::numbers;
use crate::work::Work;

pub(super) type Outcome = Result<Rcvar, EvaluationError>;

/// One evaluation of one expression.
pub(super) struct Evaluator<'e> {
    /// The expression's text, for the errors of the crate's functions.
    pub(super) text: &'e str,
    pub(super) budget: Budget<'e>,
    /// Made once and shared, so that conditions take no memory.
    null: Rcvar,
    truth: [Rcvar; 2],
}

impl<'e> Evaluator<'e> {
    pub(super) fn new(text: &'e str, work: &'e mut Work) -> Self {
        Self {
            text,
            budget: Budget::new(work),
            null: Rcvar::new(Variable::Null),
            truth: [false, true].map(|flag| Rcvar::new(Variable::Bool(flag))),
        }
    }

    /// The value of `node` where `data` is the current value. It only dispatches, which keeps its
    /// stack frame small: it recurses as deep as the tree is.
    pub(super) fn evaluate(&mut self, node: &Ast, data: &Rcvar) -> Outcome {
        self.budget.spend(1)?;
        match node {
            Ast::Identity { .. } => Ok(Rcvar::clone(data)),
            Ast::Literal { value, .. } => Ok(Rcvar::clone(value)),
            Ast::Field { name, .. } => Ok(self.found(field(data, name))),
            Ast::Index { idx, .. } => Ok(self.found(index(data, *idx))),
            Ast::Slice { start, stop: end, step, .. } => self.slice(data, *start, *end, *step),
            Ast::Subexpr { lhs, rhs, .. } => {
                let left = self.evaluate(lhs, data)?;
                self.evaluate(rhs, &left)
            }
            Ast::Or { lhs, rhs, .. } => self.either(lhs, rhs, data, true),
            Ast::And { lhs, rhs, .. } => self.either(lhs, rhs, data, false),
            Ast::Not { node, .. } => {
                let truthy = self.evaluate(node, data)?.is_truthy();
                Ok(self.boolean(!truthy))
            }
            Ast::Condition { predicate, then, .. } => {
                let truthy = self.evaluate(predicate, data)?.is_truthy();
                if truthy { self.evaluate(then, data) } else { Ok(self.null()) }
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
    fn compare(&mut self, by: &Comparator, a: &Rcvar, b: &Rcvar) -> Outcome {
        let verdict = match by {
            Comparator::Equal => Some(self.budget.equal(a, b)?),
            Comparator::NotEqual => Some(!self.budget.equal(a, b)?),
            Comparator::LessThan => order(a, b).map(Ordering::is_lt),
            Comparator::LessThanEqual => order(a, b).map(Ordering::is_le),
            Comparator::GreaterThan => order(a, b).map(Ordering::is_gt),
            Comparator::GreaterThanEqual => order(a, b).map(Ordering::is_ge),
        };
        Ok(verdict.map_or_else(|| self.null(), |verdict| self.boolean(verdict)))
    }

    fn slice(
        &mut self,
        data: &Variable,
        start: Option<i32>,
        end: Option<i32>,
        step: i32,
    ) -> Outcome {
        self.budget.spend_on(data)?;
        let Some(items) = data.slice(start, end, step) else { return Ok(self.null()) };
        self.array(items)
    }

    fn values_of(&mut self, subject: &Variable) -> Outcome {
        let Variable::Object(entries) = subject else { return Ok(self.null()) };
        self.budget.spend(entries.len())?;
        self.array(entries.values().cloned().collect())
    }

    /// Each element passed through `rhs`, without those that become `null`.
    fn project(&mut self, subject: &Variable, rhs: &Ast) -> Outcome {
        let Variable::Array(items) = subject else { return Ok(self.null()) };
        let mut projected = Vec::new();
        for item in items {
            let value = self.evaluate(rhs, item)?;
            if !value.is_null() {
                projected.push(value);
            }
        }
        self.array(projected)
    }

    fn flatten(&mut self, subject: &Variable) -> Outcome {
        let Variable::Array(items) = subject else { return Ok(self.null()) };
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
        self.array(flat)
    }

    fn list(&mut self, elements: &[Ast], data: &Rcvar) -> Outcome {
        if data.is_null() {
            return Ok(self.null());
        }
        let values = elements.iter().map(|element| self.evaluate(element, data));
        let values = values.collect::<Result<_, _>>()?;
        self.array(values)
    }

    fn object(&mut self, pairs: &[KeyValuePair], data: &Rcvar) -> Outcome {
        if data.is_null() {
            return Ok(self.null());
        }
        self.budget.make_object(pairs.iter().map(|pair| &pair.key))?;
        let mut object = BTreeMap::new();
        for pair in pairs {
            object.insert(pair.key.clone(), self.evaluate(&pair.value, data)?);
        }
        Ok(Rcvar::new(Variable::Object(object)))
    }
    pub(super) fn null(&self) -> Rcvar {
        Rcvar::clone(&self.null)
    }

    pub(super) fn boolean(&self, flag: bool) -> Rcvar {
        Rcvar::clone(&self.truth[usize::from(flag)])
    }

    /// A new list, whose items have been paid for with a step each.
    pub(super) fn array(&mut self, items: Vec<Rcvar>) -> Outcome {
        self.budget.make_list(items.len())?;
        Ok(Rcvar::new(Variable::Array(items)))
    }

    fn found(&self, value: Option<&Rcvar>) -> Rcvar {
        value.map_or_else(|| self.null(), Rcvar::clone)
    }
}

fn field<'v>(data: &'v Variable, name: &str) -> Option<&'v Rcvar> {
    if let Variable::Object(entries) = data { entries.get(name) } else { None }
}

/// The item at `index`, from the end if that is negative.
fn index(data: &Variable, index: i32) -> Option<&Rcvar> {
    let Variable::Array(items) = data else { return None };
    let distance = index.unsigned_abs() as usize;
    let place = if index < 0 { items.len().checked_sub(distance)? } else { distance };
    items.get(place)
}

fn order(a: &Variable, b: &Variable) -> Option<Ordering> {
    match (a, b) {
        (Variable::Number(a), Variable::Number(b)) => Some(numbers::compare(a, b)),
        _ => None,
    }
}
