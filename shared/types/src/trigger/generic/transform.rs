//! `outputTransform`: a payload as the trigger wants to see it.

use serde_json::{Map, Value};

use crate::jmespath::{EvaluationError, Expression, MAX_RESULT, Subject};
use crate::json_schema::depth_of;
use crate::shape::ObjectReader;

/// The most fields of an `objectTransformation`, and the longest name of one, in bytes.
const MAX_FIELDS: usize = 64;
const MAX_NAME: usize = 128;
/// The deepest transformed payload. Parts of it travel within messages, whose reader stops at 128
/// levels.
pub const MAX_DEPTH: usize = 100;

/// What is made of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputTransform {
    /// What one expression selects.
    Whole(Expression),
    /// An object, each of whose fields is what an expression selects.
    Fields(Vec<(String, Expression)>),
}

/// Why a payload cannot be transformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// Larger than any expression could work with, or nested too deeply.
    #[error("the payload is too much to be transformed")]
    Payload(#[source] EvaluationError),
    /// An expression gives no result.
    #[error("`{field}` gives no result")]
    Expression {
        /// Which: `jmespath`, or `objectTransformation.<name>`.
        field: String,
        /// Why.
        #[source]
        source: EvaluationError,
    },
    /// The fields together are larger than one expression's result may be.
    #[error("the transformed payload is larger than {MAX_RESULT} bytes")]
    TooLarge,
    /// Over [`MAX_DEPTH`].
    #[error("the transformed payload is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
}

impl OutputTransform {
    pub(super) fn read(fields: &mut ObjectReader<'_>) -> Option<Self> {
        let mut fields = fields.object("outputTransform")?;
        let has_jmespath = fields.any("jmespath").is_some();
        let has_object = fields.any("objectTransformation").is_some();
        let whole = read_expression(&mut fields);
        let parts = read_object(&mut fields);
        if !has_jmespath && !has_object {
            fields.refuse("jmespath", "is required, or `objectTransformation`");
        }
        fields.done();
        if has_jmespath {
            return whole.map(Self::Whole);
        }
        parts.map(Self::Fields)
    }

    /// The transformed `payload`, no larger than one expression's result may be. All expressions
    /// share the steps that the payload allows for.
    pub fn apply(&self, payload: &Value) -> Result<Value, TransformError> {
        let mut subject = Subject::take_in(payload).map_err(TransformError::Payload)?;
        let transformed = match self {
            Self::Whole(expression) => evaluate(expression, &mut subject, "jmespath")?,
            Self::Fields(fields) => {
                let mut object = Map::new();
                let mut size = 0;
                for (name, expression) in fields {
                    let field = format!("objectTransformation.{name}");
                    let value = evaluate(expression, &mut subject, &field)?;
                    size += name.len() + size_of(&value);
                    if size > MAX_RESULT {
                        return Err(TransformError::TooLarge);
                    }
                    object.insert(name.clone(), value);
                }
                Value::Object(object)
            }
        };
        if depth_of(&transformed) > MAX_DEPTH {
            return Err(TransformError::TooDeep);
        }
        Ok(transformed)
    }
}

fn evaluate(
    expression: &Expression,
    subject: &mut Subject,
    field: &str,
) -> Result<Value, TransformError> {
    let evaluated = expression.evaluate_on(subject);
    evaluated.map_err(|source| TransformError::Expression { field: field.to_owned(), source })
}

/// About as many bytes as the value has in JSON; a result is small enough to be gone through.
fn size_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| size_of(item) + 1).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(key, value)| key.len() + 4 + size_of(value)).sum::<usize>()
        }
    }
}

fn read_expression(fields: &mut ObjectReader<'_>) -> Option<Expression> {
    let text = fields.any("jmespath")?;
    let path = fields.path_of("jmespath");
    judge(fields, &path, text)
}

fn read_object(fields: &mut ObjectReader<'_>) -> Option<Vec<(String, Expression)>> {
    const KEY: &str = "objectTransformation";
    let mut parts = Vec::new();
    for (name, text) in fields.entries(KEY, MAX_FIELDS) {
        let shown: String = name.chars().take(64).collect();
        let path = format!("{}.{shown}", fields.path_of(KEY));
        if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
            let reason = format!("a name has 1 to {MAX_NAME} bytes, and no U+0000");
            fields.problems().add(path, reason);
            continue;
        }
        parts.extend(judge(fields, &path, text).map(|expression| (name.clone(), expression)));
    }
    if fields.any(KEY)?.as_object().is_some_and(Map::is_empty) {
        fields.refuse(KEY, "must have at least one field");
    }
    Some(parts)
}

fn judge(fields: &ObjectReader<'_>, path: &str, text: &Value) -> Option<Expression> {
    let refuse = |reason: String| fields.problems().add(path, reason);
    let Some(text) = text.as_str() else {
        refuse("must be a JMESPath expression".into());
        return None;
    };
    // As a literal it would come out as U+0000, which the database does not take.
    if text.contains('\0') || text.contains("\\u0000") {
        refuse("must not contain U+0000".into());
        return None;
    }
    text.parse().map_err(|error: crate::jmespath::ExpressionError| refuse(error.to_string())).ok()
}
