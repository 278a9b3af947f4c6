//! The functions of `JMESPath`: what each takes, what it costs, and those that are ours.
//!
//! The crate's functions are used where they look at each argument once; they are paid for before
//! they run. Ours are those that evaluate expressions (the budget must see that), `contains` on
//! lists (the crate's equality rounds numbers) and `to_number` of texts (the crate makes any JSON of
//! them, which takes much more memory than the text).

use std::cmp::Ordering;

use ::jmespath::ast::Ast;
use ::jmespath::{Context, DEFAULT_RUNTIME, ErrorReason, JmespathError, Rcvar, Variable};

use super::EvaluationError;
use super::evaluate::{Evaluator, Outcome};
use crate::numbers;

/// How a function is called.
#[derive(Clone, Copy)]
pub(super) struct Signature {
    arity: Arity,
    /// The argument that is an expression (`&…`), if one is.
    pub(super) reference: Option<usize>,
}

#[derive(Clone, Copy)]
enum Arity {
    One,
    Two,
    OneOrMore,
}

impl Signature {
    pub(super) fn takes(self, args: usize) -> bool {
        match self.arity {
            Arity::One => args == 1,
            Arity::Two => args == 2,
            Arity::OneOrMore => args >= 1,
        }
    }

    /// In words.
    pub(super) fn expected(self) -> &'static str {
        match self.arity {
            Arity::One => "one argument",
            Arity::Two => "two arguments",
            Arity::OneOrMore => "at least one argument",
        }
    }
}

/// How the function `name` is called, if there is one.
pub(super) fn signature(name: &str) -> Option<Signature> {
    let (arity, reference) = match name {
        "abs" | "avg" | "ceil" | "floor" | "keys" | "length" | "max" | "min" | "reverse"
        | "sort" | "sum" | "to_array" | "to_number" | "to_string" | "type" | "values" => {
            (Arity::One, None)
        }
        "contains" | "ends_with" | "join" | "starts_with" => (Arity::Two, None),
        "map" => (Arity::Two, Some(0)),
        "max_by" | "min_by" | "sort_by" => (Arity::Two, Some(1)),
        "merge" | "not_null" => (Arity::OneOrMore, None),
        _ => return None,
    };
    Some(Signature { arity, reference })
}

