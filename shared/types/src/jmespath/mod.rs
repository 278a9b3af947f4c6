//! `JMESPath` expressions: written by tenants, run against what strangers send.
//!
//! Neither may hurt us, so this module promises, for every expression and every payload:
//!
//! - no stack overflow: the crate `jmespath` recurses without a guard, so `scan` bounds how deep
//!   the syntax tree can become before the crate sees the text;
//! - bounded time and memory: the crate's own interpreter has no limit and shares values, so
//!   `[@,@]|[@,@]|…` doubles with each step once it is written out. `evaluate` interprets the
//!   same syntax tree and spends a budget for each step, which all expressions of one [`Subject`]
//!   share; it pays for the memory of what it makes, and counts the result while it is handed out;
//! - no surprise at run time that could be seen at save time: unknown functions, wrong numbers of
//!   arguments and endless references (`&`, kept as a value, may call itself) are refused by
//!   `check`.
//!
//! Whole numbers stay whole: those of the payload pass unchanged and are compared exactly, those
//! that functions compute come back without `.0`. What is lost: `abs`, `avg`, `ceil`, `floor` and
//! `sum` compute in `f64`, which rounds beyond 2^53; `max`, `min` and `sort` cannot tell neighbours
//! apart there (`max_by`, `min_by` and `sort_by` can).

mod check;
mod evaluate;
mod functions;
mod scan;
mod values;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ::jmespath::JmespathError;
use ::jmespath::ast::Ast;
use serde_json::Value;

use self::evaluate::Evaluator;
pub use self::values::Subject;

/// The longest expression, in bytes.
pub const MAX_EXPRESSION: usize = 1_024;
/// The deepest syntax tree, in nested or chained operators. In debug builds, parsing and
/// evaluating at this depth fits a stack of 1 MiB, half of what our threads have.
pub const MAX_DEPTH: usize = 64;
/// The largest index or slice bound, either way.
pub const MAX_INDEX: i32 = 1_000_000;
/// The largest result, in bytes of JSON.
pub const MAX_RESULT: usize = 1_048_576;
/// The steps that the expressions of any payload may take together. A step looks at, makes or passes
/// on one value, or 16 bytes of text; no step allocates more than a few hundred bytes.
pub const MIN_STEPS: usize = 65_536;
/// The steps that taking in each value of a payload, or 16 bytes of its text, adds to them.
pub const STEPS_PER_TAKEN: usize = 16;
/// The most steps of taking a payload in, and again of all expressions that run on it. Taking in a
/// payload of 1 MiB takes half of it at worst (`[0,0,0,…`), and around 10 % when it is ordinary.
///
/// In a debug build, a step was measured to take 40 to 170 ns and taking in the worst payload to
/// take 0.2 s; a release build takes around a quarter of that. So a payload costs some 0.1 s at most,
/// however many expressions run on it.
pub const MAX_STEPS: usize = 1_048_576;
/// The most memory of the values that one evaluation makes, in bytes; those of the payload and of
/// the expression itself are shared.
pub const MAX_MADE: usize = 16 << 20;
/// The deepest payload; `serde_json` reads no deeper ones.
pub const MAX_PAYLOAD_DEPTH: usize = 128;

/// An expression that parsed and is safe to evaluate. Cheap to clone; equal if its text is.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    ast: Arc<Ast>,
}

/// Why an expression is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExpressionError {
    /// Over [`MAX_EXPRESSION`].
    #[error("shorten the expression: it may have {MAX_EXPRESSION} bytes")]
    TooLong,
    /// Over [`MAX_DEPTH`].
    #[error("simplify the expression: it may nest or chain {MAX_DEPTH} operators")]
    TooDeep,
    /// Not `JMESPath`.
    #[error("mend the expression at character {position}: it is not JMESPath there")]
    Syntax {
        /// The first character that does not fit, counted from 1.
        position: usize,
        /// What the parser says.
        #[source]
        source: Box<JmespathError>,
    },
    /// A function that `JMESPath` does not have.
    #[error("use a function of JMESPath instead of `{0}`")]
    UnknownFunction(String),
    /// Too few or too many arguments.
    #[error("give `{name}` {expected}")]
    Arguments {
        /// The function.
        name: String,
        /// How many it takes.
        expected: String,
    },
    /// `&` somewhere else than in front of the argument that asks for it.
    #[error(
        "write `&` only in front of the first argument of `map` and the second of `sort_by`, \
         `max_by` and `min_by`, which need it"
    )]
    Reference,
    /// Over [`MAX_INDEX`], or a slice that never moves.
    #[error("use indices from -{MAX_INDEX} to {MAX_INDEX}, and a slice step other than 0")]
    Index,
}

/// Why an expression gives no result on a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// Over what the payload's size allows, [`MAX_STEPS`] at most; or the payload is.
    #[error(
        "narrow the expression down, with a filter or an index for example: it takes too many \
         steps on this payload, together with the expressions before it"
    )]
    TooMuchWork,
    /// Over [`MAX_MADE`].
    #[error("make less on the way: the expression's values take more than {MAX_MADE} bytes")]
    TooMuchMemory,
    /// Over [`MAX_RESULT`].
    #[error("select less: the result is over {MAX_RESULT} bytes of JSON")]
    TooLarge,
    /// Over [`MAX_PAYLOAD_DEPTH`].
    #[error("send a flatter payload: it is nested more than {MAX_PAYLOAD_DEPTH} levels deep")]
    TooDeep,
    /// A function was given values of a kind that it does not take.
    #[error("give `{name}` values that it takes ({reason}), with a filter or `||` for example")]
    Function {
        /// The function.
        name: String,
        /// What it expected and what it got; kinds only, no values.
        reason: String,
    },
}

impl Expression {
    /// Parses `text`; the same as [`str::parse`].
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > MAX_EXPRESSION {
            return Err(ExpressionError::TooLong);
        }
        if scan::depth_bound(text) > MAX_DEPTH {
            return Err(ExpressionError::TooDeep);
        }
        let ast = ::jmespath::parse(text).map_err(|source| ExpressionError::Syntax {
            position: text.char_indices().take_while(|(at, _)| *at < source.offset).count() + 1,
            source: Box::new(source),
        })?;
        check::check(&ast)?;
        Ok(Self { text: text.into(), ast: Arc::new(ast) })
    }

    /// What the expression selects in `payload`; what is not there is `null`.
    pub fn evaluate(&self, payload: &Value) -> Result<Value, EvaluationError> {
        self.evaluate_on(&mut Subject::take_in(payload)?)
    }

    /// The same where several expressions share a payload, and the steps that it allows for.
    pub fn evaluate_on(&self, subject: &mut Subject) -> Result<Value, EvaluationError> {
        let Subject { payload, work } = subject;
        let result = Evaluator::new(&self.text, work).evaluate(&self.ast, payload)?;
        values::hand_out(&result)
    }

    /// Its text, as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        Self::parse(text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}