impl Evaluator<'_> {
    pub(super) fn call(&mut self, name: &str, args: &[Ast], data: &Rcvar) -> Outcome {
        match (name, args) {
            ("map", [Ast::Expref { ast, .. }, list]) => {
                let list = self.evaluate(list, data)?;
                self.map(ast, &list)
            }
            ("sort_by", [list, Ast::Expref { ast, .. }]) => {
                let list = self.evaluate(list, data)?;
                self.sort_by(&list, ast)
            }
            ("max_by" | "min_by", [list, Ast::Expref { ast, .. }]) => {
                let list = self.evaluate(list, data)?;
                self.extreme_by(name, &list, ast)
            }
            _ => {
                let args = args.iter().map(|arg| self.evaluate(arg, data));
                let args: Vec<Rcvar> = args.collect::<Result<_, _>>()?;
                self.call_with(name, &args)
            }
        }
    }

    fn call_with(&mut self, name: &str, args: &[Rcvar]) -> Outcome {
        if let ("contains", [list, needle]) = (name, args)
            && let Variable::Array(items) = &**list
        {
            return self.list_contains(items, needle);
        }
        self.pay(name, args)?;
        if let ("to_number", [text]) = (name, args)
            && let Variable::String(text) = &**text
        {
            let number = text.parse().ok().map(Variable::Number);
            return Ok(number.map_or_else(|| self.null(), Rcvar::new));
        }
        let mut context = Context::new(self.text, &DEFAULT_RUNTIME);
        let function = DEFAULT_RUNTIME
            .get_function(name)
            .expect("`check` lets pass only names that `signature` knows, all of them the crate's");
        function.evaluate(args, &mut context).map_err(|error| refused(name, error))
    }

    /// Pays for a function of the crate: for all of the text that it reads, and for what it makes.
    fn pay(&mut self, name: &str, args: &[Rcvar]) -> Result<(), EvaluationError> {
        for arg in args {
            match name {
                "to_string" if !arg.is_string() => self.budget.make_json_of(arg)?,
                "join" | "max" | "min" => {
                    self.budget.spend_deeply(arg)?;
                }
                "sort" => {
                    let steps = self.budget.spend_deeply(arg)?;
                    self.budget.spend(steps * comparisons_per_item(length(arg)))?;
                    self.budget.make_like(arg)?;
                }
                "keys" | "merge" | "reverse" | "to_array" | "values" => {
                    self.budget.make_like(arg)?;
                }
                _ => self.budget.spend_on(arg)?,
            }
        }
        if let ("join", [glue, list]) = (name, args)
            && let (Variable::String(glue), Variable::Array(items)) = (&**glue, &**list)
        {
            let glued = glue.len().saturating_mul(items.len());
            self.budget.spend_text(glued)?;
            let texts = items.iter().filter_map(|item| item.as_string());
            self.budget.make(glued.saturating_add(texts.map(String::len).sum()))?;
        }
        // A number, a boolean or the name of a type, if it is nothing larger.
        self.budget.make(0)
    }

    fn list_contains(&mut self, items: &[Rcvar], needle: &Rcvar) -> Outcome {
        for item in items {
            if self.budget.equal(item, needle)? {
                return Ok(self.boolean(true));
            }
        }
        Ok(self.boolean(false))
    }

    fn map(&mut self, each: &Ast, list: &Rcvar) -> Outcome {
        let values = list_of("map", list)?.iter().map(|item| self.evaluate(each, item));
        let values = values.collect::<Result<_, _>>()?;
        self.array(values)
    }

    fn sort_by(&mut self, list: &Rcvar, key: &Ast) -> Outcome {
        let mut keyed = self.keyed("sort_by", list, key)?;
        let per_item = comparisons_per_item(keyed.len());
        for (key, _) in &keyed {
            let steps = self.budget.spend_deeply(key)?;
            self.budget.spend(steps * per_item)?;
        }
        keyed.sort_by(|(a, _), (b, _)| compare_keys(a, b));
        self.array(keyed.into_iter().map(|(_, item)| item).collect())
    }

    /// The first item with the greatest or the least key.
    fn extreme_by(&mut self, name: &str, list: &Rcvar, key: &Ast) -> Outcome {
        let better = if name == "max_by" { Ordering::Greater } else { Ordering::Less };
        let mut best: Option<(Rcvar, Rcvar)> = None;
        for (key, item) in self.keyed(name, list, key)? {
            self.budget.spend_on(&key)?;
            if best.as_ref().is_none_or(|(least, _)| compare_keys(&key, least) == better) {
                best = Some((key, item));
            }
        }
        Ok(best.map_or_else(|| self.null(), |(_, item)| item))
    }

    /// The items of a list with their keys, which must be all texts or all numbers.
    fn keyed(
        &mut self,
        name: &str,
        list: &Rcvar,
        key: &Ast,
    ) -> Result<Vec<(Rcvar, Rcvar)>, EvaluationError> {
        let mut keyed: Vec<(Rcvar, Rcvar)> = Vec::new();
        for item in list_of(name, list)? {
            let key = self.evaluate(key, item)?;
            let first = keyed.first().map_or(&key, |(first, _)| first);
            if !(key.is_string() && first.is_string() || key.is_number() && first.is_number()) {
                let kind = key.get_type();
                let reason = format!("it expects keys all string or all number, given {kind}");
                return Err(EvaluationError::Function { name: name.to_owned(), reason });
            }
            keyed.push((key, Rcvar::clone(item)));
        }
        Ok(keyed)
    }
}

fn list_of<'v>(name: &str, value: &'v Variable) -> Result<&'v [Rcvar], EvaluationError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| EvaluationError::Function {
        name: name.to_owned(),
        reason: format!("it expects an array, given {}", value.get_type()),
    })
}

fn length(value: &Variable) -> usize {
    value.as_array().map_or(0, Vec::len)
}

/// What sorting costs for each of `items`.
fn comparisons_per_item(items: usize) -> usize {
    items.checked_ilog2().map_or(0, |log| log as usize + 1)
}

/// Two keys of one kind.
fn compare_keys(a: &Variable, b: &Variable) -> Ordering {
    match (a, b) {
        (Variable::Number(a), Variable::Number(b)) => numbers::compare(a, b),
        (Variable::String(a), Variable::String(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

/// What the crate says about arguments that it does not take: kinds, no values.
fn refused(name: &str, error: JmespathError) -> EvaluationError {
    let reason = match error.reason {
        ErrorReason::Runtime(reason) => reason.to_string(),
        ErrorReason::Parse(reason) => reason,
    };
    EvaluationError::Function { name: name.to_owned(), reason }
}
